#!/usr/bin/env bash
# Speed of serving beside PyTorch: the same network behind whereto's service and behind
# a plain Python server, one after the other, round by round, on one machine with the
# load.
#
#   bench/peers/serve.sh DATA RUN [RECIPE]
#
# DATA is a check-in file, RUN a run trained on it, RECIPE its recipe (default nyc).
# Settings by environment:
#   ROUNDS=3 SECONDS_EACH=20      rounds of A B, seconds of a measurement
#   RATES="100 200 300 400"       offered requests a second, after one client alone
#   THREADS=2 VENV=DIR            as in run.sh
#   WHERETO=FILE                  binary (default: built from this checkout)
# The tables are printed; raw results go to bench/peers/results/DATE-serve/.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
if [ $# -lt 2 ] || [ ! -e "$1" ] || [ ! -d "$2" ]; then
	sed -n '2,16p' "$0" | sed 's/^# \{0,1\}//' >&2
	exit 2
fi
data=$(realpath "$1") run=$(realpath "$2") recipe=${3:-nyc}
rounds=${ROUNDS:-3} seconds=${SECONDS_EACH:-20} rates=${RATES:-100 200 300 400}
export OMP_NUM_THREADS=${THREADS:-2} MKL_NUM_THREADS=${THREADS:-2} PYTHONDONTWRITEBYTECODE=1
venv=${VENV:-$here/.venv}
[ -x "$venv/bin/python" ] || { echo "make the environment first: bench/peers/run.sh does" >&2; exit 1; }
work=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" 2>/dev/null; server=; } || server=; }
trap 'stop; rm -rf "$work"' EXIT
whereto=${WHERETO:-$work/whereto}
[ -x "$whereto" ] || (cd "$root" && go build -o "$whereto" ./cmd/whereto)
out="$here/results/$(date -u +%Y-%m-%d)-serve"
mkdir -p "$out"

"$whereto" bench train "$recipe" --data "$data" --batches 4 --steps 4 --progress none -o json --export "$work/export" >/dev/null 2>"$work/log" || { tail -5 "$work/log" >&2; exit 1; }

up() { # NAME URL COMMAND...: starts a server and waits until it answers
	local name=$1 url=$2; shift 2
	"$@" >"$work/$name.out" 2>&1 &
	server=$!
	for _ in $(seq 120); do curl -sf "$url" >/dev/null && return; sleep 0.5; done
	tail -5 "$work/$name.out" >&2; exit 1
}
measure() { # NAME URL ROUND
	"$whereto" bench serve "$2" --clients 1 --duration "${seconds}s" --warmup 5s --mix recommend=1 --seed 1 --progress none -o json >"$out/$1-1client-$3.json"
	for r in $rates; do
		"$whereto" bench serve "$2" --rate "$r" --duration "${seconds}s" --warmup 5s --mix recommend=1 --seed 1 --progress none -o json >"$out/$1-$r-$3.json" || true
	done
}
for round in $(seq "$rounds"); do
	up whereto http://127.0.0.1:8091/readyz "$whereto" serve "$run" --data "$data" --listen 127.0.0.1:8091 --admin-listen "" --store "sqlite:$work/state.db" --rate 0 --log-level error --progress none
	measure whereto http://127.0.0.1:8091 "$round"
	stop
	up torch http://127.0.0.1:8092/livez "$venv/bin/python" "$here/serve_torch.py" "$work/export" --port 8092
	measure torch http://127.0.0.1:8092 "$round"
	stop
	echo "round $round of $rounds done" >&2
done
"$venv/bin/python" "$here/serve_summary.py" "$out"
