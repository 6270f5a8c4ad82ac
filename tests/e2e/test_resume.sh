#!/bin/bash
# An unfinished run and the next command: the same one goes on and ends with the same bytes; others are told what is different and what
# to do. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm # hundreds of syncs
. "$(dirname "$0")/common.sh"
: "${CRASH:?the library that kills}"
[ $sanitized = no ] || export ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0

tiny model --layers 4
yard=$scratch/yard
folder=$yard/.out.glmslim-work
for i in {1..20}; do echo "The quick brown fox jumps over the lazy dog number $i."; done >"$scratch/texts"
paths=(--model_path "$scratch/model" --calib_file "$scratch/texts")
program=$quant

# run OPTION…: quantizes into $yard/out; what it says is in $log.
run() { "$program" --save_directory "$yard/out" --checkpoint_interval 0 --threads 2 "${recipe[@]}" "$@" >"$log" 2>&1; }
# bytes DIR [CONDITION…]: of its files.
bytes() { find "$@" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }'; }
# stop RECORDS OPTION…: killed after so many records in its journal.
stop() {
    local records=$1
    shift
    rm -rf "$yard"
    mkdir "$yard"
    CRASH_DIR=$yard CRASH_RECORDS=$records LD_PRELOAD=$CRASH run "$@" 2>/dev/null
    equal "stopped after $records: exit code" $? 137
    equal "stopped after $records: private" "$(stat -c %a "$folder")" 700
    # Of each stream two generations at most; beside them the result as far as it goes, and little else.
    equal "stopped after $records: files" "$(cd "$folder" && find . -type f | grep -vE '^\./([a-z]+-stream\.[01]|journal|begun|lock|new/.*)$')" ""
    check "stopped after $records: size of the rest" [ "$(bytes "$folder" ! -name '*-stream.[01]')" -le $((result_bytes + 65536)) ]
}
# die_at CALL: of those that change files; CRASH_HOW as the library has it.
die_at() {
    rm -rf "$yard"
    mkdir "$yard"
    CRASH_DIR=$yard CRASH_AT=$1 LD_PRELOAD=$CRASH run 2>/dev/null
}
# last_call: of an undisturbed run.
last_call() {
    CRASH_COUNT=$scratch/calls die_at 0
    awk 'NR == 1 { print $1 }' "$scratch/calls"
}
# go_on NAME TEXT OPTION…: the next command ends with the expected bytes, and says where it began.
go_on() {
    local name=$1 text=$2
    shift 2
    run "$@" || fail "$name: $(cat "$log")"
    [ -z "$text" ] || says "$name" "$log" "$text"
    equal "$name: the bytes" "$(digest "$yard/out")" "$expected"
    equal "$name: left behind" "$(ls -A "$yard")" out
}
# no NAME STATUS TEXT… -- OPTION…: the next command is refused, and the folder stays as it is.
no() {
    local name=$1 status=$2 texts=() before
    shift 2
    while [ "$1" != -- ]; do
        texts+=("$1")
        shift
    done
    shift
    before=$(digest "$folder" | grep -v ' lock$')
    run "$@"
    equal "$name: exit code" $? "$status"
    says "$name" "$log" "error: " ".out.glmslim-work" "${texts[@]}" "--restart"
    equal "$name: left as it was" "$(digest "$folder" | grep -v ' lock$')" "$before"
}

# The folder as it was when it was saved.
put_back() {
    rm -rf "$yard"
    mkdir "$yard"
    cp -r "$scratch/saved" "$folder"
}
# spoil FILE BYTE: one byte becomes another.
spoil() {
    local byte
    byte=$(tail -c +$(($2 + 1)) "$1" | head -c 1 | od -An -tu1 | tr -d ' ')
    # shellcheck disable=SC2059
    printf "\\x$(printf %x $((byte ^ 21)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
# recipe OPTION…: what is asked for from here on; its bytes.
recipe() {
    recipe=("${paths[@]}" "$@")
    rm -rf "$yard"
    mkdir "$yard"
    run || fail "undisturbed: $(cat "$log")"
    expected=$(digest "$yard/out")
    result_bytes=$(bytes "$yard/out")
    equal "undisturbed: left behind" "$(ls -A "$yard")" out
}

recipe --act_method 2 --use_kvcache_quant True
stop 2
go_on "the same command" "going on with what an earlier run has left: "
stop 4 --quiet
least=$(least 2 --save_directory "$yard/none" "${recipe[@]}")
go_on "other threads, memory, messages" "" --threads 1 --max_memory "$least" --quiet --json "$scratch/json" --report "$scratch/page"
stop 3 --max_memory "$least"
go_on "no limit any more" "of 4 blocks are finished" --checkpoint_interval 100
# Hidden states go when the last block is done, before the result is put in its place.
die_at $(($(last_call) - 30))
equal "near the end: exit code" $? 137
equal "near the end: files of hidden states" "$(find "$folder" -name '*-stream.*')" ""
go_on "near the end" "pass 1 is finished"
stop 2
cp -r "$folder" "$scratch/saved"
for f in "$folder"/*-stream.*; do spoil "$f" 1000; done
no "hidden states" 4 "does not hold the hidden states" --
put_back
rm "$folder"/*-stream.*
no "no hidden states" 3 "stream" --
# not_damaged NAME TEXT FILE…: what can only not be opened now is not called damage, and nothing is to be thrown away.
not_damaged() {
    put_back
    for f in "${@:3}"; do ln -sf "${f##*/}" "$f"; done # a link to itself
    run
    equal "$1: exit code" $? 3
    says "$1" "$log" "error: cannot open $folder/" "$2"
    equal "$1: no wrong advice" "$(grep -cE 'damaged|--restart' "$log")" 0
    check "$1: kept" test -d "$folder/new"
}
not_damaged "a journal that cannot be opened" "/journal (" "$folder/journal"
not_damaged "streams that cannot be opened" "; run the same command to go on: finished blocks are kept in $folder" "$folder"/{outlier,float,quantized}-stream.{0,1}
put_back
go_on "opened again" "going on"
rm -r "$scratch/saved"

