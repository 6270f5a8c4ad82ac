#!/bin/bash
# Installs what building, testing and checking glmslim need, on Debian 12 and its relatives. Looks first and installs only what
# is missing, so a second run needs no network. Usage: scripts/setup.sh [build|dev|browser]
#   build   compiler, cmake, ninja, jansson, libcrypto, and the test libraries (default)
#   dev     also clang, sanitizer runtime, formatter and linters
#   browser chromium, for the test that looks at the HTML report (which is skipped without)
# SPDX-License-Identifier: Apache-2.0
set -eu

# One line per need: the Debian package, and a command that succeeds when it is there.
needs_build() {
    cat <<'LIST'
build-essential    command -v gcc && command -v make && test -e /usr/include/stdlib.h
cmake              command -v cmake
ninja-build        command -v ninja
pkg-config         command -v pkg-config
libjansson-dev     pkg-config --atleast-version=2.13 jansson
libssl-dev         pkg-config --exists libcrypto
libcmocka-dev      pkg-config --exists cmocka
libpcre2-dev       pkg-config --exists libpcre2-8
LIST
}

needs_dev() {
    needs_build
    cat <<'LIST'
clang              command -v clang
libclang-rt-14-dev test -n "$(find /usr/lib/llvm-*/lib/clang /usr/lib/clang -name 'libclang_rt.asan*.a' -print -quit 2>/dev/null)"
clang-format       command -v clang-format
clang-tidy         command -v clang-tidy
cppcheck           command -v cppcheck
binutils           command -v nm
LIST
}

needs_browser() {
    cat <<'LIST'
chromium           command -v chromium
fonts-dejavu-core  test -n "$(find /usr/share/fonts -name 'DejaVuSans.ttf' -print -quit 2>/dev/null)"
LIST
}

case "${1:-build}" in
build) list=$(needs_build) ;;
dev) list=$(needs_dev) ;;
browser) list=$(needs_browser) ;;
*)
    echo "usage: scripts/setup.sh [build|dev|browser]" >&2
    exit 2
    ;;
esac

missing=""
while read -r package check; do
    if ! bash -c "$check" >/dev/null 2>&1; then missing="$missing $package"; fi
done <<<"$list"

if [ -z "$missing" ]; then
    echo "setup: everything for '${1:-build}' is there, nothing to install"
    exit 0
fi
echo "setup: missing:$missing"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: no apt-get here; please install the packages above with your system's own tool" >&2
    exit 1
fi
as_root=""
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "setup: run 'apt-get install$missing' as root (no sudo on this machine)" >&2
        exit 1
    fi
    as_root="sudo"
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "setup: installing with apt-get:$missing"
$as_root apt-get update >"$log" 2>&1 || { tail -20 "$log" >&2; echo "setup: apt-get update failed" >&2; exit 1; }
# shellcheck disable=SC2086 # a list of names
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >"$log" 2>&1 || {
    tail -20 "$log" >&2
    echo "setup: apt-get install failed" >&2
    exit 1
}
while read -r package check; do
    if ! bash -c "$check" >/dev/null 2>&1; then
        echo "setup: $package was installed, but '$check' still fails" >&2
        exit 1
    fi
done <<<"$list"
echo "setup: done"
