#!/usr/bin/env bash
# No script has anything that shellcheck finds.
# shellcheck source=tests/hygiene/files.sh
source "$(dirname "$0")/files.sh"
needs shellcheck
files '*.sh' .ci/run | xargs shellcheck --external-sources
