#!/bin/bash
# --compute bf16: other ranges than f32, the same bytes on every instruction set and for any number of threads, and what it is refused
# with. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

tiny model
printf '["One two three four five.", "A text that is a little longer than the first one, so that lengths differ.", "Six."]' >"$scratch/texts.json"
run() {
    local out=$scratch/$1
    shift
    "$quant" --quiet --model_path "$scratch/model" --save_directory "$out" --calib_file "$scratch/texts.json" --act_method 2 \
        --use_kvcache_quant True --json "$out.json" "$@" 2>"$log" || fail "$out: $(cat "$log")"
}
run f32
run bf16 --compute bf16
digest "$scratch/bf16" >"$scratch/bf16.sum"
equal "f32 is the default" "$(grep -c '"compute": "f32"' "$scratch/f32.json")" 1
equal "the report says so" "$(grep -c '"compute": "bf16"' "$scratch/bf16/glmslim_report.json")" 1
equal "and the products" "$(grep -c '"kind": "bf16"' "$scratch/bf16.json") $(grep -c '"kind": "bf16"' "$scratch/f32.json")" "1 0"
"$GLMSLIM" diff "$scratch/bf16" "$scratch/f32" >"$scratch/diff.txt"
equal "ranges differ" $? 1
says "ranges differ" "$scratch/diff.txt" kv_cache_scale
equal "weights do not" "$(grep -c '^differs.*weight' "$scratch/diff.txt")" 0
run threads --compute bf16 --threads 3
check "threads" cmp "$scratch/bf16.sum" <(digest "$scratch/threads")
for rung in $("$GLMSLIM" version | sed -n 's/^instruction sets *\(.*\); in use.*/\1/p'); do
    GLMSLIM_CPU=$rung run "$rung" --compute bf16
    check "$rung" cmp "$scratch/bf16.sum" <(digest "$scratch/$rung")
done
refused "reference" 2 "--compute bf16" "--reference_compat" -- --model_path "$scratch/model" --compute bf16 --reference_compat
refused "choice" 2 "--compute" "f64" -- --model_path "$scratch/model" --compute f64
tiny half --torch_dtype float16
refused "float16" 5 "--compute bf16 needs weights in bfloat16" "F16" -- --model_path "$scratch/half" --calib_file "$scratch/texts.json" \
    --compute bf16
finish
