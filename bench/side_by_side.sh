#!/usr/bin/env bash
# fer beside PyTorch, and Keras if asked for, on one device in one run: network by network and round by round in turn, A/B/A/B,
# each in a process of its own; the same batch, precision and threads. Writes all rows into one file and the comparison beside
# it, in bench/results/DEVICE/, and the table of bench/README.md.
#
#   bash bench/side_by_side.sh --device cpu --pytorch PYTHON [--keras PYTHON] [--models a,b] [--phase train,infer] [--batch N]
#        [--rounds N] [--duration SECONDS] [--mode eager,compiled,captured] [--threads N] [--bin FOLDER] [--out FOLDER]
#
# PYTHON is an interpreter with torch and numpy (pip install torch numpy), or with tensorflow-cpu==2.15.1 and h5py; python3 if
# --pytorch is not given. A round is one repetition of so many seconds; nine make a comparison that can be relied on.
set -euo pipefail
cd "$(dirname "$0")/.."

device=cpu pytorch=python3 keras='' models=custom_cnn,simpler_cnn,residual_cnn,separable_cnn phase=train batch=64
rounds=9 duration=2 mode=eager threads=$(nproc) bin='' out=''
while [ $# -gt 0 ]; do
    case $1 in
        --device | --pytorch | --keras | --models | --phase | --batch | --rounds | --duration | --mode | --threads | --bin | --out)
            [ $# -ge 2 ] || { echo "side_by_side.sh: $1 needs a value" >&2; exit 2; }
            declare "${1#--}=$2"
            ;;
        *) echo "side_by_side.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done
if [ -z "$bin" ]; then
    bin=build/release/bin
    [ -x "$bin/fer-bench" ] || bin=build/cpu/bin
fi
[ -x "$bin/fer-bench" ] || { echo "side_by_side.sh: build it first: cmake --preset release && cmake --build --preset release" >&2; exit 2; }
"$pytorch" -c 'import torch' 2>/dev/null || { echo "side_by_side.sh: $pytorch has no torch; --pytorch names an interpreter that has" >&2; exit 2; }
models=${models/#all/custom_cnn,simpler_cnn,deeper_cnn,residual_cnn,separable_cnn,gap_cnn,new_model,vgg16_tl,resnet50v2_tl,mobilenetv2_tl,resnet50_tl,vgg16_fc_tl}

commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
rows=$(mktemp -d)
trap 'rm -rf "$rows"' EXIT
# text FILE EXPRESSION: of the JSON in FILE, which is called r.
text() { "$pytorch" -c "import json, sys; r = json.load(open(sys.argv[1])); print($2)" "$1"; }

for model in ${models//,/ }; do
    for way in ${phase//,/ }; do
        declare -A layout=()
        for round in $(seq "$rounds"); do
            echo "== $model $way, round $round of $rounds" >&2
            name=$model-$way-$(printf %03d "$round").json
            case_of=(--models "$model" --phase "$way" --batch "$batch" --device "$device" --duration "$duration" --repetitions 1)
            "$bin/fer-bench" --quiet --threads "$threads" run "${case_of[@]}" --commit "$commit" --json "$rows/fer-$name" >/dev/null
            description=$(text "$rows/fer-$name" "r['benchmarks'][0]['device']")
            precision=$(text "$rows/fer-$name" "r['benchmarks'][0]['precision']")
            theirs=("${case_of[@]}" --threads "$threads" --precision "$precision" --device-description "$description")
            for how in ${mode//,/ }; do
                # Of PyTorch's two layouts the faster one of the first round is measured on.
                "$pytorch" bench/baselines/pytorch.py "${theirs[@]}" --mode "$how" ${layout[$how]:+--layout "${layout[$how]}"} \
                    --json "$rows/pytorch.$how-$name" >&2
                layout[$how]=$(text "$rows/pytorch.$how-$name" "r['benchmarks'][0]['layout']")
            done
            if [ -n "$keras" ]; then
                "$keras" bench/baselines/keras.py "${theirs[@]}" --json "$rows/keras.graph-$name" >&2
            fi
        done
    done
done

# The labels that rows carry become the ends of their names.
"$bin/fer-bench" --quiet import-external "$rows"/fer-*.json --out "$rows/ours.json" >/dev/null
folder=${out:-bench/results/$(tr '[:upper:] ' '[:lower:]-' <<<"${description%%,*}")}
mkdir -p "$folder"
target=$folder/$(date -u +%F)-$commit-side-by-side
all=("$rows/ours.json")
: >"$target.md"
for first in "$rows"/*-"${models%%,*}-${phase%%,*}"-001.json; do
    kind=$(basename "$first")
    kind=${kind%%-*}
    [ "$kind" != fer ] || continue
    "$bin/fer-bench" --quiet import-external "$rows/$kind"-*.json --out "$rows/$kind.merged" >/dev/null
    "$bin/fer-bench" compare "$rows/$kind.merged" "$rows/ours.json" --markdown "$rows/table.md"
    cat "$rows/table.md" >>"$target.md"
    echo >>"$target.md"
    label=$(text "$rows/$kind.merged" "r['benchmarks'][0]['framework']")
    "$bin/fer-bench" --quiet import-external "$rows/$kind.merged" --label "$label" --out "$rows/$kind.labelled" >/dev/null
    all+=("$rows/$kind.labelled")
done
"$bin/fer-bench" --quiet import-external "${all[@]}" --out "$target.json" >/dev/null
[ -n "$out" ] || "$pytorch" bench/results_table.py
echo "saved $target.json and .md"
