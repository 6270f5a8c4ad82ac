#!/bin/bash
# Damaged weights: shards that are missing, cut, corrupt or lie in their header; an index that does not fit; wrong tensors;
# NaN and Inf. Each run ends with its exit code, names file and tensor, and leaves nothing. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

tiny whole
model=$scratch/model
first="model-00001-of-00004.safetensors"
second="model-00002-of-00004.safetensors"
index=model.safetensors.index.json
qkv=transformer.encoder.layers.0.self_attention.query_key_value
dense=transformer.encoder.layers.0.self_attention.dense
embedding=transformer.embedding.word_embeddings
echo '[{"prompt": "Four words are enough."}]' >"$scratch/calib.json"

# broken NAME STATUS TEXT…: quantize $model, which is then made whole again.
broken() {
    refused "$@" -- --model_path "$model" --calib_file "$scratch/calib.json" --threads 2 ${as[@]+"${as[@]}"}
    fresh
}
as=()
fresh() {
    rm -rf "$model"
    cp -r "$scratch/whole" "$model"
}
header() { check "damage" "$SURGEON" replace "$model/$1" "$2" "$3"; }
# Where a tensor's entry begins in the header, up to its shape.
entry() { printf '"%s":{"dtype":"BF16","shape":[%s]' "$1" "$2"; }
fresh

# The undamaged model passes: what follows is refused for its damage.
check "whole model" "$quant" --quiet --model_path "$model" --save_directory "$scratch/good" --calib_file "$scratch/calib.json"

