#!/bin/bash
# The plan's figures against what happens, on a checkpoint of 0.75 GB whose float32 output needs two shards of 1 GiB: memory,
# bytes, files. And no memory at all. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
if [ $sanitized = yes ]; then
    echo "SKIP: the address sanitizer's memory is not the program's"
    exit 77
fi
if [ "$(df --output=avail -k "$scratch" | tail -1)" -lt 3000000 ]; then
    echo "SKIP: less than 3 GB free in $scratch"
    exit 77
fi

model=$scratch/model
"$GLMSLIM" synth --quiet --dir "$model" --hidden 2048 --layers 3 --heads 16 --groups 2 --head_dim 128 --ffn 8192 --vocab 48000 ||
    fail "synth"
for i in {1..6}; do echo "The quick brown fox $i jumps over the lazy dog again."; done >"$scratch/texts"
run=("$quant" --quiet --model_path "$model" --threads 2)
number() { json_number "$scratch/$1.json" "$2"; }

# within NAME GOT PLAN: 15 %.
within() { near "$1" "$2" "$3" 0.15; }

# measured NAME OPTION…: dry run and run agree; $model_bytes is never in memory.
measured() {
    local name=$1 own peak
    shift
    rm -rf "$scratch/out"
    own=$("$PEAK" "${run[@]}" --save_directory "$scratch/out" --dry_run --json "$scratch/plan.json" "$@" 2>"$log") ||
        fail "$name, dry run: $(cat "$log")"
    check "$name: the dry run takes no memory" test "$own" -lt 60000000
    check "$name: the dry run writes nothing" test ! -e "$scratch/out"
    peak=$("$PEAK" "${run[@]}" --save_directory "$scratch/out" --json "$scratch/run.json" "$@" 2>"$log") || fail "$name: $(cat "$log")"
    equal "$name: the plan is the same" "$(number run planned_peak_bytes)" "$(number plan planned_peak_bytes)"
    equal "$name: planned output" "$(number plan output_bytes)" "$(cat "$scratch"/out/*.safetensors | wc -c)"
    equal "$name: bytes written" "$(number run output_bytes)" "$(number plan output_bytes)"
    equal "$name: measured in a dry run" "$(number plan measured_peak_bytes)" 0
    within "$name: planned and true peak" "$peak" "$(number plan planned_peak_bytes)"
    within "$name: reported and true peak" "$(number run measured_peak_bytes)" "$peak"
    echo "$name: planned $(number plan planned_peak_bytes), measured $peak"
}

measured "float32, shards, KV cache" --save_dtype float32 --part_file_size 1 --use_kvcache_quant True --calib_file "$scratch/texts"
# Two files: what lies in the second would have made the first reach the limit.
equal "shards" "$(cd "$scratch/out" && ls -- *.safetensors)" "quant_model_weight_w8a8-00001-of-00002.safetensors
quant_model_weight_w8a8-00002-of-00002.safetensors"
limit=$((1 << 30))
data=$("$SURGEON" list "$scratch/out/quant_model_weight_w8a8-00001-of-00002.safetensors" | awk '{ n += $3 } END { print n }')
next=$("$SURGEON" list "$scratch/out/quant_model_weight_w8a8-00002-of-00002.safetensors" | awk '{ print $3; exit }')
check "first shard below the limit" test "$data" -lt $limit
check "first shard is full" test $((data + next)) -ge $limit
check "the shards are one checkpoint" "$SURGEON" value "$scratch/out" transformer.output_layer.weight 0 >/dev/null
chmod -R u+w "$scratch/out"

measured "documented types, histogram" --act_method 2 --calib_file "$scratch/texts"
measured "all linears" --disable_names transformer.encoder.layers.2.self_attention.dense --disable_last_linear False \
    --calib_texts "A few words only."

# Without hidden states: chunks of rows, whatever the size of block, head and embedding.
measured "rows" --w_bit 8 --a_bit 16 --disable_last_linear False --calib_file "$scratch/texts"
check "rows: no block in memory" test "$(number run measured_peak_bytes)" -lt 125000000
measured "rows, packed groups" --w_bit 4 --a_bit 8 --is_dynamic True --is_lowbit True --open_outlier False --group_size 64 \
    --calib_file "$scratch/texts"
check "rows, packed groups: no block in memory" test "$(number run measured_peak_bytes)" -lt 125000000

# Too little memory: exit 7, the amount and a way out.
head -c 400000 /dev/zero | tr '\0' 'a ' >"$scratch/long"
rm -rf "$scratch/out"
mkdir "$scratch/yard"
(ulimit -v 600000 && exec "${run[@]}" --save_directory "$scratch/yard/out" --calib_file "$scratch/long") >"$log" 2>&1
equal "memory limit: exit code" $? 7
says "memory limit" "$log" "error: not enough memory" "bytes" "use fewer threads, or fewer or shorter texts"
equal "memory limit: left behind" "$(ls -A "$scratch/yard")" ""

finish
