#!/usr/bin/env bash
# fer beside PyTorch on this machine's CPU, in one run: model by model, each measured in turn, the same batch, threads and
# precision. Writes the rows and a table into bench/results/.
#
#   bench/side_by_side.sh PYTHON [--models a,b] [--phases train,infer] [--batch N] [--steps N] [--rounds N]
#
# PYTHON is an interpreter with torch and numpy (pip install torch numpy).
set -euo pipefail
cd "$(dirname "$0")/.."

python=${1:-}
[ -n "$python" ] || { echo "usage: bench/side_by_side.sh PYTHON [--models a,b] [--phases train] [--batch N] [--steps N] [--rounds N]" >&2; exit 2; }
shift
models=custom_cnn,simpler_cnn,residual_cnn,separable_cnn phases=train steps=10 rounds=3 batch=64 threads=$(nproc)
while [ $# -gt 0 ]; do
    case $1 in
        --models) models=$2 ;;
        --phases) phases=$2 ;;
        --steps) steps=$2 ;;
        --rounds) rounds=$2 ;;
        --batch) batch=$2 ;;
        *) echo "side_by_side.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done

bench=build/release/bin/fer-bench
[ -x "$bench" ] || bench=build/cpu/bin/fer-bench
[ -x "$bench" ] || { echo "side_by_side.sh: build it first: cmake --preset release && cmake --build --preset release" >&2; exit 2; }

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for model in ${models//,/ }; do
    for phase in ${phases//,/ }; do
        for round in $(seq "$rounds"); do
            echo "== $model $phase, round $round of $rounds" >&2
            "$bench" --threads "$threads" --steps "$steps" run --models "$model" --phase "$phase" --batch "$batch" \
                --json "$out/fer-$model-$phase-$round.json" >&2
            "$python" bench/baselines/pytorch.py --models "$model" --phases "$phase" --batch "$batch" --threads "$threads" \
                --steps "$steps" --json "$out/torch-$model-$phase-$round.json" >&2
        done
    done
done
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
"$python" bench/side_by_side_table.py "$out" "$commit"
