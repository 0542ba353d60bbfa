#!/usr/bin/env bash
# clang-tidy (.clang-tidy) finds nothing in the sources of the engine, the models and the tools.
# shellcheck source=tests/hygiene/files.sh
source "$(dirname "$0")/files.sh"
needs clang-tidy
build=${FER_BUILD:-build/release}
sources=$(files 'engine/*.cpp' 'models/*.cpp' 'tools/*.cpp' | while read -r file; do
    ! grep -q "\"file\": \"$PWD/$file\"" "$build/compile_commands.json" || echo "$file"
done)
status=0
# A finding in a header comes once for every file that includes it, here only once.
xargs -P "$(nproc)" -n 1 clang-tidy -p "$build" --quiet <<<"$sources" 2>/dev/null |
    awk -v root="$PWD/" '
        /: (error|warning): / { new = !seen[$0]++; sub(root, "") }
        new' || status=1
echo "$(wc -l <<<"$sources") files"
exit $status
