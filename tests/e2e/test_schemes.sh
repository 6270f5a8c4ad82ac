#!/bin/bash
# Every line of docs/recipes.md on the demo model: it runs, says its type, can be inspected; in mindie_format the names of the files
# agree with config.json; on a part of them one and three threads give the same bytes. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
texts=(--calib_texts "The kernel is the core of the system." "内核的作用是什么？" "A package is a file that holds a program and its papers.")

# run OUT OPTION…
run() {
    local out=$1
    shift
    check "$out: $*" "$quant" --model_path "$demo" --save_directory "$scratch/$out" "${texts[@]}" "$@" >"$scratch/$out.log" 2>&1
}
count=0
while IFS='|' read -r _ type _ options _; do
    type=${type// /}
    options=${options//\`/}
    read -r -a words <<<"$options"
    count=$((count + 1))
    run "r$count" "${words[@]}"
    says "$options: summary" "$scratch/r$count.log" "$type written to"
    check "$options: inspect" "$GLMSLIM" inspect --quiet --json "$scratch/inspect.json" "$scratch/r$count" >/dev/null
    says "$options: description" "$scratch/inspect.json" "\"model_quant_type\": \"$type\""
    if [ $((count % 4)) = 0 ]; then
        run t1 "${words[@]}" --no_extras --threads 1
        run t3 "${words[@]}" --no_extras --threads 3
        equal "$options: threads" "$(digest "$scratch/t1")" "$(digest "$scratch/t3")"
    fi
    if [ "$type" != W4A4_FLATQUANT_DYNAMIC ]; then
        run mindie "${words[@]}" --mindie_format
        word=$(sed -n 's/^ *"quantize": "\(.*\)".*/\1/p' "$scratch/mindie/config.json")
        check "$options: mindie, description of '$word'" [ -f "$scratch/mindie/quant_model_description_$word.json" ]
        check "$options: mindie, weights of '$word'" [ -f "$scratch/mindie/quant_model_weight_$word.safetensors" ]
        check "$options: mindie, inspect" "$GLMSLIM" inspect --quiet "$scratch/mindie" >/dev/null
    fi
    rm -rf "$scratch/r$count" "$scratch/t1" "$scratch/t3" "$scratch/mindie"
done < <(grep -E '^\| (W|FLOAT)' "$GS_SOURCE_DIR/docs/recipes.md")
check "lines of docs/recipes.md" [ "$count" -ge 25 ]
equal "docs/recipes.md" "$("$GLMSLIM" docs recipes)" "$(cat "$GS_SOURCE_DIR/docs/recipes.md")"
finish
