#!/usr/bin/env bash
# 200 small random models, written by real Keras: imported, they give its outputs.
#
#     bash tests/golden/random_models.sh KERAS_PYTHON [BUILD_FOLDER]
set -euo pipefail
python=${1:?usage: random_models.sh KERAS_PYTHON [BUILD_FOLDER]}
build=${2:-build/release}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" "$(dirname "$0")/golden_interchange.py" --count 200 --folder "$folder"
FER_RANDOM_MODELS=$folder "$build/bin/test_interchange" --gtest_filter='KerasImport.RandomModels*'
