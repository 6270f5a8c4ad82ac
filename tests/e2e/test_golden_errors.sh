#!/bin/bash
# What the reference refuses is refused here for the same reason, before anything is written, and what it dies of by accident works:
# every record of tests/golden/errors.txt. "not implemented" is no reason. Arguments: case names. SPDX-License-Identifier: Apache-2.0
set -u
golden=$GS_SOURCE_DIR/tests/golden
program=$(dirname "$GLMSLIM")/quant_glm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0
only=" $* "

# Run one record: case, policy, model, calib, anti, outname, args and says are set.
judge() {
    [ "$only" = "  " ] || [[ $only == *" $case "* ]] || return
    local argv=() word log status
    for word in "${args[@]}"; do
        case $word in
        '{MODEL}') word=$golden/models/$model ;;
        '{OUT}') word=$work/out/$outname ;;
        '{CALIB}') word=$golden/data/$calib ;;
        '{ANTI}') word=$golden/data/$anti ;;
        esac
        argv+=("$word")
    done
    rm -rf "$work/out" && mkdir "$work/out"
    (cd "$work/out" && timeout $((120 * ${GS_PATIENCE:-1})) "$program" --save_dtype float32 --reference_compat "${argv[@]}") >"$work/log" 2>&1
    status=$?
    # Messages may be folded to the terminal's width.
    log=$(tr -s '[:space:]' ' ' <"$work/log")
    local why=""
    case $policy in
    refused)
        if [ $status = 0 ] || [ $status -gt 8 ]; then why="it ends with $status"; fi
        [ -z "$(ls -A "$work/out")" ] || why="$why it left $(ls -A "$work/out")"
        [[ -n $says && $log == *"$says"* ]] || why="$why it does not say '$says'"
        [[ $log != *"not implemented"* ]] || why="$why it says 'not implemented'"
        ;;
    works)
        [ $status = 0 ] || why="it ends with $status"
        "$GLMSLIM" inspect --quiet "$work/out/$outname" >/dev/null || why="$why inspect cannot read it"
        ;;
    *) why="unknown policy '$policy'" ;;
    esac
    if [ -n "$why" ]; then
        echo "$case: $why (exit $status): ${log:0:300}"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
}

case=""
while IFS= read -r line || [ -n "$line" ]; do
    value=${line#* }
    case $line in
    '#'*) ;;
    'case '*) case=$value policy="" model="" calib="" anti="" says="" outname=result args=() ;;
    'policy '*) policy=$value ;;
    'model '*) model=$value ;;
    'calib '*) calib=$value ;;
    'anti '*) anti=$value ;;
    'outname '*) outname=$value ;;
    'arg '*) args+=("$value") ;;
    'says '*) says=$value ;;
    '')
        [ -z "$case" ] || judge
        case=""
        ;;
    *)
        echo "errors.txt: unknown line '$line'"
        failed=$((failed + 1))
        ;;
    esac
done < <(cat "$golden/errors.txt" && echo)
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
