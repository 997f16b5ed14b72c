#!/usr/bin/env bash
# Training speed of whereto beside PyTorch: the same network, weights, batches and
# optimiser, alternating, one process at a time.
#
#   bench/peers/run.sh DATA [RECIPE]
#
# DATA is a check-in file of the recipe's format, RECIPE a recipe file or name
# (default nyc). Settings by environment:
#   ROUNDS=5 STEPS=30 BATCHES=6   rounds of A B, steps a measurement, batches
#   THREADS=2                     of PyTorch; ONNX Runtime takes one a physical core
#   VENV=DIR                      Python environment with PyTorch (made if absent)
#   PEER_TORCH=1.13.1             version to install when the environment is made
#   PEER_INDEX=URL                package index to install it from
#   WHERETO=FILE                  binary (default: built from this checkout)
#   BACKEND=onnx                  engine of whereto
# The result is printed and written to bench/peers/results/DATE.json.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
if [ $# -lt 1 ] || [ ! -e "$1" ]; then
	sed -n '2,17p' "$0" | sed 's/^# \{0,1\}//' >&2
	exit 2
fi
data=$(realpath "$1")
recipe=${2:-nyc}
rounds=${ROUNDS:-5} steps=${STEPS:-30} batches=${BATCHES:-6} backend=${BACKEND:-onnx}
export OMP_NUM_THREADS=${THREADS:-2} MKL_NUM_THREADS=${THREADS:-2} PYTHONDONTWRITEBYTECODE=1
cores=$(lscpu -p=CORE,SOCKET 2>/dev/null | grep -v '^#' | sort -u | wc -l || nproc)
if [ "$cores" != "$OMP_NUM_THREADS" ]; then
	echo "note: $cores physical cores, PyTorch gets $OMP_NUM_THREADS threads: set THREADS=$cores for a fair comparison" >&2
fi

venv=${VENV:-$here/.venv}
if [ ! -x "$venv/bin/python" ]; then
	python3 -m venv "$venv"
	if [ -n "${PEER_TORCH:-}" ]; then
		"$venv/bin/pip" install -q "torch==$PEER_TORCH" "numpy<3" ${PEER_INDEX:+--index-url "$PEER_INDEX"}
	else
		"$venv/bin/pip" install -q -r "$here/requirements.txt" ${PEER_INDEX:+--index-url "$PEER_INDEX"}
	fi
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
whereto=${WHERETO:-$work/whereto}
if [ ! -x "$whereto" ]; then
	(cd "$root" && go build -o "$whereto" ./cmd/whereto)
fi

train() { "$whereto" bench train "$recipe" --data "$data" --backend "$backend" --progress none -o json "$@" 2>>"$work/log"; }
peer() { "$venv/bin/python" "$here/spacetime_torch.py" "$work/export" --steps "$steps" "$@" 2>>"$work/log"; }
fail() { tail -n 20 "$work/log" >&2; exit 1; }

train --batches "$batches" --steps "$batches" --export "$work/export" >/dev/null || fail
peer --check || fail
grep 'without dropout' "$work/log" >&2
cut -d' ' -f1-3 /proc/loadavg >"$work/load" 2>/dev/null || echo unknown >"$work/load"
for round in $(seq "$rounds"); do
	train --batches "$batches" --steps "$steps" >"$work/go.$round.json" || fail
	peer >"$work/torch.$round.json" || fail
	echo "round $round of $rounds done" >&2
done
mkdir -p "$here/results"
"$venv/bin/python" "$here/summary.py" "$work" "$rounds" "$recipe" "$here/results/$(date -u +%Y-%m-%d).json"
