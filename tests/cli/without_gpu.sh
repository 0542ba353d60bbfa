#!/usr/bin/env bash
# A program that measures on a GPU, where there is none: one line and status 0; what needs no GPU works.
#     without_gpu.sh PROGRAM
set -euo pipefail
export CUDA_VISIBLE_DEVICES=
said=$("$1" 2>&1)
[ "$said" = 'no CUDA device: nothing measured' ] || { echo "says: $said"; exit 1; }
[ "$("$1" --list | grep -c ' flops/byte$')" -gt 0 ] || { echo "lists nothing"; exit 1; }
status=0
"$1" --check >/dev/null || status=$?
[ "$status" -eq 4 ] || { echo "--check ends with $status where it checked nothing"; exit 1; }
status=0
said=$("$1" --batch 2>&1) || status=$?
if [ "$status" -eq 0 ] || [ "${said%%$'\n'*}" != '--batch needs a value' ]; then
    echo "to --batch without a value it says: $said"
    exit 1
fi
