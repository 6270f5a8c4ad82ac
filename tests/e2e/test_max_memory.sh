#!/bin/bash
# --max_memory: the same bytes with and without, less memory than the limit, and a refusal that names the least limit.
# SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
yard=$scratch/yard
mkdir "$yard"

number() { json_number "$scratch/$1.json" "$2"; }

# job NAME OPTION…: quantizes $model into $yard/out; the peak in $scratch/NAME.peak, the digest in $scratch/NAME.sum.
job() {
    local name=$1
    shift
    rm -rf "$yard/out"
    "$PEAK" "$quant" --quiet --model_path "$model" --save_directory "$yard/out" --threads 2 --json "$scratch/$name.json" "$@" \
        >"$scratch/$name.peak" 2>"$log" || fail "$name: $(cat "$log")"
    digest "$yard/out" >"$scratch/$name.sum"
    equal "$name: beside the output" "$(ls -A "$yard")" out
}

# least OPTION…: the smallest limit that is not refused, in units of 1 MB; a dry run refuses like a run.
least() {
    "$quant" --quiet --model_path "$model" --save_directory "$yard/none" --threads 2 --dry_run --max_memory 1M "$@" >"$log" 2>&1
    equal "1M: exit code" $? 7 >&2
    says "1M" "$log" "error: --max_memory 1M is not enough" "raise the limit" >&2
    sed -n 's/.* this needs \([0-9]*\)M.*/\1/p' <<<"$(tr '\n' ' ' <"$log" | tr -s ' ')"
}

# limited NAME OPTION…: without a limit, and with the least.
limited() {
    local name=$1 mb
    shift
    job free "$@"
    mb=$(least "$@")
    job tight --max_memory "${mb}M" "$@"
    check "$name: the same bytes" cmp "$scratch/free.sum" "$scratch/tight.sum"
    "$quant" --quiet --model_path "$model" --save_directory "$yard/none" --threads 2 --dry_run --max_memory "$((mb - 2))M" "$@" >"$log" 2>&1
    equal "$name: less is refused" $? 7
    check "$name: less is planned" test "$(number tight planned_peak_bytes)" -le $((mb * 1000000))
    echo "$name: $(number free planned_peak_bytes) planned, $(cat "$scratch/free.peak") used; limit ${mb}M: $(number tight planned_peak_bytes), $(
        cat "$scratch/tight.peak"), in files $(number tight spilled_bytes)"
    [ $sanitized = yes ] || check "$name: the limit is kept" test "$(cat "$scratch/tight.peak")" -le $((mb * 1000000))
}

# Streams that are most of the memory: 2 of 24 MB.
model=$scratch/model
"$GLMSLIM" synth --quiet --dir "$model" --hidden 512 --layers 2 --heads 4 --groups 2 --head_dim 128 --ffn 1024 --vocab 2048 >/dev/null || fail synth
for i in {1..120}; do echo "The quick brown fox $i jumps over the lazy dog, and the dog, being lazy, lets it jump as often as it likes."; done >"$scratch/texts"
limited "two streams" --use_kvcache_quant True --calib_file "$scratch/texts"
equal "both streams are in files" "$(number tight spilled_bytes)" $(($(number tight tokens) * 512 * 4 * 2))
equal "no file without a limit" "$(number free spilled_bytes)" 0
check "that saves them" test $(($(number free planned_peak_bytes) - $(number tight planned_peak_bytes))) -gt $(($(number tight spilled_bytes) * 3 / 4))
middle=$((($(number free planned_peak_bytes) - 2000000) / 1000))
job middle --max_memory ${middle}K --use_kvcache_quant True --calib_file "$scratch/texts"
check "a limit between: the same bytes" cmp "$scratch/free.sum" "$scratch/middle.sum"
check "a limit between: files" test "$(number middle spilled_bytes)" -gt 0
job wide --max_memory 4GiB --use_kvcache_quant True --calib_file "$scratch/texts"
equal "a limit that is no limit" "$(number wide planned_peak_bytes)" "$(number free planned_peak_bytes)"

