#!/usr/bin/env bash
# What the suite does at reduced counts, in full: forty cuts of a run of forty steps, a thousand kills, every attempt to
# write failing once.
#     full_durability.sh BUILD_FOLDER
set -euo pipefail
FER_RESUME_EPOCHS=10 "$1/bin/test_train" --gtest_filter='*Resume*' --gtest_brief=1
bash "$(dirname "$0")/durability.sh" "$1/bin/fer" "$(find "$1" -name libfail_io.so)" 1000 all
