#!/bin/bash
# Checkpoint directories that cannot be used: config.json, unsupported families, tokenizer, ids beyond the vocabulary. Each
# is refused by name before anything is written. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

tiny whole
model=$scratch/model
echo '[{"prompt": "Four words are enough."}]' >"$scratch/calib.json"
supported='supported: "chatglm"'

fresh() {
    rm -rf "$model"
    cp -r "$scratch/whole" "$model"
}
broken() {
    refused "$@" -- --model_path "$model" --calib_file "$scratch/calib.json"
    fresh
}
# edit FILE SED-SCRIPT: which must change the file.
edit() {
    cp "$model/$1" "$scratch/before"
    sed -i "$2" "$model/$1"
    ! cmp -s "$scratch/before" "$model/$1" || fail "edit $2 changed nothing"
}
config() { edit config.json "$1"; }
fresh

refused "no model directory" 3 "$scratch/nowhere" "give the directory" -- --model_path "$scratch/nowhere"
refused "a file for a model" 3 "config.json" "not a directory" -- --model_path "$model/config.json"
refused "empty model path" 2 "model_path" -- --model_path ""
mkdir "$scratch/hollow"
refused "empty directory" 4 "config.json" "checkpoint directory" -- --model_path "$scratch/hollow"

# config.json as a file.
: >"$model/config.json"
broken "empty config" 4 "config.json"
truncate -s 300 "$model/config.json"
broken "config cut" 4 "config.json" "line "
printf '[1]' >"$model/config.json"
broken "config is a list" 4 "config.json" "object"
config 's/"num_layers": 2,/&\n  "num_layers": 2,/'
broken "key twice" 4 "config.json" "duplicate"
config $'s/glm-4-synthetic/\xff\xfe/'
broken "config not UTF-8" 4 "config.json" "UTF-8"
{ printf '{"a":%.0s' {1..5000}; } >"$model/config.json"
broken "config nested deep" 4 "config.json"
rm "$model/config.json" && mkdir "$model/config.json"
broken "config is a directory" 3 "config.json"

# Every key that the network needs.
for key in model_type num_layers padded_vocab_size hidden_size ffn_hidden_size num_attention_heads multi_query_group_num \
    kv_channels seq_length layernorm_epsilon add_qkv_bias torch_dtype multi_query_attention add_bias_linear rmsnorm \
    post_layer_norm apply_residual_connection_post_layernorm; do
    config "/\"$key\":/d"
    broken "no $key" 4 "config.json" "'$key' is missing" "must be"
    config "s/\"$key\": .*,/\"$key\": {},/"
    broken "$key is an object" 4 "config.json" "'$key' is {}" "must be"
done
# Sizes that cannot be.
for key in num_layers padded_vocab_size hidden_size ffn_hidden_size num_attention_heads multi_query_group_num kv_channels \
    seq_length; do
    for value in 0 -1 1.5 9223372036854775807 '"64"' null true; do
        config "s/\"$key\": .*,/\"$key\": $value,/"
        broken "$key $value" 4 "config.json" "'$key' is $value" "must be"
    done
    # Beyond what any reader holds.
    config "s/\"$key\": .*,/\"$key\": 1$(printf '0%.0s' {1..40}),/"
    broken "$key 1e40 in digits" 4 "config.json"
done
config 's/"layernorm_epsilon": .*,/"layernorm_epsilon": -1e-5,/'
broken "negative epsilon" 4 "layernorm_epsilon" "above 0"
config 's/"layernorm_epsilon": .*,/"layernorm_epsilon": 1e-300,/'
broken "epsilon that is 0 in float32" 4 "layernorm_epsilon"
config 's/"kv_channels": .*,/"kv_channels": 18,/'
broken "odd rotary width" 4 "kv_channels" "multiple of 4"
config 's/"multi_query_group_num": .*,/"multi_query_group_num": 3,/'
broken "groups that do not divide" 4 "multi_query_group_num" "divide"
config 's/"torch_dtype": .*,/"torch_dtype": "float8_e4m3fn",/'
broken "unknown torch_dtype" 4 "torch_dtype" "float8_e4m3fn" "bfloat16"
config 's/"use_cache": true,/&\n  "rope_ratio": 0,/'
broken "rope_ratio 0" 4 "rope_ratio"
# Possible, but not those of the weights.
config 's/"num_layers": .*,/"num_layers": 3,/'
broken "a layer too many" 4 "layers.2." "is missing" "config.json"
config 's/"num_layers": .*,/"num_layers": 1,/'
broken "a layer too few" 4 "layers.1." "num_layers = 1" "do not belong together"
config 's/"hidden_size": .*,/"hidden_size": 128,/'
broken "another width" 4 "word_embeddings.weight" "[512, 64]" "[512, 128]"
config 's/"padded_vocab_size": .*,/"padded_vocab_size": 65536,/'
broken "another vocabulary" 4 "word_embeddings.weight" "[512, 64]"
config 's/"ffn_hidden_size": .*,/"ffn_hidden_size": 65536,/'
broken "another feed-forward width" 4 "dense_h_to_4h.weight"
config 's/"add_qkv_bias": true/"add_qkv_bias": false/'
broken "biases nobody asked for" 4 "query_key_value.bias" "add_qkv_bias = false"
config 's/"rmsnorm": true/"rmsnorm": false/'
broken "LayerNorm" 5 "rmsnorm" "LayerNorm" "not supported"

