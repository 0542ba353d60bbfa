#!/usr/bin/env bash
# Every test there is: the optimised build with the checks of the sources, then the build with AddressSanitizer,
# UndefinedBehaviorSanitizer and arena canaries. The last line is the sum of both; the status is 0 only if nothing failed.
#
#     bash tools/test.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/steps.sh
source tools/steps.sh
use_logs build/test
for name in $(compgen -v FER_); do
    unset "$name" # settings of the caller's own runs
done

passed=0 failed=0 skipped=0
finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

packages() {
    bash tools/setup.sh test &&
        note=$(tail -n 1 "$logs/packages.log")
}
build() {
    cmake --preset "$preset" &&
        cmake --build --preset "$preset" --parallel "$(nproc)"
}
# The tests use few threads each: many tests at a time, and threads that wait without spinning.
run_tests() {
    OMP_WAIT_POLICY=passive ctest --preset "$preset" --parallel "$(nproc)" --output-junit "$logs/$preset.xml"
}
attribute() {
    sed -n "/<testsuite /,/>/ s/.*\\b$1=\"\\([0-9]*\\)\".*/\\1/p" "$logs/$preset.xml" | head -n 1
}
test_preset() {
    preset=$1
    step "build-$preset" build || { failed=$((failed + 1)) && return; }
    rm -f "$logs/$preset.xml"
    local status=0 begin=$SECONDS
    run_tests >"$logs/test-$preset.log" 2>&1 </dev/null || status=$?
    local all bad not_run
    all=$(attribute tests) bad=$(attribute failures) not_run=$(($(attribute skipped) + $(attribute disabled)))
    ...
}
