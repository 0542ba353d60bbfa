#!/usr/bin/env bash
# A run that is killed, or whose disk fails it, again and again, ends with the bits of one that nobody disturbed, and
# never loses what it had saved.
#     durability.sh FER FAIL_IO_LIBRARY|- [KILLS [FAILURES]]
# KILLS times kill -9 at a random moment; FAILURES of the attempts to write, evenly spread ("all": every single one),
# fail one by one.
set -euo pipefail
fer=$(realpath "$1")
library=$2
[ "$library" = - ] || library=$(realpath "$library")
kills=${3:-3}
failures=${4:-3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMP_NUM_THREADS=1
settings=(simpler_cnn --width 0.05 --data synthetic:70 --batch 16 --epochs 4 --no-cache --tensorboard --quiet)
state=runs/train/run/weights/last.state.safetensors

fail() { echo "$*" >&2; [ ! -s log ] || cat log >&2; exit 1; }

# Starts the run, or goes on with it if it has saved anything.
go_on() {
    if [ -e "$state" ]; then
        exec "$fer" train --resume runs/train/run --no-cache --quiet
    fi
    rm -rf runs/train/run
    exec "$fer" train "${settings[@]}" --name run
}

expect_same() {
    local file
    for file in best last; do
        cmp -s "whole/weights/$file.safetensors" "runs/train/run/weights/$file.safetensors" ||
            fail "$1: $file.safetensors is not that of the undisturbed run"
    done
    local left
    left=$(find runs/train/run/weights -type f ! -name '*.safetensors')
    [ -z "$left" ] || fail "$1: left behind: $left"
}

"$fer" train "${settings[@]}" --name run >log 2>&1 || fail "the undisturbed run failed"
mv runs/train/run whole

killed=0
finished=0
while [ "$killed" -lt "$kills" ]; do
    had=$([ -e "$state" ] && echo yes || echo no)
    (go_on) >log 2>&1 &
    process=$!
    sleep "0.$(printf '%03d' $((RANDOM % 700)))"
    kill -9 "$process" 2>/dev/null || true
    status=0
    wait "$process" 2>/dev/null || status=$?
    case $status in
        0)
            expect_same "after $killed kills"
            finished=$((finished + 1))
            rm -rf runs/train/run
            ;;
        137)
            killed=$((killed + 1))
            [ "$had" = no ] || [ -e "$state" ] || fail "kill $killed: the saved state is gone"
            ;;
        *) fail "after $killed kills a run ends with $status" ;;
    esac
done
(go_on) >log 2>&1 || fail "after $killed kills the run cannot be finished"
expect_same "after $killed kills"
echo "$killed kills: nothing lost, $((finished + 1)) runs of equal bits"

[ "$library" != - ] || exit 0
rm -rf runs/train/run
FER_FAIL_COUNT=count LD_PRELOAD=$library "$fer" train "${settings[@]}" --name run >log 2>&1 || fail "with a library that does nothing"
attempts=$(cat count)
[ "$attempts" -gt 50 ] || fail "only $attempts attempts to write were seen"
[ "$failures" != all ] || failures=$attempts
refused=0
for ((k = 0; k < failures; ++k)); do
    n=$((1 + k * attempts / failures))
    rm -rf runs/train/run
    status=0
    FER_FAIL_IO=$n LD_PRELOAD=$library "$fer" train "${settings[@]}" --name run >log 2>&1 || status=$?
    case $status in
        0) ;;
        9)
            refused=$((refused + 1))
            grep -q '^fer: error: cannot ' log || fail "attempt $n: no error in words"
            status=0
            (go_on) >log 2>&1 || fail "attempt $n: the run cannot be taken up again"
            ;;
        *) fail "attempt $n failed: status $status" ;;
    esac
    expect_same "attempt $n failed"
done
echo "$failures of $attempts attempts failed: $refused runs said so, all ended with equal bits"