# Shards and index as files.
rm "$model/$second"
broken "missing shard" 4 "$second" "is missing" "index" "fetch"
truncate -s -1 "$model/$second"
broken "shard cut by a byte" 4 "$second" "fetch"
truncate -s +1 "$model/$second"
broken "shard longer by a byte" 4 "$second" "fetch"
truncate -s 20000 "$model/$first"
broken "shard cut in its data" 4 "$first" "fetch"
truncate -s 100 "$model/$first"
broken "shard cut in its header" 4 "$first" "fetch"
truncate -s 7 "$model/$first"
broken "shard of 7 bytes" 4 "$first" "fetch"
: >"$model/$first"
broken "empty shard" 4 "$first" "fetch"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n' >"$model/$first"
broken "LFS pointer for a shard" 4 "$first"
printf '<!DOCTYPE html>\n<html><body>404 not found, sorry</body></html>\n' >"$model/$first"
broken "web page for a shard" 4 "$first"
rm "$model/$first" && mkdir "$model/$first"
broken "directory for a shard" 3 "$first"
rm "$model/$first" && mkfifo "$model/$first"
broken "FIFO for a shard" 3 "$first"
rm "$model/$first" && ln -s nowhere "$model/$first"
broken "dangling link for a shard" 4 "$first" "is missing"
cp "$model/$second" "$model/$first"
broken "one shard in the place of another" 4 "$first" "$second"
rm "$model"/*.safetensors "$model/$index"
broken "no weights" 4 "model holds no safetensors" "download"
rm "$model"/*.safetensors "$model/$index" && : >"$model/pytorch_model.bin"
broken "pickled weights" 4 ".bin" "safetensors first"
rm "$model/$index"
broken "no index" 4 "no index" "fetch"
cp "$model/$index" "$model/other.safetensors.index.json"
broken "two indexes" 4 "other.safetensors.index.json" "leave one"

# What the index says.
sed -i 's/-00002-of-00004/-00009-of-00004/' "$model/$index"
broken "index names a missing file" 4 "model-00009-of-00004.safetensors is missing" "fetch"
cp "$model/$second" "$scratch/$second"
sed -i "s:\"$second\":\"../$second\":" "$model/$index"
broken "index names a file outside" 4 "$index" "../$second" "same directory"
sed -i "s:\"$second\":\"$scratch/$second\":" "$model/$index"
broken "index names an absolute path" 4 "$index" "same directory"
sed -i "s:\"$second\":\"..\":" "$model/$index"
broken "index names the parent" 4 "$index" "same directory"
sed -i "s:\"$second\":17:" "$model/$index"
broken "index maps to a number" 4 "$index"
sed -i "s:\"$qkv.weight\":\"$qkv.weigth\":" "$model/$index"
broken "index with another name" 4 "$qkv.weight" "$index" "fetch"
sed -i "/$qkv.weight/d" "$model/$index"
broken "index without a tensor" 4 "$qkv.weight" "$first" "index does not name it"
sed -i "/$qkv.bias/s/-0000[0-9]-/-00003-/" "$model/$index"
broken "index with a wrong shard" 4 "$qkv.bias" "$index" "fetch"
sed -i "s:\"weight_map\":\"weights\":" "$model/$index"
broken "index without weight_map" 4 "$index" "weight_map" "fetch"
truncate -s 200 "$model/$index"
broken "index cut" 4 "$index"
sed -i "/\"$qkv.bias\"/{p}" "$model/$index"
broken "index with a name twice" 4 "$index" "line " "duplicate"
printf '[]\n' >"$model/$index"
broken "index is a list" 4 "$index" "object"
printf '{"weight_map": {}}\n' >"$model/$index"
broken "index without tensors" 4 "$index" "at least one"

# The header's length.
for length in 0 1 7 99999999999 18446744073709551615 9223372036854775807 100000001 91457; do
    check "damage" "$SURGEON" length "$model/$first" $length
    broken "header length $length" 4 "$first"
done

# What the header says.
header $first '{' '['
broken "header no object" 4 "$first" "fetch"
header $first "\"$dense.weight\":" "\"$dense.weight\" "
broken "header no JSON" 4 "$first" "fetch"
header $first "\"$dense.weight\"" "\"$qkv.weight\""
broken "name twice in a header" 4 "$first" "$qkv.weight" "twice"
header $first "\"$dense.weight\"" '"transformer.\u0000"'
broken "NUL in a name" 4 "$first"
header $first "\"$dense.weight\"" $'"transformer.\xff\xfe"'
broken "a name that is not UTF-8" 4 "$first" "UTF-8"
header $first "\"$dense.weight\"" "\"$(printf 'x%.0s' {1..600})\""
broken "a name of 600 bytes" 4 "$first" "512"
header $first "$(entry $dense.weight 64,64)" "\"$dense.weight\":{\"dtype\":\"Q4_K\",\"shape\":[64,64]"
broken "unknown type" 4 "$first" "$dense.weight" "Q4_K" "known are"
header $first "$(entry $dense.weight 64,64)" "\"$dense.weight\":{\"dtype\":\"I16\",\"shape\":[64,64]"
broken "integer weights" 4 "$dense.weight" "I16"
header $first "$(entry $dense.weight 64,64)" "\"$dense.weight\":{\"dtype\":\"F32\",\"shape\":[64,64]"
broken "type larger than the data" 4 "$first" "$dense.weight" "8192" "16384"
header $first "$(entry $dense.weight 64,64)" "$(entry $dense.weight 64,64,1,1,1,1,1,1,1,1,1)"
broken "rank 11" 4 "$first" "$dense.weight" "dimensions"
header $first "$(entry $dense.weight 64,64)" "$(entry $dense.weight "$(printf '1,%.0s' {1..20000})4096")"
broken "rank 20001" 4 "$first" "$dense.weight" "dimensions"
header $first "$(entry $dense.weight 64,64)" "$(entry $dense.weight 4294967296,4294967296)"
broken "shape that overflows" 4 "$first" "$dense.weight"
header $first "$(entry $dense.weight 64,64)" "$(entry $dense.weight 1099511627776,1099511627776,1099511627776)"
broken "shape that overflows 2^120" 4 "$first" "$dense.weight" "overflow"
header $first "$(entry $dense.weight 64,64)" "$(entry $dense.weight -64,-64)"
broken "negative shape" 4 "$first" "$dense.weight"
header $first "$(entry $dense.weight 64,64)" "$(entry $dense.weight 64.0,64)"
broken "fractional shape" 4 "$first" "$dense.weight"
header $first "$(entry $dense.weight 64,64)" "$(entry $dense.weight 32,128)"
broken "wrong shape, right size" 4 "$first" "$dense.weight" "[32, 128]" "[64, 64]" "config.json"
header $first "$(entry $dense.weight 64,64)" "$(entry $dense.weight 4096)"
broken "wrong rank, right size" 4 "$dense.weight" "[4096]" "[64, 64]"
header $first "$(entry $dense.weight 64,64)" "$(entry $dense.weight 63,64)"
broken "shape smaller than the data" 4 "$first" "$dense.weight" "8064"
header $first "\"$qkv.weight\":{\"dtype\"" "\"$qkv.weight\":{\"extra\":1,\"dtype\""
broken "unknown field" 4 "$first" "$qkv.weight"
header $first "\"$qkv.weight\":{\"dtype\"" "\"$qkv.weight\":{\"dtype\":\"BF16\",\"dtype\""
broken "field twice" 4 "$first" "$qkv.weight" "twice"
header $first '{' '{"__metadata__":{"a":1},'
broken "metadata with a number" 4 "$first" "__metadata__"
header $first "{" "$(printf "{\"x\":%.0s" {1..20000})"
broken "nested 20000 deep" 4 "$first"

# data_offsets: the embedding fills [0,65536] of the first shard.
header $first '[0,65536]' '[0,65538]'
broken "offsets longer than the shape" 4 "$first" "$embedding.weight" "65538"
header $first '[0,65536]' '[65536,0]'
broken "offsets backwards" 4 "$first" "$embedding.weight" "backwards"
header $first '[0,65536]' '[0,18446744073709551615]'
broken "offset 2^64-1" 4 "$first" "$embedding.weight"
header $first '[0,65536]' '[9007199254740992,9007199254806528]'
broken "offset far behind the file" 4 "$first"
header $first '[0,65536]' '[128,65664]'
broken "overlap and hole" 4 "$first"
header $first '[0,65536]' '[0,65536,1]'
broken "three offsets" 4 "$first" "$embedding.weight" "two numbers"
# Two tensors of the same size on the same bytes: every tensor fits, the file is longer than what they fill.
norms=$("$SURGEON" list "$model/$first" | grep -c layernorm)
equal "norms in the first shard" "$norms" 2
header $first '[65664,65792]' '[65536,65664]'
broken "overlap" 4 "$first" "layernorm.weight"
header $first "\"$dense.weight\"" "\"$dense.weight\":{\"dtype\":\"BF16\",\"shape\":[0],\"data_offsets\":[7,7]},\"$dense.weigh2\""
broken "empty tensor in the middle of another" 4 "$first"

# The right bytes under wrong names.
for shard in "$model"/*.safetensors; do sed -i "s/layers\.1\.input_layernorm/layers.1.imput_layernorm/" "$shard"; done
sed -i "s/layers\.1\.input_layernorm/layers.1.imput_layernorm/" "$model/$index"
broken "misspelt tensor" 4 "layers.1.input_layernorm.weight"
for shard in "$model"/*.safetensors; do sed -i "s/output_layer.weight/output_later.weight/" "$shard"; done
sed -i "s/output_layer.weight/output_later.weight/" "$model/$index"
broken "no head" 4 "transformer.output_layer.weight"

# NaN and Inf, in every role a tensor can have.
nan=c07f inf=807f minus_inf=80ff
place_of() { sed -n "s/.*\"$1\": \"\(.*\)\".*/\1/p" "$model/$index"; }
poke() {
    local tensor=$1 element=$2 what=$3 shard
    shard=$(place_of "$tensor")
    check "damage" "$SURGEON" poke "$model/$shard" "$tensor" "$element" "$what"
    broken "${tensor}[$element] = $what" 6 "$tensor" "$shard"
}
poke $qkv.weight 0 $nan
poke $qkv.weight 8191 $inf
poke $qkv.bias 127 $nan
poke $dense.weight 77 $minus_inf
poke transformer.encoder.layers.1.mlp.dense_h_to_4h.weight 16383 $nan
poke transformer.encoder.layers.0.mlp.dense_4h_to_h.weight 5 $inf
poke transformer.encoder.layers.1.mlp.dense_4h_to_h.weight 5 $nan
poke transformer.encoder.layers.0.input_layernorm.weight 63 $nan
poke transformer.encoder.layers.1.post_attention_layernorm.weight 0 $inf
poke transformer.encoder.final_layernorm.weight 1 $nan
poke transformer.output_layer.weight 32767 $nan
poke $embedding.weight 32767 $inf

