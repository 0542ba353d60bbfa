#!/usr/bin/env bash
# Every C++ and CUDA file is as clang-format 14 leaves it.
# shellcheck source=tests/hygiene/files.sh
source "$(dirname "$0")/files.sh"
needs clang-format
if ! clang-format --version | grep -q 'version 14\.'; then
    echo "skipped: other versions of clang-format than 14 differ in details"
    exit 77
fi
wrong=$(cpp_files | xargs clang-format --dry-run 2>&1 | sed -n 's/^\([^ :]*\):[0-9].*clang-format.*/\1/p' | sort | uniq -c)
if [ -n "$wrong" ]; then
    echo "places to format, by file (clang-format -i FILE mends them):"
    echo "$wrong"
    exit 1
fi
