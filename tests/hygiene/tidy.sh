#!/usr/bin/env bash
# clang-tidy (.clang-tidy) finds nothing in the sources of the engine, the models and the tools.
# shellcheck source=tests/hygiene/files.sh
source "$(dirname "$0")/files.sh"
needs clang-tidy
commands=${FER_BUILD:-build/release}/compile_commands.json
sources=$(files 'engine/*.cpp' 'models/*.cpp' 'tools/*.cpp' | while read -r file; do
    ! grep -q "\"file\": \"$PWD/$file\"" "$commands" || echo "$file"
done)
status=0
found=$(xargs -P "$(nproc)" -n 1 clang-tidy -p "${FER_BUILD:-build/release}" --quiet <<<"$sources" 2>/dev/null) || status=$?
sed "s#$PWD/##" <<<"$found" | awk '/: (error|warning): /{ new = !seen[$0]++ } new'
echo "$(wc -l <<<"$sources") files"
exit $((status != 0))
