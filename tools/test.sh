#!/usr/bin/env bash
# Every test there is: the optimised build with the checks of the sources, then the build with AddressSanitizer,
# UndefinedBehaviorSanitizer and arena canaries. The last line sums up both; the status is 0 only if nothing failed.
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

packages() {
    bash tools/setup.sh test &&
        note=$(tail -n 1 "$logs/packages.log")
}
build() {
    cmake --preset "$preset" &&
        cmake --build --preset "$preset" --parallel "$(nproc)"
}
# What passed is read from ctest's report.
run_tests() {
    rm -f "$logs/$preset.xml"
    ctest --preset "$preset" --parallel "$(nproc)" --output-junit "$logs/$preset.xml" || true
    [ -f "$logs/$preset.xml" ] && count
}
# One attribute of the <testsuite> in ctest's report.
suite() {
    sed -n "s/^[[:space:]]*$1=\"\\([0-9]*\\)\".*/\\1/p" "$logs/$preset.xml" | head -n 1
}
count() {
    local tests bad idle
    tests=$(suite tests) bad=$(suite failures) idle=$(($(suite skipped) + $(suite disabled)))
    passed=$((passed + tests - bad - idle)) failed=$((failed + bad))
    note="$((tests - bad - idle)) passed, $bad failed, $idle skipped"
}
# ctest's list of what did not pass, or of what was skipped, under its heading.
listed() {
    sed -n "/^The following tests $1/,/^\$/ s/^[[:space:]]*[0-9]* - /  /p" "$logs/test-$preset.log"
}

passed=0 failed=0
echo "fer tests in $PWD"
if [ -z "${FER2013_DATA:-}" ] && [ -f ../shared/data/fer2013.zip ]; then
    export FER2013_DATA=$PWD/../shared/data/fer2013.zip
fi
echo "FER2013        ${FER2013_DATA:-not found (FER2013_DATA, ../shared/data/fer2013.zip): its tests are skipped}"
if step packages packages; then
    for preset in release checked; do
        if ! step "build-$preset" build; then
            failed=$((failed + 1))
            grep -am 3 'error' "$logs/build-$preset.log" >&2 || true
        elif step "test-$preset" run_tests; then
            listed FAILED
            listed 'did not run'
        else
            failed=$((failed + 1))
        fi
    done
else
    failed=1
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