# Families.
config 's/"model_type": "chatglm"/"model_type": "llama"/'
broken "llama" 5 'model_type "llama"' "$supported" "glm-4-9b"
config 's/"model_type": "chatglm"/"model_type": "glm4v"/'
broken "glm4v" 5 'model_type "glm4v"' "$supported"
config 's/"model_type": "chatglm"/"model_type": ""/'
broken "no type" 5 'model_type' "$supported"
config $'s/"model_type": "chatglm"/"model_type": "a\\\\u001b[31mb"/'
broken "control characters in the type" 5 "$supported"
checks=$((checks + 1))
! grep -q $'\x1b' "$log" || fail "a message holds an escape sequence from a file"
config 's/"use_cache": true,/&\n  "vision_config": {"hidden_size": 1792, "num_hidden_layers": 63},/'
broken "GLM-4V" 5 "GLM-4V" "vision_config" "not supported" "$supported"
printf '\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02' >"$model/tokenizer.model"
broken "ChatGLM2 and 3" 5 "ChatGLM2" "ChatGLM3" "SentencePiece" "tokenizer.model"
config 's/"use_cache": true,/&\n  "inner_hidden_size": 16384,/'
broken "ChatGLM1" 5 "ChatGLM1" "$supported"

# Tokenizer.
rm "$model/tokenizer.model"
broken "no tokenizer" 3 "tokenizer.model" "copy"
rm "$model/tokenizer.model" && echo '{}' >"$model/tokenizer.json"
broken "only tokenizer.json" 5 "tokenizer.json"
: >"$model/tokenizer.model"
broken "empty tokenizer" 4 "tokenizer.model" "fetch"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n' >"$model/tokenizer.model"
broken "tokenizer is an LFS pointer" 4 "tokenizer.model" "git lfs pull"
edit tokenizer.model '12s/^[^ ]*/LA!=/'
broken "bad base64" 4 "tokenizer.model, line 12" "bad base64" "fetch"
edit tokenizer.model '12s/^[^ ]*/LAA/'
broken "base64 of a wrong length" 4 "tokenizer.model, line 12" "bad base64"
edit tokenizer.model '100d'
broken "gap" 4 "tokenizer.model, line 100" "rank 100 where 99" "without gaps" "fetch"
edit tokenizer.model '100{p}'
broken "rank twice" 4 "tokenizer.model, line 101" "duplicates"
edit tokenizer.model '100s/ 99/ 4294967395/'
broken "rank that wraps" 4 "tokenizer.model, line 100"
edit tokenizer.model '100s/ 99/ -1/'
broken "negative rank" 4 "tokenizer.model, line 100"
edit tokenizer.model '100s/ 99//'
broken "line without a rank" 4 "tokenizer.model, line 100"
edit tokenizer.model '100s/^[^ ]*/IQ==/'
broken "token twice" 4 "tokenizer.model, line 100" "line 1 again"
edit tokenizer.model '200,$d'
broken "tokenizer cut" 4 "tokenizer.model" "incomplete" "fetch"
edit tokenizer.model '12s/^/\x00/'
broken "NUL in the tokenizer" 4 "tokenizer.model, line 12"
printf '{' >"$model/tokenizer_config.json"
broken "tokenizer_config cut" 4 "tokenizer_config.json"
edit tokenizer_config.json '0,/"496"/s//"12"/'
broken "special token on a vocabulary id" 4 "tokenizer_config.json" "12" "belong together"
edit tokenizer_config.json '0,/"496"/s//"99999999999"/'
broken "special token with a huge id" 4 "tokenizer_config.json" "99999999999"

# Files that the output takes over: what would stop the copying at the end is refused, and in a dry run too.
untaken() {
    refused "$@" -- --model_path "$model" --calib_file "$scratch/calib.json" --dry_run
    fresh
}
touch "$model"/note-{1..1024}
untaken "many entries" 4 "more than 1024 entries"
truncate -s 268435457 "$model/tokenizer.json"
untaken "huge tokenizer.json" 4 "tokenizer.json has 268435457 bytes" "at most 268435456" "move it out"
printf '{"eos_token_id": ' >"$model/generation_config.json"
untaken "generation_config cut" 4 "generation_config.json" "line 1"
rm "$model/generation_config.json" && ln -s generation_config.json "$model/generation_config.json"
untaken "generation_config is a link to itself" 3 "generation_config.json"
# Weights of another model are none of them, whatever they are called; and a copy takes no memory.
truncate -s 100000 "$model/audio_tokenizer.safetensors"
truncate -s 60000000 "$model/tokenizer_extra.bin"
measured=("$PEAK") # under an emulator it would have to be emulated itself
[ $heavy = no ] || measured=()
peak=$("${measured[@]}" "$quant" --quiet --model_path "$model" --save_directory "$scratch/taken" --calib_file "$scratch/calib.json" 2>"$log")
equal "strangers beside the weights" $? 0
[ $heavy = yes ] || check "a copy takes no memory" test "$peak" -lt 50000000
check "copied" cmp "$model/tokenizer_extra.bin" "$scratch/taken/tokenizer_extra.bin"
equal "copied, mode" "$(stat -c %a "$scratch/taken/tokenizer_extra.bin")" 600
equal "not copied" "$(find "$scratch/taken" -name 'audio*')" ""
rm -r "$scratch/taken"
fresh

# The demo's tokenizer has 4080 ids, this model 512 rows.
cp "$demo"/tokenizer.model "$demo"/tokenizer_config.json "$model"
broken "id beyond the vocabulary" 4 "$scratch/calib.json" "sample 0" "512 embedding rows" "belong together"
edit tokenizer_config.json '0,/"498"/s//"600"/'
broken "prefix beyond the vocabulary" 4 "id 600" "512 embedding rows"

finish
