#!/bin/bash
# Every symbol that a room's library shows to others starts with gs_, so that linking glmslim into another program cannot
# collide. Usage: scripts/check_symbols.sh [build directory]. SPDX-License-Identifier: Apache-2.0
set -eu
cd "$(dirname "$0")/.."
build=${1:-build/release}

shopt -s nullglob
libraries=("$build"/libgs_*.a)
if [ ${#libraries[@]} = 0 ]; then
    echo "symbols: no libgs_*.a in $build; build first" >&2
    exit 1
fi
bad=$(nm -A --defined-only --extern-only "${libraries[@]}" 2>/dev/null |
    awk 'NF >= 3 && $NF !~ /^gs_/ { print "symbols: " $1 " " $NF }')
if [ -n "$bad" ]; then
    echo "$bad" >&2
    echo "symbols: names that others can see start with gs_; make these static or rename them" >&2
    exit 1
fi
echo "symbols: ${#libraries[@]} libraries, all names start with gs_"
