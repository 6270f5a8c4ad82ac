#!/bin/bash
# Every scheme with each way of moving outliers, with and without the int8 cache, do_smooth and mindie_format: it runs and says what it
# holds, or is refused with the reason. The program checks each result against the float weights before it lets go of it.
# GS_COMBINATIONS=all runs them all; otherwise two methods to a scheme, chosen so that each method, switch and scheme meet.
# SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
texts=(--calib_texts "The kernel is the core of the system." "A package is a file that holds a program.")
tiny m --hidden 128 --head_dim 32 --ffn 256
methods=(none m1 m2 m3 m4 m5 m6)
every=${GS_COMBINATIONS:-some}
ran=0
schemes() {
    cat <<'LIST'
W8A8|--act_method 2
W8A8|--is_lowbit True
W8A8|--mm_tensor True
W8A8|--use_fa_quant True
W8A8|--tp_size 2 --use_reduce_quant True
W8A8_DYNAMIC|--is_dynamic True
W8A8_DYNAMIC|--co_sparse True --is_dynamic True
W8A8S|--co_sparse True
W8A8S|--w_bit 4 --is_lowbit True
W8A8S|--w_bit 4 --is_lowbit True --open_outlier False --group_size 64
W4A8_DYNAMIC|--w_bit 4 --is_lowbit True --open_outlier False --group_size 64 --is_dynamic True
W8A16|--a_bit 16
W8A16|--a_bit 16 --w_sym False
W8A16|--a_bit 16 --is_lowbit True
W8A16|--a_bit 16 --is_lowbit True --open_outlier False --group_size 64
W4A16|--w_bit 4 --a_bit 16
W4A16|--w_bit 4 --a_bit 16 --w_sym False
W4A16|--w_bit 4 --a_bit 16 --is_lowbit True
W4A16|--w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False --group_size 64
FLOAT|--w_bit 16 --a_bit 16
W4A4_FLATQUANT_DYNAMIC|--w_bit 4 --a_bit 4 --is_dynamic True
LIST
}

# combine TYPE METHOD OPTION…: one of them, as the switches kv, smooth and mindie say.
combine() {
    local type=$1 method=$2 out=$scratch/out options name word
    shift 2
    [ "$method" = none ] || set -- "$@" --anti_method "$method"
    [ $kv = 0 ] || set -- "$@" --use_kvcache_quant True
    [ $smooth = 0 ] || set -- "$@" --do_smooth True
    [ $mindie = 0 ] || set -- "$@" --mindie_format
    options=("$@")
    name="${options[*]}"
    ran=$((ran + 1))
    rm -rf "$out"
    "$quant" --model_path "$scratch/m" --save_directory "$out" --no_extras "${texts[@]}" "${options[@]}" >"$scratch/log" 2>&1
    local status=$?
    if [ -n "$(why_not "$type" "$method" "$name")" ]; then
        check "$name: refused, not $status" [ "$status" = 2 -o "$status" = 5 ]
        says "$name: reason" "$scratch/log" "$(why_not "$type" "$method" "$name")"
        check "$name: nothing written" [ ! -e "$out" ]
        return
    fi
    equal "$name: $(tail -3 "$scratch/log")" "$status" 0
    word=
    [ $mindie = 0 ] || word=_$(sed -n 's/^ *"quantize": "\(.*\)".*/\1/p' "$out/config.json")
    local description=$out/quant_model_description$word.json
    check "$name: type" grep -q "\"model_quant_type\": *\"$type\"" "$description"
    equal "$name: cache of two blocks" "$(grep -c 'kv_cache_scale"' "$description")" $((kv * 4))
    [ $mindie = 0 ] || check "$name: weights" [ -f "$out/quant_model_weight$word.safetensors" ]
}

# The reason for which a combination is refused; empty where it is not.
why_not() {
    case "$1 $2 $3" in
    *use_fa_quant*use_kvcache_quant*) echo "KV-cache and FA cannot be quantized at the same time!" ;;
    "W4A4_FLATQUANT_DYNAMIC "*do_smooth*) echo "the transform of W4A4 scales the same channels already; leave do_smooth out" ;;
    "W4A4_FLATQUANT_DYNAMIC m3 "*) echo "a_bit must be 8 or 16(anti_method='m3'), but got 4" ;;
    "FLOAT m3 "*) echo "w_bit must be 4 or 8 (anti_method='m3'), but got 16" ;;
    esac
}

i=0
while IFS='|' read -r type options; do
    read -r -a words <<<"$options"
    for m in "${!methods[@]}"; do
        if [ "$every" = all ]; then
            for kv in 0 1; do for smooth in 0 1; do for mindie in 0 1; do combine "$type" "${methods[$m]}" "${words[@]}"; done; done; done
        elif [ $(((m + i) % 7 % 4)) = 0 ] && { [ $sanitized = no ] || [ $(((m + i) % 7)) = 4 ]; }; then
            pick=$(((m + i) % 7 / 4))
            kv=$((pick % 2)) smooth=$(((pick + i) % 2)) mindie=$(((pick + i / 2) % 2))
            combine "$type" "${methods[$m]}" "${words[@]}"
        fi
    done
    i=$((i + 1))
done < <(schemes)
check "combinations" [ $ran -ge 20 ]
echo "combinations: $ran"
finish
