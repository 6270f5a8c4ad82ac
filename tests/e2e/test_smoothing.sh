#!/bin/bash
# Outlier suppression as a user meets it: every method on the mini model prints its groups with the range before and after and
# makes the ranges smaller; the bytes do not depend on the threads; the weights really differ from each other.
# SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

recipe=(--model_path "$demo" --calib_file "$(samples)" --anti_file "$GS_SOURCE_DIR/demo/anti.json"
    --act_method 1 --threads)

# once NAME THREADS OPTION…: runs into $scratch/NAME, table in $log
once() {
    local name=$1 threads=$2
    shift 2
    check "$name runs" "$quant" "${recipe[@]}" "$threads" --save_directory "$scratch/$name" --overwrite "$@" >"$log" 2>&1
}

# groups NAME METHOD COUNT: lines of the table; each one's largest |x| must have become less. The last three columns of a line are
# the range then, the range now and the scaled channels.
groups() {
    local lines
    lines=$(awk -v m="$2" '/^block [0-9]+: / && $6 == m' "$log")
    equal "$1: groups" "$(grep -c . <<<"$lines")" "$3"
    # After another method do_smooth balances what is balanced already: the range may grow again, its loss may not.
    [[ $1 == do_smooth+* ]] && lines=$(awk '{ $(NF - 2) = $(NF - 4); $(NF - 1) = $(NF - 3) } 1' <<<"$lines")
    equal "$1: every range shrinks" "$(awk 'NF && !($(NF - 1) < $(NF - 2) && $NF > 0)' <<<"$lines")" ""
}

# method NAME GROUPS OPTION…: two runs with different threads agree.
method() {
    local name=$1 count=$2 one
    shift 2
    once one 1 "$@"
    groups "$name" "${name%%+*}" "$count"
    one=$(digest "$scratch/one")
    if [ $sanitized = no ]; then # the thread sanitizer's business, not the address sanitizer's
        once three 3 "$@"
        equal "$name: threads" "$(digest "$scratch/three")" "$one"
    fi
    seen+=("$(awk '/weight.*safetensors/ { print $1 }' <<<"$one" | head -1)")
}

seen=()
once plain 2
seen+=("$(digest "$scratch/plain" | awk '/weight.*safetensors/ { print $1 }' | head -1)")
method m1 8 --anti_method m1
method m2 8 --anti_method m2
method m3 8 --anti_method m3
method m4 16 --anti_method m4
method m5 8 --anti_method m5
method m6 16 --anti_method m6
method do_smooth 8 --do_smooth True
method do_smooth+m4 8 --do_smooth True --anti_method m4
equal "methods differ" "$(printf '%s\n' "${seen[@]}" | sort -u | grep -c .)" ${#seen[@]}

# The same with other schemes that smooth: low-bit and weight-only.
method "m3+lowbit" 8 --anti_method m3 --is_lowbit True --w_bit 4 --do_smooth True
method "m1+w4a16" 8 --anti_method m1 --w_bit 4 --a_bit 16
method "m6+float" 16 --anti_method m6 --w_bit 16 --a_bit 16

finish
