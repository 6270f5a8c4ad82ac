#!/bin/bash
# Where the reference fails, or writes what nothing can load, and this program does better by default: what is written instead, held
# against what the reference wrote where it did not fail. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

golden=$GS_SOURCE_DIR/tests/golden
h4=mlp.dense_h_to_4h down=mlp.dense_4h_to_h dense=self_attention.dense qkv=self_attention.query_key_value
layer() { printf 'transformer.encoder.layers.%d.%s' "$1" "$2"; }

# run OUT OPTION…: on the tiny model the goldens were made from, with CPU dtypes, so that bytes can be compared.
run() {
    local out=$1
    shift
    checks=$((checks + 1))
    "$quant" --model_path "$golden/models/tiny-a" --save_directory "$scratch/$out" --calib_file "$golden/data/calib.json" \
        --save_dtype float32 --no_extras "$@" >"$scratch/$out.stdout" 2>"$scratch/$out.stderr" || fail "$out: $(cat "$scratch/$out.stderr")"
    check "$out is readable" "$GLMSLIM" inspect --quiet --json "$scratch/$out.json" "$scratch/$out" >/dev/null
}
# reference CASE: the files of the reference in a directory of that name.
reference() { [ -d "$scratch/$1" ] || check "expand $1" "$GOLDEN_COMPARE" expand "$golden/cases/$1" "$scratch/$1"; }
names() { "$SURGEON" list "$scratch/$1" | cut -d' ' -f1 | sort; }
shape() { "$SURGEON" list "$scratch/$1" | awk -v n="$2" '$1 == n { print $2, $4 }'; }
bytes() { "$SURGEON" bytes "$scratch/$1" "$2"; }
same() { check "$1 and $2: $3" cmp -s <(bytes "$1" "$3") <(bytes "$2" "$3"); }
described() { sed -n "s/^ *\"$2\": *\"\(.*\)\".*/\1/p" "$scratch/$1"/quant_model_description*.json; }
reference w16a16 # every weight in float32

# disable_level with is_lowbit: the reference loses the linears it chooses. Here they are there, FLOAT, and nothing else changes.
# fallback CASE WITHOUT OPTION…: CASE is the golden, WITHOUT the golden without disable_level.
fallback() {
    local case=$1 without=$2 lost name tensor
    shift 2
    reference "$case"
    reference "$without"
    run "$case-ours" "$@"
    lost=$(comm -23 <(names "$without") <(names "$case") | sed -n 's/\.weight$//p')
    check "$case: the reference loses something" [ -n "$lost" ]
    for name in $lost; do
        equal "$case: $name" "$(described "$case-ours" "$name.weight")" FLOAT
        same "$case-ours" w16a16 "$name.weight"
    done
    equal "$case: nothing else" "$(comm -13 <(names "$case") <(names "$case-ours") | tr '\n' ' ')" \
        "$(for name in $lost; do names w16a16 | grep -F "$name."; done | sort | tr '\n' ' ')"
    equal "$case: nothing less" "$(comm -23 <(names "$case") <(names "$case-ours"))" ""
    for tensor in $(names "$case" | grep 'weight$'); do same "$case-ours" "$case" "$tensor"; done
}
fallback lowbit-w8a8-L2 w8a8-lowbit --is_lowbit True --disable_level L2
fallback lowbit-w8a8-act2-L5 w8a8-lowbit --is_lowbit True --act_method 2 --disable_level L5
fallback lowbit-w8a16-g64-L1 w8a16-g64-sym --w_bit 8 --a_bit 16 --is_lowbit True --open_outlier False --disable_level L1
fallback w8a8s-lowbit-L1 w8a8s-lowbit --w_bit 4 --a_bit 8 --is_lowbit True --disable_level L1

# Quantized attention with it, which the reference dies of: the linears of the one golden, the attention of the other.
reference fa-lowbit
run fa-lowbit-L1 --use_fa_quant True --w_bit 4 --a_bit 8 --is_lowbit True --disable_level L1 --reference_compat
equal "attention with fallback" "$(names fa-lowbit-L1)" "$( (names w8a8s-lowbit-L1 && names fa-lowbit | grep '\.fa_[qkv]\.') | sort)"
for tensor in $(names w8a8s-lowbit-L1); do same fa-lowbit-L1 w8a8s-lowbit-L1 "$tensor"; done
for tensor in $(names fa-lowbit | grep '\.fa_[qkv]\.'); do same fa-lowbit-L1 fa-lowbit "$tensor"; done
equal "attention with fallback, key" "$(described fa-lowbit-L1 fa_quant_type)" FAQuant