# The same where weights go through in rows: quantized, packed in pairs of rows, copied.
as=(--w_bit 8 --a_bit 16)
poke $qkv.weight 8191 $inf
poke $qkv.bias 127 $nan
poke transformer.encoder.layers.1.post_attention_layernorm.weight 0 $inf
poke transformer.output_layer.weight 32767 $nan
poke $embedding.weight 32767 $inf
as=(--w_bit 8 --a_bit 16 --mm_tensor True)
poke transformer.encoder.layers.1.mlp.dense_4h_to_h.weight 5 $nan
as=(--w_bit 4 --a_bit 8 --is_dynamic True --is_lowbit True --open_outlier False --group_size 32)
poke transformer.encoder.layers.1.mlp.dense_h_to_4h.weight 16383 $nan
poke transformer.encoder.layers.0.mlp.dense_4h_to_h.weight 5 $inf
as=()

# Finite weights that make an infinite activation: the layer is named.
for element in {0..63}; do "$SURGEON" poke "$model/$(place_of $qkv.weight)" $qkv.weight "$element" 7f7f; done
for element in {0..63}; do "$SURGEON" poke "$model/$first" transformer.encoder.layers.0.input_layernorm.weight "$element" 7f7f; done
broken "overflow in the forward pass" 6 "layers.0" "calib"

finish
