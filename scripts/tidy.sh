#!/bin/bash
# clang-tidy over src/, two files at a time. --changed: only files that differ from the last commit (and new ones); --time N:
# stop starting new files after N seconds and say what was left out. Needs a configured build (compile_commands.json).
# SPDX-License-Identifier: Apache-2.0
set -eu
cd "$(dirname "$0")/.."
build=build/release
changed=no
limit=0
while [ $# -gt 0 ]; do
    case $1 in
    --changed) changed=yes ;;
    --time) limit=$2 && shift ;;
    --build) build=$2 && shift ;;
    *) echo "usage: scripts/tidy.sh [--changed] [--time SECONDS] [--build DIR]" >&2 && exit 2 ;;
    esac
    shift
done
[ -f "$build/compile_commands.json" ] || { echo "tidy: no compile_commands.json in $build; run 'make' first" >&2; exit 1; }

if [ $changed = yes ]; then
    files=$( (git diff --name-only HEAD -- src; git ls-files --others --exclude-standard -- src) | grep '\.c$' | sort -u || true)
else
    # Newest first, so that a time limit leaves out what changed longest ago.
    files=$(git ls-files -- 'src/*.c' | while read -r f; do printf '%s %s\n' "$(git log -1 --format=%ct -- "$f")" "$f"; done | sort -rn | cut -d' ' -f2)
fi
[ -n "$files" ] || { echo "tidy: nothing to look at"; exit 0; }

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export GS_TIDY_OUT=$out GS_TIDY_BUILD=$build GS_TIDY_END=$((limit > 0 ? $(date +%s) + limit : 0))
# shellcheck disable=SC2016 # expanded by the inner shell
xargs -P "$(nproc)" -n 1 bash -c '
    name=$(tr / _ <<<"$1")
    if [ "$GS_TIDY_END" != 0 ] && [ "$(date +%s)" -ge "$GS_TIDY_END" ]; then echo "$1" >"$GS_TIDY_OUT/$name.left"; exit 0; fi
    clang-tidy --quiet -p "$GS_TIDY_BUILD" "$1" >"$GS_TIDY_OUT/$name.log" 2>"$GS_TIDY_OUT/$name.err" || touch "$GS_TIDY_OUT/$name.bad"
' tidy <<<"$files"
n=$(wc -l <<<"$files")
left=$(find "$out" -name '*.left' | wc -l)
bad=$(find "$out" -name '*.bad' | wc -l)
[ "$bad" = 0 ] || for b in "$out"/*.bad; do cat "${b%.bad}.log"; grep -E 'error:' "${b%.bad}.err" || true; done >&2
[ "$left" = 0 ] || echo "tidy: $left of $n files left out by the time limit: $(cat "$out"/*.left | tr '\n' ' ')"
echo "tidy: $((n - left)) files, $bad with findings"
[ "$bad" = 0 ]
