#!/bin/bash
# Killed at chosen system calls, and again while going on; and power failures there, in which what was not synced is lost: always the
# same bytes in the end. scripts/kills.sh does it by the hundred and at random moments. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm # hundreds of syncs
. "$(dirname "$0")/common.sh"
: "${CRASH:?the library that kills}"
if [ $sanitized = yes ]; then
    echo "SKIP: bytes after a kill, not memory; e2e_resume goes on under the sanitizer"
    exit 77
fi

tiny model --layers 3
yard=$scratch/yard
for i in {1..12}; do echo "The quick brown fox jumps over the lazy dog number $i."; done >"$scratch/texts"

fresh() {
    rm -rf "$yard" "$yard".*
    mkdir "$yard"
}
run() {
    "$quant" --quiet --save_directory "$yard/out" --checkpoint_interval 0 --threads 2 --model_path "$scratch/model" \
        --calib_file "$scratch/texts" "${recipe[@]}" >"$log" 2>&1
}
# count OPTION…: the calls of a run and its bytes.
count() {
    recipe=("$@")
    fresh
    CRASH_DIR=$yard CRASH_COUNT=$scratch/calls LD_PRELOAD=$CRASH run || fail "undisturbed: $(cat "$log")"
    read -r calls _ <"$scratch/calls"
    expected=$(digest "$yard/out")
}
# dies HOW SHARE: the run dies at this share (of 1000) of its calls.
dies() {
    CRASH_DIR=$yard CRASH_AT=$((calls * $2 / 1000)) CRASH_HOW=$1 CRASH_SEED=$2 LD_PRELOAD=$CRASH run 2>/dev/null
    equal "$1 at $2: exit code" $? 137
    rm -rf "$yard.gone"
}
# torn SYNC SEED: no power at this sync of the journal; some of what it was to save is there.
torn() {
    CRASH_DIR=$yard CRASH_SYNC=$1 CRASH_HOW=mix CRASH_SEED=$2 LD_PRELOAD=$CRASH run 2>/dev/null
    equal "torn at $1: exit code" $? 137
    rm -rf "$yard.gone"
}
ends() {
    run || fail "$1: $(cat "$log")"
    equal "$1: the bytes" "$(digest "$yard/out")" "$expected"
    equal "$1: left behind" "$(ls -A "$yard")" out
}

count --act_method 2 --use_kvcache_quant True
for share in 400 850; do
    fresh
    dies lose $share
    ends "synced or lost, $share"
done
for share in 550 700; do
    fresh
    dies mix $share
    ends "lost here and there, $share"
done
count --w_bit 8 --a_bit 16
fresh
dies kill 350
calls=$((calls / 2))
dies kill 650
dies mix 500
ends "killed, killed, without power"
# Records that span pages, of which the one with a record's beginning is lost and others are not.
"$GLMSLIM" synth --quiet --dir "$scratch/wide" --hidden 256 --layers 2 --heads 4 --head_dim 64 --ffn 256 --vocab 512 >/dev/null
head -n 2 "$scratch/texts" >"$scratch/few"
count --anti_method m4 --model_path "$scratch/wide" --calib_file "$scratch/few"
for seed in 4 8; do
    fresh
    torn 6 $seed
    ends "a torn record, $seed"
done
finish
