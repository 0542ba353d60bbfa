#!/usr/bin/env bash
# Builds the static libraries that Debian 12 does not package, from Debian's own sources of the same versions, into
# build/static: fmt, spdlog, Google Benchmark, libzip, TBB. For the preset gpu, whose programs are carried to machines
# that have none of them.
#
#     bash tools/static_libraries.sh [FOLDER]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/steps.sh
source tools/steps.sh
use_logs build/static-logs

out=$(realpath -m "${1:-build/static}")
work=$out/source
missing=()
for library in fmt spdlog benchmark zip tbb; do
    [ -f "$out/lib/lib$library.a" ] || missing+=("$library")
done
if [ ${#missing[@]} -eq 0 ]; then
    echo "nothing is missing in $out"
    exit 0
fi

# The machine's own list of sources is only read.
list_sources() {
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/sources.d"
    if [ -f /etc/apt/sources.list ]; then
        sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$work/sources.list"
    fi
    for file in /etc/apt/sources.list.d/debian*.sources; do
        [ ! -f "$file" ] || sed 's/^Types: .*/Types: deb-src/' "$file" >"$work/sources.d/$(basename "$file")"
    done
    apt-get -q "${apt[@]}" update
}
# unpack PACKAGE: its source into $work/PACKAGE.
unpack() {
    (cd "$work" && apt-get -q "${apt[@]}" --download-only source "$1") &&
        mkdir -p "$work/$1" &&
        tar --extract --strip-components=1 --directory "$work/$1" --file "$(ls "$work/$1"_*.orig.tar.*z)"
}
# install PACKAGE OPTION...: with CMake, static, into $out.
install() {
    local name=$1
    shift
    cmake -S "$work/$name" -B "$work/$name-build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
        -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_INSTALL_PREFIX="$out" \
        -DCMAKE_PREFIX_PATH="$out" "$@" &&
        cmake --build "$work/$name-build" --parallel "${FER_JOBS:-$(nproc)}" --target install
}
make() {
    unpack "$1" && install "$@"
}

apt=(-o "Dir::Etc::SourceList=$work/sources.list" -o "Dir::Etc::SourceParts=$work/sources.d"
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache")
mkdir -p "$work"
step sources list_sources
step fmt make fmtlib -DFMT_TEST=OFF -DFMT_DOC=OFF
step spdlog make spdlog -DSPDLOG_FMT_EXTERNAL=ON -DSPDLOG_BUILD_EXAMPLE=OFF -DSPDLOG_BUILD_TESTS=OFF
step benchmark make benchmark -DBENCHMARK_ENABLE_TESTING=OFF -DBENCHMARK_ENABLE_WERROR=OFF
step libzip make libzip -DENABLE_BZIP2=OFF -DENABLE_LZMA=OFF -DENABLE_ZSTD=OFF -DENABLE_OPENSSL=OFF \
    -DENABLE_GNUTLS=OFF -DENABLE_MBEDTLS=OFF -DBUILD_TOOLS=OFF -DBUILD_REGRESS=OFF -DBUILD_EXAMPLES=OFF -DBUILD_DOC=OFF
step tbb make onetbb -DTBB_TEST=OFF -DTBB_STRICT=OFF -DTBB4PY_BUILD=OFF
rm -rf "$work"
echo "static libraries in $out"