# All layers fall back from quantized attention: no scales, and no key that asks a loader for them.
run amp9 --use_fa_quant True --fa_amp 9
says "fa_amp 9" "$scratch/amp9.stderr" "fa_amp"
equal "fa_amp 9: tensors" "$(names amp9 | grep -c '\.fa_')" 0
equal "fa_amp 9: key" "$(described amp9 fa_quant_type)" ""

# act_method 3 takes the same observers whatever type is written, and in the pass that ranks attention.
run auto --act_method 3 --do_smooth True --use_fa_quant True
run auto-dynamic --act_method 3 --do_smooth True --use_fa_quant True --is_dynamic True
run auto-amp1 --act_method 3 --do_smooth True --use_fa_quant True --fa_amp 1
for tensor in $(names auto | grep -e '\.fa_[qk]\.scale' -e 'norm\.weight'); do same auto-dynamic auto "$tensor"; done
for tensor in $(names auto-amp1 | grep -e '\.fa_q\.scale' -e 'input_scale'); do same auto-amp1 auto "$tensor"; done
run auto-rank --act_method 3 --use_fa_quant True --fa_amp 1 --reference_compat
equal "fa_amp, act_method 3" "$(names auto-rank | grep -c "^$(layer 1 self_attention).fa_") $(names auto-rank | grep -c '\.fa_')" "0 12"

# Attention of per-group types, as computed outside of this program from the reference's formulas: inputs as they are and, for the
# reference, cut down; W4A8_DYNAMIC's in symmetric codes.
# (One rounding elsewhere moves them by up to 0.7 and 0.05 %.)
query() { "$SURGEON" value "$scratch/$1" "$(layer $2 self_attention).fa_q.scale" 0; }
run fa-group --use_fa_quant True --w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False
run fa-group-compat --use_fa_quant True --w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False --reference_compat
run fa-two-stage --use_fa_quant True --w_bit 4 --is_lowbit True --open_outlier False --is_dynamic True --reference_compat
near "attention by group" "$(query fa-group 2)" 0.0330894589 1e-5
near "attention by group, compat" "$(query fa-group-compat 2)" 0.0340988189 1e-2
near "attention of W4A8_DYNAMIC" "$(query fa-two-stage 1)" 0.035330113 1e-3

# One scale for a weight with its outliers split off: the reference cannot save it.
run mm --mm_tensor True --w_bit 4 --a_bit 16 --is_lowbit True
run mm-compat --mm_tensor True --w_bit 4 --a_bit 16 --is_lowbit True --reference_compat
equal "mm_tensor, compat" "$(shape mm-compat "$(layer 1 $dense).weight_scale")" "F32 [1]"
equal "mm_tensor" "$(shape mm "$(layer 1 $dense).weight_scale")" "F32 [128,1]"
equal "mm_tensor: one value" "$(bytes mm "$(layer 1 $dense).weight_scale" | od -An -v -tx4 -w4 | sort -u)" \
    "$(bytes mm-compat "$(layer 1 $dense).weight_scale" | od -An -v -tx4 -w4)"
same mm mm-compat "$(layer 1 $dense).weight"
equal "mm_tensor: int4, two to a byte" "$(shape mm "$(layer 1 $dense).weight")" "I8 [128,64]"
run mm8 --mm_tensor True
equal "mm_tensor w8a8" "$(shape mm8 "$(layer 1 $dense).deq_scale")" "I64 [128]"

# Several cards: a linear kept in floating point is written whole and not by card; others have the plain tensors too.
for reduce in False True; do
    run tp-$reduce --tp_size 2 --use_reduce_quant $reduce
    same tp-$reduce w16a16 "$(layer 2 $down).weight"
    equal "tp_size, FLOAT" "$(described tp-$reduce "$(layer 2 $down).weight")" FLOAT
    equal "tp_size, not by card" "$(names tp-$reduce | grep -c "$down.tp_list")" 0
    equal "tp_size, plain set" "$(names tp-$reduce | grep "^$(layer 2 $dense)\.[a-z_]*$" | sed 's/.*\.//' | grep -v scale$ | tr '\n' ' ')" \
        "input_offset quant_bias weight weight_offset "
    equal "tp_size, cards" "$(names tp-$reduce | grep "^$(layer 2 $dense)\.tp_list\.[01]\.deq_scale" | wc -l)" 2
