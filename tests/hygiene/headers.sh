#!/usr/bin/env bash
# Every header compiles alone, and twice in one file. kernels/ is compiled as its emulated build, where CUDA's headers are.
# shellcheck source=tests/hygiene/files.sh
source "$(dirname "$0")/files.sh"

flags=(-std=c++20 -fsyntax-only -fopenmp -I. -Wall -Wextra -Werror -Wno-unknown-pragmas -DFMT_SHARED)
# Texts that the build defines for some of its files.
commands=${FER_BUILD:-build/release}/compile_commands.json
while read -r name; do
    flags+=("-D$name=\"\"")
done < <(grep -oE '[-]DFER_[A-Z_]+=\\+"' "$commands" | sed 's/^-D//; s/=.*//' | sort -u)
cuda=
for folder in ${CUDA_HOME:+"$CUDA_HOME/include"} /usr/local/cuda/include /usr/include; do
    if [ -f "$folder/cuda_fp16.h" ]; then
        cuda=$folder
        break
    fi
done
headers=$(files '*.hpp' '*.cuh')
if [ -z "$cuda" ]; then
    echo "CUDA's headers are not installed: kernels/ is left out"
    headers=$(grep -v -E '^(kernels|engine/run/(cuda|emulated)|tests/kernels|bench/(kernels|ladder))/' <<<"$headers")
else
    flags+=(-isystem "$cuda")
fi

# libhdf5 keeps its headers in a folder of its own.
if hdf5=$(pkg-config --cflags-only-I hdf5 2>/dev/null); then
    for folder in $hdf5; do
        flags+=(-isystem "${folder#-I}")
    done
else
    echo "libhdf5 is not installed: the headers on it are left out"
    headers=$(grep -v -E '^engine/formats/(hdf5_handle|keras_h5_contents)\.hpp$' <<<"$headers")
fi

compile() {
    local header=$1 emulated=()
    shift
    case $header in kernels/* | bench/kernels/* | bench/ladder/* | tests/kernels/* | tests/support/emulated*) emulated=(-DFER_EMULATED) ;; esac
    printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
        "${FER_CXX:-c++}" "$@" "${emulated[@]}" -x c++ - || { echo "$header does not compile alone" && false; }
}
export -f compile
xargs -P "$(nproc)" -I{} bash -c 'compile "$@"' compile {} "${flags[@]}" <<<"$headers"
echo "$(wc -l <<<"$headers") headers"
