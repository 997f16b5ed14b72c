#!/usr/bin/env bash
# Trains and measures every row of the post-training tables on the simulated
# country: pre-training, both kinds of ranking, alignment, the click model with their
# features, and the ablations. Finished runs are kept, so the script can be stopped
# and started again; at the end it prints all tables.
#
#   bench/city.sh [OUT]
#
# SEEDS="1 2 3" and ROWS="chain rows ablations lengths" choose what is run: chain is
# the shortest way through all stages, rows the rest of the tables. Alignment, ablations
# and lengths are of the first seed.
set -euo pipefail
out=${1:-runs/city}
w=${WHERETO:-bin/whereto}
seeds=${SEEDS:-1 2 3}
want=${ROWS:-chain rows ablations lengths}
mkdir -p "$out"
has() { [[ " $want " == *" $1 "* ]]; }

[ -e "$out/data/actions.parquet" ] || "$w" data synth --recipe city --out "$out/data" --progress plain

# timed NAME COMMAND...: a run in $out/NAME, once.
timed() {
  local name=$1; shift
  [ -e "$out/$name/DONE" ] && return
  local start=$SECONDS
  "$w" "$@" --out "$out/$name" --progress plain 2>"$out/$name.log" >/dev/null || { tail -3 "$out/$name.log" >&2; return 1; }
  echo "$name: $((SECONDS - start)) s" | tee -a "$out/times.txt"
}
pre() { timed "$1-s$2" pretrain city --seed "$2" --data "$out/data" "${@:3}"; }
tune() { timed "$3-s$4" finetune "$1" "$2" --seed "$4" --from "$out/pre-s$4" --set "name=$3" "${@:5}"; }
fold() { tune rank city-rank "$1" "$2" --set feed.folds=2 --set "feed.fold=$3"; }
plain=(--set media.kind=none)

first=${seeds%% *}

for s in $seeds; do
  pre pre "$s"
  if has chain; then
    tune embed city-embed embed-media "$s"
    tune rank city-rank rank-media "$s"
    [ "$s" != "$first" ] || tune align city-align dpo "$s"
  fi
  if has rows; then
    tune embed city-embed embed "$s" "${plain[@]}"
    tune rank city-rank rank "$s" "${plain[@]}"
    tune embed city-embed embed-scratch "$s" --set tune.scratch=true
    tune rank city-rank rank-scratch "$s" --set tune.scratch=true
    tune base city-base base "$s"
    tune base city-base base+E "$s" --with "$out/embed-media-s$s"
    # What a rank run says of its own training clicks is too good: each half speaks of
    # the other's users.
    fold rank-f0 "$s" 0
    fold rank-f1 "$s" 1
    folds=(--with "$out/rank-f0-s$s" --with "$out/rank-f1-s$s")
    tune base city-base base+G "$s" "${folds[@]}"
    tune base city-base base+both "$s" --with "$out/embed-media-s$s" "${folds[@]}"
    [ "$s" != "$first" ] || tune base city-base base+seen "$s" --with "$out/rank-media-s$s"
  fi
done
if has rows; then
  tune align city-align sdpo "$first" --set tune.loss=sdpo
  tune align city-align printed "$first" --set tune.anchor=0
  # Targeted pairs alone: what they move is not mixed with what clicks move.
  tune align city-align meals "$first" --set preferences.rules="$(dirname "$0")/meals.yaml" --set preferences.targets=40000 \
    --set preferences.feed=0 --set tune.anchor=0
fi
if has ablations; then
  pre no-spacetime "$first" --set name=no-spacetime --set model.time=false --set model.geo=false --set model.spacetime_bias=false --set batch.location=none
  pre no-hierarchy "$first" --set name=no-hierarchy --set data.index.mode=hash
  pre no-curriculum "$first" --set name=no-curriculum --set batch.curriculum=0
  pre gpt "$first" --set name=gpt --set data.index.mode=hash --set model.time=false --set model.geo=false --set model.category=false \
    --set model.spacetime_bias=false --set model.action_token=false --set batch.location=none --set batch.profile=0 --set batch.curriculum=0
fi
if has lengths; then
  for n in 8 16 32; do
    tune rank city-rank "rank-$n" "$first" "${plain[@]}" --set batch.window="$n" --set batch.chunk="$n"
  done
fi

# runs NAME...: the folders of all seeds of these rows.
runs() { for name in "$@"; do for s in $seeds; do echo "$out/$name-s$s"; done; done; }
# one NAME...: their folders of the first seed.
one() { for name in "$@"; do echo "$out/$name-s$first"; done; }
# table FILE COMMAND...: prints a table and keeps it.
table() { local file=$1; shift; echo; echo "== $file"; "$w" "$@" -o markdown | tee "$out/$file.md"; }

if has rows; then
  table ranking eval --on impressions $(runs base base+E base+G base+both)
  table seen eval --on impressions $(one base base+G base+seen)
  table stages eval --on impressions $(runs embed-media embed-scratch embed rank-media rank-scratch rank pre)
  table alignment eval --on lists $(one pre dpo sdpo printed) --rows 9000 --judge city
  table alignment-auc eval --on impressions $(one pre dpo sdpo printed meals)
  table meals eval --on lists $(one pre meals) --rows 4000 --rules "$(dirname "$0")/meals.yaml"
fi
if has ablations; then table ablations eval $(one gpt pre no-spacetime no-hierarchy no-curriculum); fi
if has lengths; then table lengths eval --on impressions $(one rank-8 rank-16 rank-32 rank); fi
