# shellcheck shell=bash
# Sourced by the scripts here: runs named steps, each with its output in a log of its own and one line for the reader.

# Threads that wait give up their core soon. Beside six busy processes on two cores training took 1300 ms a step without
# this and 284 ms with it (simpler_cnn, batch 16).
export GOMP_SPINCOUNT=1000

# use_logs FOLDER: where the logs of this script go.
use_logs() {
    logs=$PWD/$1
    mkdir -p "$logs"
}

# step NAME COMMAND...: runs the command and prints the name, the seconds it took and $note, which the command may set.
# On a terminal it shows meanwhile what the command says. A failure is one line on stderr that names the step and its log.
step() {
    local name=$1 log=$logs/$1.log begin=$SECONDS status=0 watcher=
    shift
    note=
    if [ -t 1 ]; then
        show_progress "$name" "$log" &
        watcher=$!
    fi
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [ -n "$watcher" ]; then
        kill "$watcher"
        wait "$watcher" 2>/dev/null || true
        printf '\r\033[K'
    fi
    if [ "$status" -ne 0 ]; then
        printf '%s: step "%s" failed after %d s with status %d: see %s\n' \
            "$(basename "$0")" "$name" $((SECONDS - begin)) "$status" "$log" >&2
        return "$status"
    fi
    printf '%-14s %4d s  %s\n' "$name" $((SECONDS - begin)) "$note"
}
# Ends with the script, also when that is interrupted: a job in the background does not hear of it.
show_progress() {
    local begin=$SECONDS
    while sleep 1 && kill -0 $$ 2>/dev/null; do
        printf '\r%-14s %4d s  %s\033[K' "$1" $((SECONDS - begin)) \
            "$(tail -n 1 "$2" 2>/dev/null | tr -dc '[:print:]' | cut -c 1-$(($(tput cols 2>/dev/null || echo 80) - 24)))"
    done
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
