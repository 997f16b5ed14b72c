#!/usr/bin/env bash
# Trains and measures every row of the result tables in README.md and
# docs/BENCHMARKS.md, one run at a time. Finished runs are kept, so the script can
# be stopped and started again.
#
#   bench/tables.sh NYC_TSV [GOWALLA_DIR] [OUT]
#
# NYC_TSV is the New York file (8 TAB-separated columns, .gz or plain), GOWALLA_DIR
# holds val.csv.gz and test.csv.gz of the late Gowalla-CA set. Rows: seeds,
# ablations, gowalla, paper; ROWS="seeds ablations" runs only these.
set -euo pipefail
nyc=${1:?"usage: bench/tables.sh NYC_TSV [GOWALLA_DIR] [OUT]"}
gowalla=${2:-}
out=${3:-runs/tables}
w=${WHERETO:-bin/whereto}
rows=${ROWS:-seeds ablations gowalla paper}
mkdir -p "$out"

# fit NAME RECIPE SEED DATA... [-- SETTING...]
fit() {
  local name=$1 recipe=$2 seed=$3; shift 3
  local data=() sets=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do data+=(--data "$1"); shift; done
  [ $# -gt 0 ] && shift
  for s in "$@"; do sets+=(--set "$s"); done
  [ -e "$out/$name/DONE" ] && return
  echo "== $name: $recipe seed $seed ${sets[*]-}"
  local start=$SECONDS
  "$w" pretrain "$recipe" --seed "$seed" --out "$out/$name" --progress plain "${data[@]}" "${sets[@]}" 2>"$out/$name.log"
  echo "   $((SECONDS - start)) s"
}

if [[ " $rows " == *" seeds "* ]]; then
  for seed in 1 2 3; do fit "nyc-s$seed" nyc "$seed" "$nyc"; done
  "$w" eval "$out"/nyc-s{1,2,3} --split test | tee "$out/nyc.txt"
fi

# Every row of the ablation table has the same seed and the same shortened budget.
budget=(training.epochs=1)
ablations=(
  "all"
  "no-copy-head model.copy_head=false model.evidence=false"
  "pointer-for-evidence model.evidence=false model.pointer=true model.state_dropout=0"
  "evidence-and-state model.state_dropout=0"
  "evidence-state-pointer model.pointer=true model.state_dropout=0"
  "no-spacetime-bias model.spacetime_bias=false"
  "requests-visible model.hide_requests=false"
  "untied-embeddings model.tied_embeddings=false"
  "no-user-embedding model.user_embedding=false"
  "current-trajectory-only model.whole_history=false evidence.whole_history=false"
  "no-target-weight batch.last_weight=1"
  "no-location batch.location=none"
  "scalar-gates model.gate=scalar"
)
if [[ " $rows " == *" ablations "* ]]; then
  dirs=()
  for row in "${ablations[@]}"; do
    read -r -a parts <<<"$row"
    fit "ablation-${parts[0]}" nyc 1 "$nyc" -- "${budget[@]}" "${parts[@]:1}"
    dirs+=("$out/ablation-${parts[0]}")
  done
  "$w" eval "${dirs[@]}" --split validation -o markdown | tee "$out/ablations.md"
fi

if [[ " $rows " == *" gowalla "* && -n $gowalla ]]; then
  fit gowalla-s1 gowalla-ca 1 "$gowalla/val.csv.gz" "$gowalla/test.csv.gz"
  "$w" eval "$out/gowalla-s1" --split test | tee "$out/gowalla.txt"
fi

if [[ " $rows " == *" paper "* ]]; then
  fit nyc-paper nyc-paper 1 "$nyc"
  "$w" eval "$out/nyc-paper" --split test | tee "$out/paper.txt"
fi
