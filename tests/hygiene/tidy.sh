#!/usr/bin/env bash
# clang-tidy (.clang-tidy) finds nothing in the sources of the engine, the models and the tools. Left out is what includes
# kernels/: clang 14 lacks std::source_location. The static analyzer, which takes longer than everything else together, looks
# at engine/ alone. A file is looked at again when it, a header or .clang-tidy has changed.
# shellcheck source=tests/hygiene/files.sh
source "$(dirname "$0")/files.sh"
needs clang-tidy
build=${FER_BUILD:-build/release}
sources=$(files 'engine/*.cpp' 'models/*.cpp' 'tools/*.cpp' | grep -vE '^engine/run/(cuda|emulated)/' |
    while read -r file; do
        ! grep -q "\"file\": \"$PWD/$file\"" "$build/compile_commands.json" || echo "$file"
    done)
shared=$(files '*.hpp' .clang-tidy | xargs cat | sha256sum)
mkdir -p "$build/tidy"

# shellcheck disable=SC2317  # xargs calls it
look() {
    local file=$1 build=$2 shared=$3 clean options=()
    clean=$build/tidy/$(printf '%s' "$shared" "$file" | cat - "$file" | sha256sum | cut -c 1-32)
    [ ! -e "$clean" ] || return 0
    case $file in engine/*) ;; *) options=('--checks=-clang-analyzer-*') ;; esac
    clang-tidy -p "$build" --quiet "${options[@]}" "$file" 2>/dev/null && touch "$clean"
}
export -f look
status=0
# A finding in a header comes once for every file that includes it, here only once.
xargs -P "$(nproc)" -I{} bash -c 'look "$@"' look {} "$build" "$shared" <<<"$sources" |
    awk -v root="$PWD/" '
        /: (error|warning): / { new = !seen[$0]++; sub(root, "") }
        new' || status=1
echo "$(wc -l <<<"$sources") files"
exit $status
