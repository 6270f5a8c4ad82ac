#!/bin/bash
# House style that the formatter does not see: banned functions, invisible characters, tabs and trailing blanks, lengths,
# SPDX lines, machine paths, headers that compile alone. Exceptions with reasons are in scripts/style_exceptions.
# SPDX-License-Identifier: Apache-2.0
set -eu
scripts=$(cd "$(dirname "$0")" && pwd)
cd "${1:-$scripts/..}"
here=$(pwd)

fail=0
complain() {
    echo "style: $*" >&2
    fail=1
}
warn() { echo "style: note: $*" >&2; }
exceptions=$(grep -v '^#' scripts/style_exceptions 2>/dev/null || true)
excepted() { grep -qE "^$1[[:space:]]+$2[[:space:]]+[^[:space:]]" <<<"$exceptions"; }

mapfile -t sources < <(find src include tests -name '*.[ch]' 2>/dev/null | sort)
mapfile -t texts < <(find src include tests docs man scripts .ci -type f \( -name '*.[ch]' -o -name '*.sh' -o -name '*.awk' -o -name '*.md' \
    -o -name '*.txt' -o -name run -o -name '*.1' \) ! -path 'tests/data/*' ! -path 'tests/golden/*' 2>/dev/null | sort
    ls README.md CONTRIBUTING.md CMakeLists.txt CMakePresets.json Makefile .clang-tidy .clang-format 2>/dev/null)

# 1. Functions that overflow, are not reentrant, hide errors, or run other programs.
banned='strcpy|strcat|sprintf|vsprintf|strtok|gets|atoi|atol|atoll|atof|strncpy|strncat|alloca|rand|srand|random|system|popen|tmpnam|tempnam|mktemp'
banned_tests='strcpy|strcat|sprintf|vsprintf|gets|alloca|tmpnam|tempnam|mktemp' # tests may run rm and read numbers
banned_floats='exp|expf|log|logf|pow|powf|sin|sinf|cos|cosf|tanh|tanhf|exp2|exp2f|log2|log2f'
stripped=$(mktemp -d)
trap 'rm -rf "$stripped"' EXIT
# All files in a few processes: one grep sees every stripped file under the file's own name.
for f in "${sources[@]}"; do mkdir -p "$stripped/${f%/*}"; done
printf '%s\0' "${sources[@]}" | xargs -0 -P "$(nproc)" -n 40 awk -v to="$stripped" -f "$scripts/strip_c.awk"
calls() { # DESCRIPTION NAMES FOLDERS...
    local says=$1 names=$2 folders=() folder
    shift 2
    for folder in "$@"; do if [ -d "$stripped/$folder" ]; then folders+=("$folder"); fi; done
    [ ${#folders[@]} = 0 ] || while IFS= read -r hit; do complain "$hit: $says"; done \
        < <(cd "$stripped" && grep -rnE "(^|[^A-Za-z0-9_])($names)[[:space:]]*\(" "${folders[@]}" || true)
}
calls 'banned function' "$banned" src include
calls 'banned function' "$banned_tests" tests
# libm's versions differ between systems; num/ has our own. Reports may use them, since no output bits depend on it.
mapfile -t exact < <(find src -mindepth 1 -maxdepth 1 -type d | grep -vE '^src/(report|cli|job|eval)$' || true)
calls 'libm function whose bits differ between systems; num/ has ours' "$banned_floats" "${exact[@]}"

# 2. Text form.
export LC_ALL=C.UTF-8
invisible='[\x{00A0}\x{00AD}\x{200B}-\x{200F}\x{2028}-\x{202E}\x{2060}-\x{206F}\x{FEFF}]'
said() { while IFS= read -r hit; do complain "$(cut -c1-120 <<<"$hit"): $1"; done; }
mapfile -t code < <(printf '%s\n' "${texts[@]}" | grep -E '\.(c|h|sh)$')
said 'invisible character' < <(grep -nHP "$invisible" "${texts[@]}" || true)
said 'blank at the end of the line' < <(grep -nHE '[[:blank:]]+$' "${texts[@]}" || true)
said 'tab' < <(grep -nHP '\t' "${code[@]}" || true)
said 'no SPDX line' < <(grep -L 'SPDX-License-Identifier: Apache-2.0' "${code[@]}" || true)
# A path of somebody's machine has no place in the repository.
said "a machine's path" < <(grep -nHE '(^|[^A-Za-z0-9_.~*{}$-])/(work|home|root|Users|mnt)/' "${texts[@]}" || true)
for f in "${texts[@]}"; do
    # A command substitution drops a final newline, so anything left is a last byte of another kind.
    [ -z "$(tail -c1 "$f")" ] || complain "$f: no newline at the end"
done

# 3. Lengths. A function starts with '{' and ends with '}', each alone in column 0 (clang-format sees to that).
for f in "${sources[@]}"; do
    lines=$(wc -l <"$f")
    if [ "$lines" -gt 600 ] && ! excepted file-lines "$f"; then
        complain "$f: $lines lines (at most 600, aim for 500)"
    elif [ "$lines" -gt 500 ] && ! excepted file-lines "$f"; then
        warn "$f: $lines lines (aim for 500)"
    fi
    while read -r name length; do
        if [ "$length" -gt 80 ] && ! excepted function-lines "$f:$name"; then
            complain "$f: $name() has $length lines (at most 80, aim for 50)"
        elif [ "$length" -gt 50 ] && ! excepted function-lines "$f:$name"; then
            warn "$f: $name() has $length lines (aim for 50)"
        fi
    done < <(awk '
        /^[A-Za-z_].*\(/ && !/;[[:space:]]*$/ { head = $0; sub(/\(.*/, "", head); sub(/.*[[:space:]*]/, "", head); name = head }
        /^\{[[:space:]]*$/ { start = NR }
        /^\}[[:space:]]*$/ && start { print name, NR - start - 1; start = 0 }' "$f")
done
while read -r kind what _; do
    case $kind in file-lines | header-alone) path=$what ;; function-lines) path=${what%:*} ;; *) continue ;; esac
    [ -f "$path" ] || complain "scripts/style_exceptions: $path does not exist any more"
done <<<"$exceptions"

# 4. Every header stands alone.
flags="-std=c11 -D_GNU_SOURCE -DGS_SOURCE_DIR=\"\" -fsyntax-only -Wall -Wextra -Iinclude -Isrc -Itests $(pkg-config --cflags jansson 2>/dev/null || true)"
alone() { # FILE: one header, its complaint on standard output
    # shellcheck disable=SC2086 # a list of flags
    echo "#include \"$here/$1\"" | gcc $flags -x c - 2>"$stripped/$$.$BASHPID.log" ||
        echo "$1: does not compile alone: $(head -2 "$stripped/$$.$BASHPID.log" | tr '\n' ' ')"
}
export -f alone
export flags here stripped
mapfile -t headers < <(printf '%s\n' "${sources[@]}" | grep '\.h$' | while IFS= read -r f; do excepted header-alone "$f" || echo "$f"; done)
while IFS= read -r hit; do complain "$hit"; done \
    < <(printf '%s\0' "${headers[@]}" | xargs -0 -r -P "$(nproc)" -n 8 bash -c 'for f in "$@"; do alone "$f"; done' alone)

[ $fail = 0 ] && echo "style: ${#sources[@]} C files, ${#texts[@]} texts"
exit $fail
