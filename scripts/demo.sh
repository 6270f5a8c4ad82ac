#!/bin/bash
# Shows glmslim at work on the small trained model in demo/: the documented W8A8 + int8 KV cache recipe, a look at the result,
# and the model finishing a sentence. Installs and builds what is missing first. SPDX-License-Identifier: Apache-2.0
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
again=()
[ -d out/w8a8c8 ] && again=(--overwrite True)
run $bin/quant_glm --model_path demo/glm4-mini --save_directory out/w8a8c8 --device_type npu --act_method 2 \
    --disable_level L0 --w_bit 8 --a_bit 8 --use_kvcache_quant True --calib_file demo/calib.json \
    --anti_file demo/anti.json --trust_remote_code True "${again[@]}"
run $bin/glmslim inspect out/w8a8c8
run $bin/glmslim generate demo/glm4-mini --prompt "To insert a table, choose" --max_new 24
run $bin/glmslim generate demo/glm4-mini --prompt "如果文件不存在，" --max_new 24
printf '\nThe quantized model is in out/w8a8c8. Next: %s\n' "$bin/glmslim help"
