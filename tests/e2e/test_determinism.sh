#!/bin/bash
# The same bytes for any number of threads, any instruction set, any memory limit, and on any machine: the documented recipe on the
# mini model, its relatives on a smaller one. Every file is compared by SHA-256 within this run, and all but the two that name
# the program's version with determinism.sha256, whose hashes another machine has made. After a change that is meant to change
# results: DETERMINISM_PRINT=1 prints the new lines. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
if [ $sanitized = yes ]; then
    echo "SKIP: equal bytes, not memory; every instruction set runs under the sanitizer in the tests of kernels"
    exit 77
fi

mapfile -t rungs < <("$GLMSLIM" version | sed -n 's/^instruction sets *//p' | sed 's/;.*//' | tr ' ' '\n' | grep .)
[ ${#rungs[@]} -gt 0 ] || fail "no instruction sets in the version"
best=${rungs[-1]}
echo "instruction sets: ${rungs[*]}"
list=$GS_SOURCE_DIR/tests/e2e/determinism.sha256
tiny model

# run THREADS SET OPTION…: the digest of the output directory, in $got.
run() {
    local out=$scratch/out threads=$1 rung=$2
    shift 2
    rm -rf "$out"
    got=none
    if GLMSLIM_CPU=$rung "$quant" --quiet --save_directory "$out" --threads "$threads" "$@" >"$log" 2>&1; then
        got=$(digest "$out")
    else
        fail "run: $* ($(cat "$log"))"
    fi
}
# same NAME THREADS:SET… -- OPTION…: the runs agree. The first one is kept in results.
results=()
same() {
    local name=$1 ways=() first="" way
    shift
    while [ "$1" != -- ]; do
        ways+=("$1")
        shift
    done
    shift
    for way in "${ways[@]}"; do
        run "${way%:*}" "${way#*:}" "$@"
        [ -n "$first" ] || first=$got
        equal "$name, threads:set $way" "$got" "$first"
    done
    results+=("$first")
    stored "$name" "$first"
}
# stored NAME DIGEST: as it was on the machine that made the list.
stored() {
    local hash
    hash=$(grep -v '  glmslim_' <<<"$2" | sha256sum | cut -d' ' -f1)
    [ -z "${DETERMINISM_PRINT:-}" ] || echo "$hash  $1"
    equal "$1, stored hash" "$(grep -Fx -- "$hash  $1" "$list")" "$hash  $1"
}
# bounded NAME INDEX OPTION…: under the least limit of memory that the program names, the same bytes as result INDEX.
bounded() {
    local name=$1 index=$2 limit
    shift 2
    limit=$("$quant" --quiet --dry_run --save_directory "$scratch/none" --threads 3 "$@" --max_memory 1M 2>&1 | sed -n 's/.* needs \([0-9]*M\);.*/\1/p')
    run 3 "$best" "$@" --max_memory "$limit"
    equal "$name, --max_memory $limit" "$(grep -v '  glmslim_' <<<"$got")" "$(grep -v '  glmslim_' <<<"${results[$index]}")"
}
# ways THREADS…: those on the best set, and every other set with 2.
all_ways() {
    local threads rung
    ways=()
    for threads in "$@"; do ways+=("$threads:$best"); done
    for rung in "${rungs[@]}"; do [ "$rung" = "$best" ] || ways+=("2:$rung"); done
}

documented=(--device_type npu --act_method 2 --disable_level L0 --w_bit 8 --a_bit 8 --use_kvcache_quant True
    --anti_file "$GS_SOURCE_DIR/demo/anti.json" --trust_remote_code True)
whole=("${documented[@]}" --calib_file "$GS_SOURCE_DIR/demo/calib.json")
same "documented recipe" "1:$best" "2:$best" "5:$best" -- --model_path "$demo" "${whole[@]}"

# Plain C multiplies slowly, so the other sets get few words on the mini model and many on the small one.
printf 'The kernel\nThe quick brown fox jumps over the lazy dog, again and again.\n内核的作用是什么？\n' >"$scratch/short.txt"
all_ways 1 3
same "documented recipe, three samples" "${ways[@]}" -- --model_path "$demo" "${documented[@]}" --calib_file "$scratch/short.txt"

for i in {1..7}; do
    sed "s/$/ ($i)/" "$scratch/short.txt"
done >"$scratch/many.txt"
head -c 2000 "$GS_SOURCE_DIR/demo/calib.json" | tr -d '\n"{}[]' >>"$scratch/many.txt"
small=(--model_path "$scratch/model" --calib_file "$scratch/many.txt")
all_ways 1 3 8
same "act_method 1" "${ways[@]}" -- "${small[@]}" --act_method 1
same "act_method 2" "${ways[@]}" -- "${small[@]}" --act_method 2
same "act_method 3" "${ways[@]}" -- "${small[@]}" --act_method 3
same "disable_level L2" "${ways[@]}" -- "${small[@]}" --disable_level L2
same "last linear" "${ways[@]}" -- "${small[@]}" --disable_last_linear False
same "other linears, float32, shards, mindie" "${ways[@]}" -- "${small[@]}" --save_dtype float32 --part_file_size 1 --mindie_format \
    --use_kvcache_quant True --disable_names transformer.encoder.layers.0.self_attention.dense
same "reference_compat" "${ways[@]}" -- "${small[@]}" --reference_compat --act_method 2
bounded "documented recipe, three samples" 1 --model_path "$demo" "${documented[@]}" --calib_file "$scratch/short.txt"
bounded "act_method 3" 4 "${small[@]}" --act_method 3
# Comparing means something: these recipes give different weights. (act_method 3 may choose what 2 does.)
weights() { awk '/weight.*safetensors/ { print $1 }' <<<"${results[$1]}" | head -1; }
equal "different recipes differ" "$(for i in 0 1 2 3 5 6 7; do weights $i; done | sort | uniq | wc -l)" 7

# Nor does it depend on the place: a model under another path, read from another directory, written over something.
mkdir -p "$scratch/elsewhere/a b" "$scratch/old"
cp -r "$demo" "$scratch/elsewhere/a b/model"
echo old >"$scratch/old/data"
(cd "$scratch/elsewhere" && "$quant" --quiet --model_path "a b/model/" --save_directory ../old --overwrite "${whole[@]}" >"$log" 2>&1) ||
    fail "another place: $(cat "$log")"
equal "another place" "$(digest "$scratch/old")" "${results[0]}"

finish