done
equal "reduce scales" "$(names tp-True | grep -c "\(dense\|4h_to_h\)\.\(reduce\|gather\)_scale$")" 12
equal "reduce scales, key" "$(described tp-True reduce_quant_type)" per_channel
for compat in "" --reference_compat; do # fewer than one outlier for each row of a card
    run tp-lowbit$compat --tp_size 2 --w_bit 4 --a_bit 8 --is_lowbit True --disable_names transformer.output_layer $compat
    equal "tp_size lowbit" "$(described tp-lowbit$compat "$(layer 0 $dense).tp_list.1.weight")" W8A8S
done

# The histogram sees the largest inputs, as the same script does on an NPU: 3.984 there, 0.0194 in its CPU run.
run act2 --act_method 2
run act2-compat --act_method 2 --reference_compat
near "histogram" "$("$SURGEON" value "$scratch/act2" "$(layer 0 $qkv).input_scale" 0)" 3.984 0.02
near "histogram, compat" "$("$SURGEON" value "$scratch/act2-compat" "$(layer 0 $qkv).input_scale" 0)" 0.0194 0.01

# sigma_factor has an effect with calibration data.
for s in 2.0 3.0 3.5; do run sigma$s --w_bit 4 --a_bit 8 --is_lowbit True --use_sigma True --sigma_factor $s; done
reference w8a8s-lowbit-sigma3
same sigma3.0 w8a8s-lowbit-sigma3 "$(layer 1 $h4).weight"
for s in 2.0 3.5; do
    checks=$((checks + 1))
    ! cmp -s <(bytes sigma$s "$(layer 1 $h4).weight") <(bytes sigma3.0 "$(layer 1 $h4).weight") || fail "sigma_factor $s has no effect"
done

# do_smooth keeps the names of the checkpoint, disable_names counts, the key/value cache gets its tensors.
run smooth --do_smooth True --use_kvcache_quant True --disable_names "$(layer 1 $qkv)" "$(layer 0 $down)"
equal "do_smooth: names" "$(names smooth | grep -c self_attn)" 0
equal "do_smooth: disable_names" "$(described smooth "$(layer 1 $qkv).weight") $(described smooth "$(layer 2 $qkv).weight")" "FLOAT W8A8"
equal "do_smooth: cache" "$(names smooth | grep -c kv_cache_scale)" 6

# do_smooth follows the stream behind the last quantized linear, and needs none.
floats() { for n in $qkv $dense $h4 $down; do layer "$1" "$n" && echo; done; }
run smooth-tail --do_smooth True --disable_names $(floats 1) $(floats 2)
run smooth-inner --do_smooth True --disable_names $(floats 1)
for norm in input_layernorm post_attention_layernorm; do
    for part in weight bias; do same smooth-tail smooth-inner "$(layer 1 $norm).$part"; done
done
run smooth-float --do_smooth True --w_bit 16 --a_bit 16
run smooth-w8a16 --do_smooth True --a_bit 16
same smooth-float smooth-w8a16 "$(layer 0 input_layernorm).weight" # nothing quantized before either
for i in 0 1 2; do
    checks=$((checks + 1))
    ! cmp -s <(bytes smooth-float "$(layer $i post_attention_layernorm).weight") <(bytes w16a16 "$(layer $i post_attention_layernorm).weight") ||
        fail "do_smooth leaves float block $i as it was"
done
says "do_smooth in float" "$scratch/smooth-float.stderr" "6 norms stand in front of linears that stay float"

# By group do_smooth is off.
for compat in "" --reference_compat; do
    run group$compat --w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False $compat
    run group-smooth$compat --w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False --do_smooth True $compat
    equal "do_smooth by group" "$(digest "$scratch/group-smooth$compat")" "$(digest "$scratch/group$compat")"
done

# scale_bias as loaders take it: rows for column-parallel linears, 16 parts for row-parallel ones.
run two-stage --w_bit 4 --a_bit 8 --is_lowbit True --is_dynamic True --open_outlier False --group_size 64
equal "scale_bias" "$(for l in $qkv $dense $h4; do shape two-stage "$(layer 1 $l).scale_bias"; done | tr '\n' ' ')" \
    "F32 [256,1] F32 [128,16] F32 [768,1] "
finish
