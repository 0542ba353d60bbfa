#!/usr/bin/env bash
# All networks at full size against real Keras: writes Keras's files and what it computes, then prints the
# table of models/README.md. Needs Keras 2.15 (README.md of this folder), 10 GB of memory, 1.5 GB of disk.
#
#     bash tests/golden/full_parity.sh KERAS_PYTHON [BUILD_FOLDER]
set -euo pipefail
python=${1:?usage: full_parity.sh KERAS_PYTHON [BUILD_FOLDER]}
build=${2:-build/release}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
here=$(dirname "$0")
"$python" "$here/golden_transfer.py" --folder "$folder"
FER_PARITY=$folder "$build/bin/test_interchange" --gtest_filter='Transfer.FullSizeParity'
