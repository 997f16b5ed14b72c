#!/bin/sh
# Finds PostgreSQL and Redis servers for the tests of the store, or unpacks Debian's
# packages of them into a cache folder, with what they need and this machine lacks.
# Nothing is installed and nothing is started. Says nothing when there is nothing to do.
#
#   services.sh          fetch what is missing; fails if something is still missing
#   services.sh folder   print the cache folder
set -eu

# PostgreSQL refuses to run as root, and another user cannot read below root's home.
if [ -n "${WHERETO_SERVICES:-}" ]; then folder=$WHERETO_SERVICES
elif [ "$(id -u)" = 0 ]; then folder=/var/cache/whereto/services
else folder=${XDG_CACHE_HOME:-$HOME/.cache}/whereto/services
fi
if [ "${1:-}" = folder ]; then echo "$folder"; exit 0; fi

# has NAME PROGRAM: is the program in the PATH, where Debian hides it, or in the cache?
has() {
	command -v "$2" >/dev/null 2>&1 && return 0
	for found in /usr/lib/postgresql/*/bin/"$2" "$folder/$1"/usr/bin/"$2" "$folder/$1"/usr/lib/postgresql/*/bin/"$2"; do
		[ -x "$found" ] && return 0
	done
	return 1
}

# fetch NAME PACKAGE: unpacks the package and those it needs into the cache, whole or not
# at all.
fetch() {
	for tool in apt-get dpkg; do
		command -v $tool >/dev/null 2>&1 || {
			echo "services.sh: there is no $2 here and no $tool to get it with; install $2" >&2
			return 1
		}
	done
	needed=$(apt-get -s -q install --no-install-recommends "$2" 2>/dev/null | awk '/^Inst / {print $2}')
	[ -n "$needed" ] || {
		echo "services.sh: this machine's package lists have no $2; run apt-get update, or install $2" >&2
		return 1
	}
	echo "services.sh: fetching $2 for the tests into $folder" >&2
	mkdir -p "$folder"
	work=$(mktemp -d "$folder/.fetch-XXXXXX")
	trap 'rm -rf "$work"' EXIT
	# shellcheck disable=SC2086 # one word for each package
	(cd "$work" && apt-get -q -o Debug::NoLocking=1 -o APT::Sandbox::User=root download $needed) >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		return 1
	}
	mkdir "$work/root"
	for package in "$work"/*.deb; do dpkg -x "$package" "$work/root"; done
	chmod -R a+rX "$work/root"
	rm -rf "${folder:?}/$1"
	mv "$work/root" "$folder/$1"
	rm -rf "$work"
	trap - EXIT
}

missing=0
has postgres initdb || fetch postgres postgresql || missing=1
has redis redis-server || fetch redis redis-server || missing=1
exit $missing