# Two passes: killed in the first, between them, in the second. Whatever the ranking found is kept.
recipe --disable_level L2 --anti_method m4
for records in 1 5 7; do
    stop $records
    go_on "two passes, $records records" "going on"
done

# Weights only. A full disk and a disk fault leave what is finished.
recipe --w_bit 8 --a_bit 16
for how in full fault; do
    rm -rf "$yard"
    mkdir "$yard"
    CRASH_DIR=$yard CRASH_RECORDS=2 CRASH_HOW=$how LD_PRELOAD=$CRASH run
    equal "$how: exit code" $? 3
    says "$how" "$log" "error: " "$yard" "; run the same command to go on: finished blocks are kept in $folder"
    equal "$how: no output" "$(ls -A "$yard")" .out.glmslim-work
    go_on "$how" "going on"
done

# The result is in its place and only the last sync failed: then there is nothing to go on with, and nothing says so.
calls=$(last_call)
for at in $(seq "$calls" -1 $((calls - 20))); do
    CRASH_HOW=fault die_at "$at"
    got=$?
    if grep -q "is whole and in its place" "$log"; then break; fi
done
equal "the last sync: exit code" $got 3
says "the last sync" "$log" "the result is whole and in its place"
equal "the last sync: no advice" "$(grep -c 'same command' "$log")" 0
equal "the last sync: the bytes" "$(digest "$yard/out")" "$expected"
equal "the last sync: left behind" "$(ls -A "$yard")" out

# Another question.
stop 0
go_on "nothing is finished yet" "" --threads 1
stop 2
no "another recipe" 2 "--w_bit was 8 then and is 4 now" -- --w_bit 4
no "an option more" 2 "--do_smooth was False then and is True now" -- --do_smooth True
no "a list more" 2 "--disable_names was not given then" -- --disable_names transformer.encoder.layers.0.self_attention.dense
cp "$scratch/texts" "$scratch/other"
echo "One more." >>"$scratch/other"
no "other texts" 2 "the token ids of the calibration texts had another size then" -- --calib_file "$scratch/other"
cp -r "$scratch/model" "$scratch/kept"
shard=$(basename "$(ls "$scratch"/model/*00002-of*)")
touch -d '2020-02-02' "$scratch/model/$shard"
no "a newer file" 2 "$shard was older or newer" --
mv "$scratch/model" "$scratch/gone"
"$GLMSLIM" synth --quiet --dir "$scratch/model" --hidden 64 --layers 4 --heads 4 --head_dim 16 --ffn 128 --vocab 512 --shard_bytes 90000 >/dev/null
no "other shards" 2 "then" --
rm -r "$scratch/model" "$scratch/gone"
"$GLMSLIM" synth --quiet --dir "$scratch/model" --hidden 64 --layers 5 --heads 4 --head_dim 16 --ffn 128 --vocab 512 --shard_bytes 100000 >/dev/null
no "another configuration" 2 "config.json had another" --
rm -r "$scratch/model"
mv "$scratch/kept" "$scratch/model"
touch -d '2021-01-01' "$scratch"/model/*.safetensors
# The same program with another version in it; where it is a script that starts the program in an emulator, a script for that.
mkdir "$scratch/newer"
newer=$scratch/newer/quant_glm
file=$(binary "$quant")
LC_ALL=C sed 's/0\.1\.0/0.1.9/g' "$file" >"$newer"
chmod +x "$newer"
if [ "$file" != "$(readlink -f "$quant")" ]; then
    sed "s|$(dirname "$file")/[^ ]*|$newer|" "$quant" >"$scratch/quant_glm"
    newer=$scratch/quant_glm
    chmod +x "$newer"
fi
stop 2
program=$newer
no "another version" 2 "begun by glmslim 0.1.0 and this is 0.1.9" --
program=$quant
go_on "after refusals" "going on"

# A damaged journal. Half a record at its end, or one with an empty beginning, is what a power failure leaves.
stop 2
cp -r "$folder" "$scratch/saved"
truncate -s -40 "$folder/journal"
go_on "half a record" "going on"
put_back
head -c 20 /dev/zero >>"$folder/journal"
go_on "no record yet" "going on"
put_back
head -c 20 "$scratch/saved/journal" | dd of="$folder/journal" bs=1 seek=$(($(stat -c %s "$folder/journal") - 60)) conv=notrunc status=none
go_on "a record with a gap" "going on"
put_back
head -c 4096 /dev/zero >>"$folder/journal"
no "an empty page" 4 "journal" "damaged at byte" --
put_back
spoil "$folder/journal" 300
no "a byte in the middle" 4 "journal" "damaged at byte" --
put_back
echo "not a journal at all, but a text that is long enough to be one" >"$folder/journal"
no "not a journal" 4 "damaged at byte 0" --
put_back
printf GSJ1 | dd of="$folder/journal" conv=notrunc status=none
no "an older journal" 5 "another version of glmslim" --
put_back
truncate -s -1 "$folder"/new/*.safetensors
no "a short output" 4 "should be a file of" --
go_on "--restart" "" --restart
put_back
rm "$folder/journal"
go_on "no journal" ""
finish
