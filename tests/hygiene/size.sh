#!/usr/bin/env bash
# The ten largest files, and a limit: a file of more than 500 lines carries more than one idea.
# shellcheck source=tests/hygiene/files.sh
source "$(dirname "$0")/files.sh"
limit=500
allowed=()

sizes=$(cpp_files | xargs wc -l | grep -v ' total$' | sort -rn)
head -n 10 <<<"$sizes"
status=0
while read -r lines file; do
    if [ "$lines" -gt "$limit" ] && [[ " ${allowed[*]-} " != *" $file "* ]]; then
        echo "$file has $lines lines, more than $limit"
        status=1
    fi
done <<<"$sizes"
exit $status
