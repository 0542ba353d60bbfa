#!/usr/bin/env bash
# What no file of the project may hold: paths of somebody's machine, data of FER2013, loose ends.
# shellcheck source=tests/hygiene/files.sh
source "$(dirname "$0")/files.sh"
status=0

# report WHAT LINES: says what the lines are, if there are any.
report() {
    if [ -n "$2" ]; then
        printf '%s\n^ %s\n' "$2" "$1"
        status=1
    fi
}
# lines PATTERN: where text files match; this file holds the patterns.
lines() {
    files '*' | grep -vx 'tests/hygiene/words.sh' | tr '\n' '\0' | xargs -0 grep -InE "$1" || true
}
report "a path of one machine" "$(lines '(^|[^[:alnum:]_.~/-])/(home|root|work|Users|mnt)/[[:alnum:]_.-]+')"
report "a loose end" "$(lines '\b(FIXME|XXX|HACK)\b|[Nn]ot implemented yet|\bTODO\b')"
report "a conflict marker" "$(lines '^(<<<<<<<|>>>>>>>) ')"
report "white space at the end of a line" "$(lines '[[:blank:]]$')"

report "FER2013 is not part of the project" \
    "$(files '*' | grep -E '(Training|PublicTest|PrivateTest)_[0-9]+\.(jpg|png)$|fer2013[^/]*\.(zip|csv)$' || true)"

# Documents that are spoken of exist.
documents=$(files '*.md')
missing=$(lines '\b([A-Za-z_-]+/)*[A-Z]{4,}\.md\b' | while IFS= read -r line; do
    grep -oE '\b([A-Za-z_-]+/)*[A-Z]{4,}\.md\b' <<<"$line" | while read -r name; do
        grep -qE "(^|/)$name\$" <<<"$documents" || echo "$line"
    done
done)
report "a document that is not there" "$missing"
exit $status
