#!/bin/bash
# Every check of the house. 'quick' leaves out clang-tidy and cppcheck. All checks run even if one fails; the last line counts
# them. Needs build/release. SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/.." || exit 1

failed=""
check() {
    local name=$1
    shift
    local start=$SECONDS
    if "$@"; then echo "lint: $name ok ($((SECONDS - start)) s)"; else failed="$failed $name" && echo "lint: $name FAILED" >&2; fi
}
run_cppcheck() {
    cppcheck --quiet --enable=warning,portability --inline-suppr --error-exitcode=1 --std=c11 --force -j "$(nproc)" \
        --suppressions-list=scripts/cppcheck_suppressions -D_GNU_SOURCE -D__x86_64__ -Iinclude -Isrc \
        --template='{file}:{line}: {severity}: {message} [{id}]' src
}

check rooms bash scripts/check_rooms.sh
check style bash scripts/check_style.sh
check symbols bash scripts/check_symbols.sh
check format bash scripts/format.sh --check
if [ "${1:-}" != quick ]; then
    check cppcheck run_cppcheck
    check tidy bash scripts/tidy.sh --time "${GS_TIDY_SECONDS:-420}"
fi
if [ -n "$failed" ]; then
    echo "lint: failed:$failed" >&2
    exit 1
fi
echo "lint: all checks passed"
