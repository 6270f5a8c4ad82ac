#!/bin/bash
# Fault injection: scripts/faults.sh [BUILD_DIR] fails every system call of small runs, one after the other, and each 20th allocation
# (FAULTS_EVERY_ALLOCATION=1: every one), in two recipes, and prints a table per recipe. Last line: N passed, N failed, N skipped.
# FAULTS_EVERY=7: each 7th call only. FAULTS_ONLY=text: rows with that text. FAULTS_TABLES=1: one recipe. SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/.." || exit 1
build=$(realpath "${1:-build/release}")
every=${FAULTS_EVERY:-1}
every_allocation=${FAULTS_EVERY_ALLOCATION:-20}
shim=$build/tests/faults_shim.so
if [ ! -x "$build/tests/faults" ] || [ ! -e "$shim" ]; then
    echo "faults: build first"
    exit 1
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Leaks are judged by a build with AddressSanitizer, whose library, where it is one, must come first.
first=$(ldd "$build/glmslim" | awk '/lib.*asan/ { print $3 }')
[ -z "$first" ] || export GS_PRELOAD_FIRST=$first
"$build/glmslim" synth --quiet --dir "$scratch/small" --hidden 64 --layers 2 --heads 4 --head_dim 16 --ffn 128 --vocab 512 \
    --shard_bytes 100000 >/dev/null || exit 1
# Tensors of a MiB and more: they go past the page cache, and their memory is mapped.
"$build/glmslim" synth --quiet --dir "$scratch/wide" --hidden 256 --layers 1 --heads 4 --head_dim 64 --ffn 1024 --vocab 4096 \
    --shard_bytes 3000000 >/dev/null || exit 1
# The texts lie with the model, which is made afresh where a fault cuts files.
for model in small wide; do
    printf '[{"prompt": "Four words are enough."}, {"prompt": "The kernel, again and again."}]\n' >"$scratch/$model/calib.json"
done
passed=0
failed=0
tables=0
table() {
    local name=$1 model=$2 last
    shift 2
    [ $((tables++)) -lt "${FAULTS_TABLES:-9}" ] || return 0
    rm -rf "$scratch/place" && mkdir "$scratch/place"
    echo "== $name"
    "$build/tests/faults" "$build/glmslim" "$shim" "$scratch/place" "$scratch/$model" "$every" "$every_allocation" --threads 2 \
        --calib_file model/calib.json "$@" | tee "$scratch/table"
    last=$(tail -1 "$scratch/table")
    if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
    else
        failed=$((failed + 1))
    fi
}
table "documented recipe" small --act_method 2 --use_kvcache_quant True --disable_level L1
table "wide tensors, m2, shards" wide --act_method 1 --anti_method m2 --part_file_size 1
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ] && [ $passed -gt 0 ]
