# shellcheck shell=bash
# Sourced by the checks, which run in the root of the source tree.
set -euo pipefail

# files PATTERN...: the project's files of these patterns, one a line; of git's if this is a clone.
files() {
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
            [ ! -f "$file" ] || echo "$file"
        done
    else
        local pattern names=()
        for pattern in "$@"; do
            names+=(-o -path "./$pattern")
        done
        find . \( -name build -o -name runs -o -name .git \) -prune -o -type f \( "${names[@]:1}" \) -print | sed 's#^\./##'
    fi | sort -u
}

cpp_files() { files '*.cpp' '*.hpp' '*.cu' '*.cuh'; }

# needs TOOL: skips the check, visibly, where TOOL is not installed.
needs() {
    if ! command -v "$1" >/dev/null; then
        echo "skipped: $1 is not installed (bash tools/setup.sh test)"
        exit 77
    fi
}
