#!/usr/bin/env bash
# tools/verify_gpu.sh where there is no GPU, and its whole way with stand-ins for the programs and the GPU.
#     verify_gpu.sh SOURCE_FOLDER
set -euo pipefail
command -v python3 >/dev/null || { echo "skipped: there is no python3"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PATH=$work/path:$PATH
mkdir -p "$work/path" "$work/bin" "$work/tree/tools" "$work/tree/bench"
cp "$1"/tools/{verify_gpu,steps}.sh "$work/tree/tools"
cp "$1/bench/kernel_table.py" "$work/tree/bench"
script=$work/tree/tools/verify_gpu.sh

# stand_in NAME: a program of the lines on stdin.
stand_in() {
    { echo '#!/bin/bash'; cat; } >"$work/$1"
    chmod +x "$work/$1"
}
fail() {
    echo "$1"
    cat "$work/said"
    exit 1
}
# says STATUS ARGUMENT...: the script with these arguments ends so.
says() {
    local want=$1 status=0
    shift
    bash "$script" "$@" >"$work/said" 2>&1 || status=$?
    [ "$status" -eq "$want" ] || fail "verify_gpu.sh $* ends with $status, not $want"
}
speaks_of() {
    for word in "$@"; do
        grep -q -- "$word" "$work/said" || fail "nothing of '$word'"
    done
}

# Without a GPU: every step is named, none is run.
stand_in path/nvidia-smi <<<'exit 9'
says 4
speaks_of 'no NVIDIA GPU' 'cmake --preset gpu' test_port_cuda test_kernels_cuda 'step of every network' 'bit for bit' memcheck racecheck initcheck \
    synccheck bench_kernels bench_ladder 'fer-bench run' 'fer-bench ops' bench/results
says 4 --bin "$work/bin" --only goldens
speaks_of 'bit for bit'
! grep -qE 'memcheck|cmake' "$work/said" || fail 'steps that were not asked for'
says 2 --only speed
speaks_of "no part 'speed'"
says 2 --bin
speaks_of 'needs a value'

# With one, and programs that all succeed.
stand_in path/nvidia-smi <<'END'
case $* in *driver_version*) echo 580.1 ;; *) echo 'NVIDIA H200' ;; esac
END
stand_in path/compute-sanitizer <<'END'
echo '[  PASSED  ] 7 tests.'
echo '========= ERROR SUMMARY: 0 errors'
END
stand_in bin/test_port_cuda <<<'echo "[  PASSED  ] 3 tests."'
stand_in bin/test_kernels_cuda <<<'echo "[  PASSED  ] 5 tests."'
stand_in bin/test_run <<'END'
[ "$1" = '--gtest_filter=All/*/cuda_*' ] && echo '[  PASSED  ] 9 tests.'
END
stand_in bin/bench_kernels_emulated <<'END'
[ "$3" = --write-hashes ] && echo 'ab cast' >"$4"
END
stand_in bin/bench_ladder <<'END'
for option in "$@"; do
    case $option in --benchmark_out=*) out=${option#*=} ;; esac
done
[ -z "${out:-}" ] || cat >"$out" <<'JSON'
{"context": {"device": "NVIDIA H200", "batch": "64", "peak bytes": "4300 GB/s"},
 "benchmarks": [
  {"name": "conv2d_fwd/bf16/net/conv2d_3/iterations:1/manual_time", "label": "64x24x24x128 by 3x3x256",
   "real_time": 40.0, "min_us": 39, "p90_us": 41, "launches": 50, "bytes": 25886720, "flops": 18270388224,
   "GB/s": 647.1, "TFLOP/s": 456.7, "of_peak": 0.43},
  {"name": "add_fwd/f32/net/add/iterations:1/manual_time", "error_occurred": true, "error_message": "out of memory"}]}
JSON
echo '1 cases, 0 failures'
END
cp "$work/bin/bench_ladder" "$work/bin/bench_kernels"
stand_in bin/fer-bench <<'END'
while [ "$1" != --json ]; do shift; done
printf '{"schema": "stand-in", "benchmarks": [\n{"aggregate_name": "median"},\n{"implementation": "cudnn"}]}\n' >"$2"
END
says 0 --bin "$work/bin" --out "$work/out"
speaks_of 'NVIDIA H200, driver 580.1' '5 tests' 'steps .*9 tests' 'synccheck .*2 of 2 programs' 'memcheck_tests .*7 tests' '2 cases, 2 failed' 'networks .*1 rows' 'sweep .*1 rows' '^0 failed'
grep -q 'conv2d_fwd | bf16 | net/conv2d_3 | 64x24x24x128 by 3x3x256 | 40 | 457 TFLOP/s | 43' "$work"/out/*-kernels.md ||
    fail 'no row of the table'
grep -q 'failed: add_fwd f32 net/add: out of memory' "$work"/out/*-kernels.md || fail 'no word of the case that failed'
python3 -m json.tool "$work"/out/*-kernels.json >/dev/null

# A failure is counted and does not keep the rest from being done.
stand_in bin/test_kernels_cuda <<<'exit 1'
says 1 --bin "$work/bin" --out "$work/out"
speaks_of 'step "kernels" failed' 'bench_ladder' '^1 failed'
rm "$work/bin/test_port_cuda"
says 1 --bin "$work/bin" --out "$work/out"
speaks_of 'there is no .*test_port_cuda'
