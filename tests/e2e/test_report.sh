#!/bin/bash
# --report of quant and eval: one page that is complete in itself, whatever the names; refused before any work where it cannot be written; and it changes
# nothing in the result. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
: "${PAGE_CHECK:?the checker of pages}"

page=$scratch/page.html
# run OUT OPTION…: a run on the mini model that must succeed.
run() {
    local out=$1
    shift
    "$quant" --quiet --model_path "$demo" --save_directory "$scratch/$out" "$@" >"$log" 2>&1 || fail "$out: $(cat "$log")"
    checks=$((checks + 1))
}
# well_formed NAME COUNTS: the rules of tests/e2e/page_rules.h hold, and so many sections, charts and tables are there.
well_formed() { equal "$1" "$("$PAGE_CHECK" "$page" 2>&1)" "$2"; }

# The documented recipe with outlier suppression; the texts lie under a name that would be markup.
evil=$scratch/'<b>&"'\''</style><script>.json'
mkdir -p "$(dirname "$evil")"
cp "$GS_SOURCE_DIR/demo/calib.json" "$evil"
run out --device_type npu --act_method 2 --anti_method m2 --use_kvcache_quant True --calib_file "$evil" \
    --anti_file "$GS_SOURCE_DIR/demo/anti.json" --report "$page"
well_formed "page" "sections 9 charts 15 tables 6"
equal "mode" "$(stat -c %a "$page")" 644
equal "nothing beside it" "$(cd "$scratch" && ls page*)" page.html
for id in done messages smoothing activations weights float size time linears; do
    says "section $id" "$page" "<section id=\"$id\"" "href=\"#$id\""
done
says "words" "$page" "glm4-mini as W8A8" "12 of 17" "64 texts" "--act_method 2" "no Ascend runtime" "default fallback" "dense_4h_to_h in blocks 0–3" \
    "m2: largest |x|" "prefers-color-scheme: dark" 'name="viewport"' "block 3: "
says "a name that would be markup" "$page" "&lt;b&gt;&amp;&quot;" "&lt;script&gt;.json"
equal "nothing from elsewhere" "$(grep -ciE 'https?:|<script|@import|url\(|<link' "$page")" 0
plain=$(digest "$scratch/out")
run out --device_type npu --act_method 2 --anti_method m2 --use_kvcache_quant True --calib_file "$evil" \
    --anti_file "$GS_SOURCE_DIR/demo/anti.json" --overwrite
equal "the result is the same without it" "$(digest "$scratch/out")" "$plain"

# Other recipes have other sections.
texts=(--calib_texts "The kernel controls the hardware." "ls shows files.")
run wide --w_bit 16 --a_bit 16 --overwrite --report="$page" "${texts[@]}"
well_formed "nothing quantized" "sections 5 charts 0 tables 4"
says "nothing quantized, words" "$page" "0 of 17" "17 stay float" "no inputs are looked at"
run wide --w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False --overwrite --report "$page" "${texts[@]}"
well_formed "weights only" "sections 7 charts 8 tables 5"

# The page of an evaluation, with how each result was made where it says so.
head -c 3000 "$GS_SOURCE_DIR/demo/eval.txt" >"$scratch/text"
measure() { "$GLMSLIM" eval --quiet --model_path "$demo" --text "$scratch/text" --report "$page" "$@" >"$scratch/eval.txt" 2>"$log"; }
run "<b>&" --no_extras "${texts[@]}"
measure --quant_path "$scratch/out" "$scratch/<b>&" || fail "eval: $(cat "$log")"
well_formed "eval" "sections 5 charts 27 tables 9"
for id in quality outputs hidden positions made; do says "section $id" "$page" "<section id=\"$id\"" "href=\"#$id\""; done
says "eval, words" "$page" "<h1>glm4-mini and 2 results</h1>" "&lt;b&gt;&amp;" "--anti_method m2" "m2: largest |x|" "same first"
equal "eval, perplexity" "$(sed -n 's/^float *\([0-9.]* ± [0-9.]*\).*/\1/p' "$scratch/eval.txt")" \
    "$(sed -n 's/^<tr><td>float<\/td><td class="n">\([^<]*\).*/\1/p' "$page")"
echo '{"quant_type": 5}' >"$scratch/<b>&/glmslim_report.json"
measure --quant_path "$scratch/<b>&" || fail "eval, damaged report: $(cat "$log")"
says "eval, damaged report" "$log" "warning: " "glmslim_report.json: \"quant_type\" must be a text"
well_formed "eval, damaged report" "sections 4 charts 9 tables 4"
measure || fail "eval, float alone: $(cat "$log")"
well_formed "eval, float alone" "sections 1 charts 0 tables 1"
rm "$page"
"$GLMSLIM" eval --model_path "$demo" --text "$scratch/text" --report "$scratch/no/page.html" >"$log" 2>&1
equal "eval, no such directory" $? 3
says "eval, no such directory" "$log" "--report" "cannot write into the directory"

# Refused before any work, and nothing is left.
refused "no such directory" 3 "--report" "no/such/page.html" "cannot write into the directory" -- --model_path "$demo" --report no/such/page.html
refused "a directory" 2 "--report needs the name of a file" -- --model_path "$demo" --report "$scratch"
refused "no name" 2 "argument --report: expected one argument" -- --model_path "$demo" --report
refused "nothing to report" 2 "--dry_run does not run" -- --model_path "$demo" --dry_run --report page.html
refused "a run that fails" 3 "no/such/model" -- --model_path no/such/model --report page.html

finish
