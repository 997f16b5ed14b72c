#!/bin/sh
# Finds PostgreSQL and Redis servers for the tests of the store, or unpacks Debian's
# packages of them into a cache folder, with what they need and this machine lacks.
# A PostgreSQL with pgvector, for the tests of vectors, comes from a Python wheel, because
# few releases of Debian have that package. Nothing is installed and nothing is started.
# Says nothing when there is nothing to do.
#
#   services.sh          fetch what is missing; fails if PostgreSQL or Redis still is
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

# has_pgvector: does a PostgreSQL here have the extension?
has_pgvector() {
	for found in /usr/share/postgresql/*/extension/vector.control "$folder"/postgres/usr/share/postgresql/*/extension/vector.control \
		"$folder"/pgvector/pgserver/pginstall/share/postgresql/extension/vector.control; do
		[ -f "$found" ] && return 0
	done
	return 1
}

# fetch_pgvector: unpacks the wheel, whole or not at all. The Python version only chooses
# which wheel; nothing in it is run by Python.
fetch_pgvector() {
	python3 -m pip --version >/dev/null 2>&1 || return 1
	echo "services.sh: fetching PostgreSQL with pgvector for the tests into $folder" >&2
	mkdir -p "$folder" || return 1
	work=$(mktemp -d "$folder/.fetch-XXXXXX") || return 1
	if python3 -m pip download --no-deps --only-binary=:all: --python-version 3.11 -d "$work" pgserver==0.1.4 >"$folder/pgvector.log" 2>&1 &&
		python3 -m zipfile -e "$work"/pgserver-*.whl "$work/root" >>"$folder/pgvector.log" 2>&1; then
		rm -rf "$work"/root/pgserver/pginstall/include "${folder:?}/pgvector"
		chmod -R a+rX "$work/root" && chmod a+x "$work"/root/pgserver/pginstall/bin/* && mv "$work/root" "$folder/pgvector"
	fi
	rm -rf "$work"
	has_pgvector && return 0
	echo "services.sh: it could not be fetched; $folder/pgvector.log says why" >&2
	return 1
}

missing=0
has postgres initdb || fetch postgres postgresql || missing=1
has redis redis-server || fetch redis redis-server || missing=1
has_pgvector || fetch_pgvector || true # its tests are skipped then
exit $missing