# A control group with little memory counts like --max_memory. Needs the right to make one.
group=/sys/fs/cgroup/memory/glmslim-test-$$
if { mkdir "$group" && echo $((middle * 1000)) >"$group/memory.limit_in_bytes"; } 2>/dev/null; then
    in_group() { (echo "$BASHPID" >"$group/cgroup.procs" && exec "$@"); }
    in_group "$quant" --model_path "$model" --save_directory "$yard/out" --overwrite --threads 2 --use_kvcache_quant True \
        --calib_file "$scratch/texts" --json "$scratch/group.json" >"$log" 2>&1
    equal "group: exit code" $? 0
    says "group" "$log" "the control group of this process allows ${middle%???}M of memory: hidden states go to a file"
    check "group: files" test "$(number group spilled_bytes)" -gt 0
    digest "$yard/out" >"$scratch/group.sum"
    check "group: the same bytes" cmp "$scratch/free.sum" "$scratch/group.sum"
    mb=$(least --use_kvcache_quant True --calib_file "$scratch/texts")
    echo $(((mb - 2) * 1000000)) >"$group/memory.limit_in_bytes"
    in_group "$quant" --quiet --model_path "$model" --save_directory "$yard/none" --threads 2 --use_kvcache_quant True \
        --calib_file "$scratch/texts" >"$log" 2>&1
    equal "small group: exit code" $? 7
    says "small group" "$log" "error: the control group of this process allows" "this needs ${mb}M"
    in_group "$quant" --model_path "$model" --save_directory "$yard/none" --threads 2 --use_kvcache_quant True \
        --calib_file "$scratch/texts" --dry_run >"$log" 2>&1
    equal "small group: a plan is made" $? 0
    says "small group, plan" "$log" "warning: the control group of this process allows"
    for _ in $(seq 50); do rmdir "$group" 2>/dev/null && break; sleep 0.1; done
else
    echo "test_max_memory.sh: no control group can be made here (version 1, as root); its part is skipped"
fi

# Everything that keeps hidden states, and what keeps none.
model=$demo
texts=(--calib_file "$scratch/few")
head -60 "$scratch/texts" >"$scratch/few"
limited "smoothed" --anti_method m4 --disable_level L3 --act_method 3 --disable_last_linear False "${texts[@]}"
check "smoothed: files" test "$(number tight spilled_bytes)" -gt 0
limited "do_smooth" --do_smooth True "${texts[@]}"
limited "W4A4" --w_bit 4 --a_bit 4 --is_dynamic True "${texts[@]}"
check "W4A4: files" test "$(number tight spilled_bytes)" -gt 0
limited "low-bit, ranked" --w_bit 4 --a_bit 8 --is_lowbit True --disable_level L2 "${texts[@]}"
limited "rows" --w_bit 8 --a_bit 16 "${texts[@]}"
equal "rows: nothing is said of texts" "$(grep -c 'shorter texts' "$log")" 0
limited "rows, many threads" --w_bit 8 --a_bit 16 "${texts[@]}" --threads 24
# do_smooth looks at the first sample alone; heads may be wide.
small() { model=$scratch/$1 && "$GLMSLIM" synth --quiet --dir "$model" --layers 1 --vocab 512 "${@:2}" >/dev/null || fail "synth $1"; }
for _ in {1..60}; do printf 'a lazy dog '; done >"$scratch/long"
small one --hidden 512 --heads 4 --groups 2 --head_dim 128 --ffn 512
limited "do_smooth, long first sample" --do_smooth True --calib_file "$scratch/long"
tiny tiny && model=$scratch/tiny # where buffers are larger than what is in them
limited "tiny" --anti_method m6 --use_kvcache_quant True "${texts[@]}"
small wide --hidden 64 --heads 2 --groups 2 --head_dim 4096 --ffn 64
limited "wide heads" --calib_file "$scratch/long" --threads 8
if [ $sanitized = no ]; then
    (ulimit -v 400000 && exec "$quant" --quiet --model_path "$model" --save_directory "$yard/none" --calib_texts "Four words." --threads 16) >"$log" 2>&1
    equal "wide heads, no memory: exit code" $? 7
    says "wide heads, no memory" "$log" "error: not enough memory" "scratch of a thread"
fi

# Words that are no sizes, and an interrupt while hidden states are in files.
refused "no size" 2 "--max_memory" "invalid size value" -- --model_path "$model" --max_memory much
model=$scratch/model
"$quant" --quiet --model_path "$model" --save_directory "$yard/gone" --threads 1 --max_memory ${middle}K --use_kvcache_quant True \
    --calib_file "$scratch/texts" >"$log" 2>&1 &
pid=$!
until [ -d "$yard/.gone.glmslim-work/new" ] || ! kill -0 $pid 2>/dev/null; do sleep 0.05; done
kill -INT $pid
wait $pid
equal "interrupted: exit code" $? 8
equal "interrupted: left behind" "$(ls -A "$yard")" out
finish
