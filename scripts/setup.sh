#!/bin/bash
# Installs what building, testing and checking glmslim need, on Debian 12 and its relatives. Looks first and installs only what
# is missing, so a second run needs no network. Usage: scripts/setup.sh [build|dev|browser|aarch64|avx512|deep]
#   build   compiler, cmake, ninja, jansson, libcrypto, and the test libraries (default)
#   dev     also clang, sanitizer runtime, formatter and linters
#   aarch64 compiler, libraries and emulator for cmake --preset aarch64 (adds arm64 to dpkg's architectures)
#   avx512  emulator and boot loader for scripts/avx512.sh
#   deep    what the stages of scripts/deep.sh need beyond dev, aarch64 and avx512
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

needs_aarch64() {
    cat <<'LIST'
cmake                   command -v cmake
ninja-build             command -v ninja
pkg-config              command -v pkg-config
gcc-aarch64-linux-gnu   command -v aarch64-linux-gnu-gcc
libc6-dev-arm64-cross   test -e /usr/aarch64-linux-gnu/include/stdlib.h
qemu-user               command -v qemu-aarch64
libjansson-dev:arm64    test -e /usr/lib/aarch64-linux-gnu/pkgconfig/jansson.pc
libssl-dev:arm64        test -e /usr/lib/aarch64-linux-gnu/pkgconfig/libcrypto.pc
libcmocka-dev:arm64     test -e /usr/lib/aarch64-linux-gnu/pkgconfig/cmocka.pc
libpcre2-dev:arm64      test -e /usr/lib/aarch64-linux-gnu/pkgconfig/libpcre2-8.pc
LIST
}

needs_avx512() {
    needs_build
    cat <<'LIST'
bochs              command -v bochs-bin
bochs-term         test -n "$(find /usr/lib -name 'libbx_term_gui.so' -print -quit 2>/dev/null)"
bochsbios          test -e /usr/share/bochs/BIOS-bochs-latest
vgabios            test -e /usr/share/vgabios/vgabios.bin
isolinux           test -e /usr/lib/ISOLINUX/isolinux.bin
syslinux-common    test -e /usr/lib/syslinux/modules/bios/ldlinux.c32
genisoimage        command -v genisoimage
cpio               command -v cpio
busybox-static     command -v busybox && ! ldd "$(command -v busybox)"
LIST
}

needs_deep() {
    needs_dev
    cat <<'LIST'
valgrind           command -v valgrind
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
aarch64) list=$(needs_aarch64) ;;
avx512) list=$(needs_avx512) ;;
deep) list=$(needs_deep) ;;
*)
    echo "usage: scripts/setup.sh [build|dev|browser|aarch64|avx512|deep]" >&2
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
if [ "${1:-build}" = aarch64 ]; then $as_root dpkg --add-architecture arm64; fi
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
