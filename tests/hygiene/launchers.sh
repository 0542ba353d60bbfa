#!/usr/bin/env bash
# Every launcher of kernels/ has its row in kernels/README.md, which names its tests, and its family in bench/kernels/.
# shellcheck source=tests/hygiene/files.sh
source "$(dirname "$0")/files.sh"
status=0
complain() {
    echo "$*"
    status=1
}
launchers=$(files 'kernels/*.hpp' | grep -v '^kernels/.*/' |
    xargs sed -nE 's/^void ([a-z0-9_]+)\(const [A-Za-z0-9]+& [a-z]+, cudaStream_t [a-z]+\);.*/\1/p')
table=$(sed -n '/^## The kernels/,$ { s/^| \([^|]*\) |.*| \([^|]*\) |$/\1 \2/p }' kernels/README.md | tr -cd '[:alnum:]_ \n' | sed 1d)
rows=$(cut -d ' ' -f 1 <<<"$table")
benches=$(files 'bench/kernels/*.cpp' | xargs cat)
for launcher in $launchers; do
    grep -qx "$launcher" <<<"$rows" || complain "$launcher has no row in kernels/README.md"
    grep -q "\"$launcher\"" <<<"$benches" || complain "$launcher has no cases in bench/kernels/"
done
for row in $rows; do
    grep -qx "$row" <<<"$launchers" || complain "kernels/README.md has a row for $row, which no header declares"
done
while read -r row tests; do
    for name in $tests; do
        [ -f "tests/kernels/${name}_test.cpp" ] || complain "kernels/README.md names a test of $row, $name, that is not there"
    done
done <<<"$table"
echo "$(wc -l <<<"$launchers") launchers"
exit $status
