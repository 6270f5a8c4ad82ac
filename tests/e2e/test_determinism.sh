#!/bin/bash
# The same bytes for any number of threads, any instruction set, any memory limit, resumed or not, with the input or the output in any
# number of files, and on any machine: the documented recipe on the mini model, its relatives on a smaller one. Every file is
# compared by SHA-256 within this run, and all but the two that name the program's version with determinism.sha256, whose
# hashes another machine has made. After a change that is meant to change
# results: DETERMINISM_PRINT=1 prints the new lines. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
: "${CRASH:?the library that kills}"
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

# unnamed DIGEST: without the two files that name the program's version.
unnamed() { grep -v '  glmslim_' <<<"$1"; }
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
    hash=$(unnamed "$2" | sha256sum | cut -d' ' -f1)
    [ -z "${DETERMINISM_PRINT:-}" ] || echo "$hash  $1"
    equal "$1, stored hash" "$(grep -Fx -- "$hash  $1" "$list")" "$hash  $1"
}
# bounded NAME INDEX OPTION…: under the least limit of memory that the program names, the same bytes as result INDEX.
bounded() {
    local name=$1 index=$2 limit
    shift 2
    limit=$(least 3 --save_directory "$scratch/none" "$@")
    run 3 "$best" "$@" --max_memory "$limit"
    equal "$name, --max_memory $limit" "$(unnamed "$got")" "$(unnamed "${results[$index]}")"
}
# resumed NAME INDEX RECORDS OPTION…: killed after so many records of its journal and gone on with by another number of threads, on
# another set, under the least limit of memory: the bytes of result INDEX.
resumed() {
    local name=$1 index=$2 records=$3 yard=$scratch/yard limit words
    shift 3
    words=(--save_directory "$yard/out" --checkpoint_interval 0 "$@")
    rm -rf "$yard" "$yard".*
    mkdir "$yard"
    { CRASH_DIR=$yard CRASH_RECORDS=$records LD_PRELOAD=$CRASH GLMSLIM_CPU=$best "$quant" --quiet --threads 3 "${words[@]}" >"$log" 2>&1; } 2>/dev/null
    equal "$name, resumed: killed" $? 137
    limit=$(least 1 "${words[@]}")
    GLMSLIM_CPU=${rungs[-2]-$best} "$quant" --threads 1 "${words[@]}" --max_memory "$limit" >"$log" 2>&1 || fail "$name, resumed: $(cat "$log")"
    says "$name, resumed" "$log" "going on with what an earlier run has left: "
    equal "$name, resumed" "$(model "$yard/out")" "$(unnamed "${results[$index]}")"
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
same "documented recipe" "1:$best" "5:$best" -- --model_path "$demo" "${whole[@]}"

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
resumed "act_method 2" 3 2 "${small[@]}" --act_method 2
resumed "disable_level L2" 5 3 "${small[@]}" --disable_level L2
resumed "other linears, float32, shards, mindie" 7 2 "${small[@]}" --save_dtype float32 --part_file_size 1 --mindie_format \
    --use_kvcache_quant True --disable_names transformer.encoder.layers.0.self_attention.dense

# The model in one file, and in one for each few tensors.
for bytes in 100000000 20000; do
    tiny model --shard_bytes $bytes
    run 2 "$best" "${small[@]}" --act_method 2
    equal "input in files of $bytes bytes" "$(unnamed "$got")" "$(unnamed "${results[3]}")"
done
# The result in one file or more: the same tensors and descriptions.
mv "$scratch/out" "$scratch/whole"
run 2 "$best" "${small[@]}" --act_method 2 --part_file_size 1
check "result in files of 1 GiB" "$GLMSLIM" diff --quiet "$scratch/whole" "$scratch/out" >"$log"

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
