#!/usr/bin/env bash
# What only a GPU can tell: the kernel tests and a step of every network on it, the bits of exact cases against the emulator, compute-sanitizer's
# findings, and how fast each kernel, each network and each implementation of a layer is. Without a GPU it says what it would do and ends with status 4.
#
#     bash tools/verify_gpu.sh [--bin FOLDER] [--out FOLDER] [--only tests,steps,goldens,sanitizer,bench] [--filter REGEX]
#
# --bin     programs built elsewhere: those of `cmake --build --preset gpu`. Otherwise they are built here
# --out     where the figures go; bench/results/DEVICE without it
# --only    some of the parts
# --filter  which benchmarks, as Google Benchmark takes it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/steps.sh
source tools/steps.sh

programs=(test_port_cuda test_kernels_cuda test_run bench_kernels bench_kernels_emulated bench_ladder fer-bench)
bin='' out='' parts=tests,steps,goldens,sanitizer,bench filter=.
usage() {
    echo "verify_gpu.sh: $1; verify_gpu.sh [--bin FOLDER] [--out FOLDER] [--only PARTS] [--filter REGEX]" >&2
    exit 2
}
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage "$1 needs a value"
    case $1 in
    --bin) bin=$(realpath "$2") ;;
    --out) out=$(realpath -m "$2") ;;
    --only) parts=$2 ;;
    --filter) filter=$2 ;;
    *) usage "unknown option $1" ;;
    esac
    shift 2
done
for part in ${parts//,/ }; do
    case $part in
    tests | steps | goldens | sanitizer | bench) ;;
    *) usage "no part '$part'; one of tests, steps, goldens, sanitizer, bench" ;;
    esac
done
wants() { [[ ,$parts, == *,$1,* ]]; }

build() {
    bash tools/static_libraries.sh &&
        cmake --preset gpu &&
        cmake --build --preset gpu --parallel "$(nproc)"
}
# The port's tests without those that read the source tree.
port() {
    "$bin/test_port_cuda" --gtest_filter='-PortLint.*' && note=$(last_line port '\[  PASSED')
}
kernels() {
    "$bin/test_kernels_cuda" && note=$(last_line kernels '\[  PASSED')
}
steps() {
    "$bin/test_run" --gtest_filter='All/*/cuda_*' && note=$(last_line steps '\[  PASSED')
}
# Small integers leave no rounding: each device must make the same bits.
goldens() {
    "$bin/bench_kernels_emulated" --most 8 --write-hashes "$logs/hashes.txt" &&
        "$bin/bench_kernels" --check --most 8 --compare-hashes "$logs/hashes.txt" &&
        note=$(tail -n 1 "$logs/goldens.log")
}
ladder() {
    "$bin/bench_ladder" --check --most 8 && note=$(tail -n 1 "$logs/ladder.log")
}
# under TOOL PROGRAM OPTION...: refused calls are no findings, since tests provoke some and the programs check all.
under() {
    local tool=$1
    shift
    compute-sanitizer --tool "$tool" --report-api-errors no --error-exitcode 9 "$bin/$1" "${@:2}"
}
# --raw leaves memory as it is allocated, for initcheck to know it as such.
sanitizer() {
    under "$1" bench_kernels --check --raw &&
        under "$1" test_port_cuda --gtest_filter='-PortLint.*' &&
        note=$(grep -ac 'ERROR SUMMARY: 0 errors' "$logs/$1.log" || true)" of 2 programs without an error"
}
memcheck_tests() {
    under memcheck test_kernels_cuda && note=$(last_line memcheck_tests '\[  PASSED')
}
bench() {
    "$bin/$1" --benchmark_filter="$filter" --benchmark_out="$logs/$1.json" --benchmark_out_format=json &&
        [ -s "$logs/$1.json" ] &&
        note=$(grep -ac '"real_time"' "$logs/$1.json" || true)" cases"
}
table() {
    python3 bench/kernel_table.py --driver "$driver" --commit "$commit" --out "$out" "$logs"/bench_*.json &&
        note=$(tail -n 1 "$logs/table.log")
}

# Images per second of every network, and ours against cuDNN and cuBLASLt for every layer shape.
networks() {
    local file
    file=$out/$(date -u +%F)-$commit.json
    mkdir -p "$out" &&
        "$bin/fer-bench" run --models all --batch 1,64,256 --device cuda --commit "$commit" --json "$file" --markdown "${file%.json}.md" &&
        note=$(grep -ac '"aggregate_name"' "$file" || true)" rows"
}
sweep() {
    local file
    file=$out/$(date -u +%F)-$commit-ops.json
    "$bin/fer-bench" ops --models all --batch 64 --device cuda --json "$file" --markdown "${file%.json}.md" &&
        note=$(grep -ac '"implementation"' "$file" || true)" rows"
}

# perform NAME WHAT COMMAND...: runs the step, or on a machine without a GPU says what it is.
failed=0
perform() {
    local name=$1 what=$2
    shift 2
    if [ -z "$gpu" ]; then
        printf '%-14s %s\n' "$name" "$what"
    else
        step "$name" "$@" || failed=$((failed + 1))
    fi
}

gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1 || true)
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
if [ -z "$gpu" ]; then
    echo "verify_gpu.sh: no NVIDIA GPU here. On a machine with one it would do this:"
else
    driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -n 1)
    use_logs build/verify-gpu
    rm -f "$logs"/bench_*.json
    [ -n "$out" ] || out=bench/results/$(tr '[:upper:] ' '[:lower:]-' <<<"$gpu")
    echo "$gpu, driver $driver, commit $commit"
fi
if [ -z "$bin" ]; then
    perform build "static libraries, cmake --preset gpu: ${programs[*]}" build
    bin=$PWD/build/gpu/bin
fi
if [ -n "$gpu" ]; then
    for program in "${programs[@]}"; do
        [ -x "$bin/$program" ] || { echo "verify_gpu.sh: there is no $bin/$program" >&2; exit 1; }
    done
fi
if wants tests; then
    perform port "test_port_cuda: shuffles, ldmatrix, mma, cp.async and rounding, as the emulator models them" port
    perform kernels "test_kernels_cuda: the cases of the emulator against the CPU reference" kernels
fi
if wants steps; then
    perform steps "test_run: a step of every network against the CPU reference, every implementation against ours, ten runs alike" steps
fi
if wants goldens; then
    perform goldens "exact cases of each kernel: hashes of the emulator's results, compared bit for bit" goldens
    perform ladder "the rungs of the ladders against their first" ladder
fi
if wants sanitizer; then
    for tool in memcheck racecheck initcheck synccheck; do
        perform "$tool" "compute-sanitizer --tool $tool: the smallest cases of each kernel, and test_port_cuda" sanitizer "$tool"
    done
    perform memcheck_tests "compute-sanitizer --tool memcheck: test_kernels_cuda" memcheck_tests
fi
if wants bench; then
    perform bench_kernels "each kernel on each layer of the networks" bench bench_kernels
    perform bench_ladder "the rungs of the ladders" bench bench_ladder
    perform networks "fer-bench run: every network, training and inference, beside the limit of this GPU" networks
    perform sweep "fer-bench ops: every layer shape, handwritten against cuDNN and cuBLASLt" sweep
    perform table "${out:-bench/results/DEVICE}: a table in Markdown and all rows in JSON" table
fi
[ -n "$gpu" ] || exit 4
echo "$failed failed"
[ "$failed" -eq 0 ]
