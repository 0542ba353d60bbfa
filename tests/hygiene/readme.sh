#!/usr/bin/env bash
# What the READMEs say can be done: their ```sh blocks run (fer and fer-bench, on a drawn stand-in for FER2013 and with
# tiny networks) or name what exists (scripts, presets); links lead somewhere; the exit codes are all of them.
# shellcheck source=tests/hygiene/files.sh
source "$(dirname "$0")/files.sh"
root=$PWD
bin=${FER_BUILD:-$root/build/release}/bin
status=0
complain() {
    echo "$*"
    status=1
}
pages=$(files '*.md')

# Links to files of the project.
for page in $pages; do
    while read -r target; do
        [ -e "$(dirname "$page")/$target" ] || complain "$page links to $target, which does not exist"
    done < <(grep -oE '\]\([^)#:]+' "$page" | cut -c 3-)
done

# Every kind of failure has its exit code in the README.
codes=$(sed -n '/^Exit codes:/,/^$/p' README.md)
while read -r code; do
    [[ $codes == *"\`$code\`"* ]] || complain "README.md does not explain exit code $code"
done < <(sed -n '/^enum class Fault/,/^}/ s/.*= \([0-9]*\),.*/\1/p' engine/core/error.hpp)

# The continuous integration runs the README's test command.
tail -n 1 .ci/run | grep -qxF "$(grep -o '^bash tools/test.sh' README.md)" || complain ".ci/run runs another command than README.md"

# The commands.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PATH=$bin:$PATH FER_CACHE=$work/cache FER_TRAIN_EPOCHS=1 FER_TRAIN_WIDTH=0.05
cd "$work"
fer data export synthetic:70 --count 70 --out fer2013/train >/dev/null
fer data export synthetic:70 --count 35 --seed 1 --out fer2013/test >/dev/null
ran=0
for page in $pages; do
    while read -r line; do
        command=${line%%  #*}
        case $command in
        '' | '#'*) continue ;;
        'bash tools/'*)
            read -r _ script _ <<<"$command"
            bash -n "$root/$script" || complain "$page: $command"
            ;;
        cmake*--preset\ * | ctest*--preset\ *)
            preset=${command##*--preset }
            preset=${preset%% *}
            grep -q "\"name\": \"$preset\", \"configurePreset\"" "$root/CMakePresets.json" || complain "$page: no preset $preset"
            ;;
        'fer '* | 'fer-bench '*)
            eval "$command" >out.txt 2>&1 </dev/null || complain "$page: '$command' ends with $?: $(tail -n 3 out.txt)"
            ;;
        *) complain "$page: tests/hygiene/readme.sh does not know how to check '$command'" ;;
        esac
        ran=$((ran + 1))
    done < <(awk '/^```/ { inside = $0 == "```sh"; next } inside' "$root/$page")
done
echo "$ran commands of $(wc -l <<<"$pages") pages"
exit $status
