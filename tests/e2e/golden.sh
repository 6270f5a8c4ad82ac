#!/bin/bash
# The program against the reference: the cases of a group of tests/golden/cases are run as the reference's script was, with CPU
# dtypes and the reference's own mistakes, and compared. One line per case with its worst figures.
#   golden.sh GROUP | golden.sh CASE…
# SPDX-License-Identifier: Apache-2.0
set -u
golden=$GS_SOURCE_DIR/tests/golden
program=$(dirname "$GLMSLIM")/quant_glm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

# With m1 to m6 every step has the reference's bits: the comparison's bounds are not for them, but for do_smooth.
exact() {
    case $1 in
    *smooth*) ;;
    *m[1-6]*) ! grep -E '(code|weight_scale|float|input_scale|kv_scale|deq_scale) [0-9.]*[1-9]' <<<"$2" ;;
    esac
}

cases=("$@")
[ -d "$golden/cases/$1" ] || mapfile -t cases < <(cd "$golden/cases" && grep -lx "group $1" ./*/case.txt | cut -d/ -f2)
for name in "${cases[@]}"; do
    mapfile -t facts < <("$GOLDEN_COMPARE" args "$golden/cases/$name")
    if [ ${#facts[@]} -lt 4 ]; then
        echo "$name: the case cannot be read"
        failed=$((failed + 1))
        continue
    fi
    args=()
    for word in "${facts[@]:3}"; do
        case $word in
        '{MODEL}') word=$golden/models/${facts[0]} ;;
        '{OUT}') word=$work/$name ;;
        '{CALIB}') word=$golden/data/${facts[1]} ;;
        '{ANTI}') word=$golden/data/${facts[2]} ;;
        esac
        args+=("$word")
    done
    # In a folder of its own: the reference drops a file into the current one, and we must not.
    mkdir "$work/cwd"
    # What a case asks for comes last and wins. One, two or three threads: the bytes do not depend on it.
    if ! (cd "$work/cwd" && "$program" --save_dtype float32 --reference_compat --threads $((passed % 3 + 1)) \
        "${args[@]}" >"$work/log" 2>&1); then
        echo "$name: the program failed:"
        tail -5 "$work/log"
        failed=$((failed + 1))
    elif ! figures=$("$GOLDEN_COMPARE" check "$golden/cases/$name" "$work/$name") || ! exact "$name" "$figures"; then
        echo "$figures"
        failed=$((failed + 1))
    elif ! rmdir "$work/cwd" 2>/dev/null; then
        echo "$name: files were left in the current directory: $(ls "$work/cwd")"
        failed=$((failed + 1))
    else
        echo "$figures"
        passed=$((passed + 1))
    fi
    rm -rf "$work/cwd" "${work:?}/$name"
done
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
