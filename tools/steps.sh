# shellcheck shell=bash
# Sourced by the scripts here: runs named steps, each with its output in a log of its own and one line for the reader.

# use_logs FOLDER: where the logs of this script go.
use_logs() {
    logs=$PWD/$1
    mkdir -p "$logs"
}

# step NAME COMMAND...: runs the command and prints the name, the seconds it took and $note, which the command may set.
# A failure ends the script with one line on stderr that names the step and its log.
step() {
    local name=$1 begin=$SECONDS status=0
    shift
    note=
    if [ -t 1 ]; then
        printf '%-14s ...\r' "$name"
    fi
    "$@" >"$logs/$name.log" 2>&1 </dev/null || status=$?
    if [ "$status" -ne 0 ]; then
        printf '%s: step "%s" failed after %d s with status %d: see %s\n' \
            "$(basename "$0")" "$name" $((SECONDS - begin)) "$status" "$logs/$name.log" >&2
        return "$status"
    fi
    printf '%-14s %4d s  %s\n' "$name" $((SECONDS - begin)) "${note:-}"
}

# The last line of a step's log that begins with WORD.
last_line() {
    grep -a "^$2" "$logs/$1.log" | tail -n 1
}

# release where there is a CUDA compiler, cpu elsewhere.
best_preset() {
    if command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then
        echo release
    else
        echo cpu
    fi
}
