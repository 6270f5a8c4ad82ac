#!/bin/bash
# clang-format over all C files: rewrites them, or with --check only says which would change.
# SPDX-License-Identifier: Apache-2.0
set -eu
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8
mapfile -t files < <(find src include tests -name '*.[ch]' | sort)
if [ "${1:-}" != --check ]; then
    clang-format -i "${files[@]}"
    echo "format: ${#files[@]} files"
    exit 0
fi
# shellcheck disable=SC2016 # expanded by the inner shell
printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -n 16 bash -c '
    bad=0
    for f in "$@"; do
        if ! clang-format "$f" | cmp -s - "$f"; then
            echo "format: $f is not as clang-format would write it (make format)" >&2
            bad=1
        fi
    done
    exit $bad' format || exit 1
echo "format: ${#files[@]} files"
