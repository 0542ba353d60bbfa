#!/usr/bin/env bash
# Installs what is missing to build fer, to have it find faces in pictures and videos, or to test all of it, on Debian 12;
# nothing if all is there.
#
#     bash tools/setup.sh [build|opencv|test]
set -euo pipefail

build=(g++ cmake ninja-build ccache pkg-config libcli11-dev nlohmann-json3-dev libtomlplusplus-dev libfmt-dev
    libspdlog-dev libdnnl-dev libzip-dev libhdf5-dev libcurl4-openssl-dev libssl-dev libturbojpeg0-dev libpng-dev zlib1g-dev libtbb-dev gnuplot-nox)
opencv=(libopencv-core-dev libopencv-imgproc-dev libopencv-imgcodecs-dev libopencv-videoio-dev libopencv-objdetect-dev opencv-data)
test=(git libgtest-dev libgmock-dev libbenchmark-dev libboost-context-dev clang-format clang-tidy shellcheck python3-jsonschema valgrind chromium
    libopencv-dnn-dev)

case ${1:-build} in
build) wanted=("${build[@]}") ;;
opencv) wanted=("${build[@]}" "${opencv[@]}") ;;
test) wanted=("${build[@]}" "${opencv[@]}" "${test[@]}") ;;
*)
    echo "setup.sh: unknown argument '$1'; one of build, opencv, test" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null; then
    echo "setup.sh: this is not Debian; nothing is installed, CMake will name what it cannot find"
    exit 0
fi

missing=()
for package in "${wanted[@]}"; do
    if ! dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed; then
        missing+=("$package")
    fi
done
if [ ${#missing[@]} -eq 0 ]; then
    echo "nothing is missing"
    exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "setup.sh: neither root nor sudo; as root: apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
apt_get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
"${apt_get[@]}" update
"${apt_get[@]}" install --no-install-recommends "${missing[@]}"
echo "installed ${missing[*]}"
