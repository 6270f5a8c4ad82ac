#!/bin/bash
# Shows glmslim at work on the small trained model in demo/: the documented W8A8 + int8 KV cache recipe, a look at the result,
# the model finishing a sentence, and how good this and two other recipes are. Installs and builds what is missing first.
# SPDX-License-Identifier: Apache-2.0
set -eu
cd "$(dirname "$0")/.."
bash scripts/setup.sh build
[ -f build/release/build.ninja ] || cmake --preset release >/dev/null
cmake --build --preset release

# Print a command as a person would type it, then run it.
run() {
    local word
    printf '\n$'
    for word in "$@"; do
        case $word in *[!A-Za-z0-9_./=-]*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    printf '\n'
    "$@"
}
bin=build/release
# quantize NAME OPTION…: into out/NAME, over what an earlier demo left there.
recipe=(--model_path demo/glm4-mini --device_type npu --act_method 2 --disable_level L0 --w_bit 8 --a_bit 8 --use_kvcache_quant True
    --calib_file demo/calib.json --anti_file demo/anti.json --trust_remote_code True)
quantize() {
    local again=() name=$1
    shift
    [ -d "out/$name" ] && again=(--overwrite True)
    run $bin/quant_glm "${recipe[@]}" --save_directory "out/$name" "$@" "${again[@]}"
}
quantize w8a8c8
run $bin/glmslim inspect out/w8a8c8
run $bin/glmslim generate demo/glm4-mini --prompt "To insert a table, choose" --max_new 24
run $bin/glmslim generate demo/glm4-mini --prompt "如果文件不存在，" --max_new 24
printf '\nIs it still good? The same with outlier suppression, and with every linear of the blocks in int8, for comparison.\n'
quantize w8a8c8-m2 --anti_method m2 --quiet
quantize all-int8 --disable_names transformer.output_layer --quiet
run $bin/glmslim eval --model_path demo/glm4-mini --text demo/eval.txt --quant_path out/w8a8c8 out/w8a8c8-m2 out/all-int8 \
    --report out/report.html
printf 'The quantized model is in out/w8a8c8, charts for a browser are in %s.\nNext: %s\n' "$PWD/out/report.html" "$bin/glmslim help"
