#!/bin/bash
# Who could change what is read, and who may read what is written: --secure and its warnings, modes of the result, no other program
# is started, no file outside the result's place. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

umask 022
tiny whole
model=$scratch/model
calib=$scratch/calib.json
echo '[{"prompt": "Four words are enough."}]' >"$calib"
fresh() {
    rm -rf "$model"
    cp -r "$scratch/whole" "$model"
}
# secured NAME TEXT…: refused with --secure, for its own reason; without it done, with one warning.
secured() {
    local name=$1 out=$scratch/out
    refused "$name" 3 "${@:2}" "secure" -- --model_path "$model" --calib_file "$calib" --secure
    rm -rf "$out"
    check "$name, not secured" "$quant" --quiet --threads 1 --model_path "$model" --calib_file "$calib" --save_directory "$out" 2>"$log"
    equal "$name, warnings" "$(grep -c -- --secure "$log")" 1
    says "$name, warning" "$log" "warning" "${@:2}"
    fresh
}
shard=model-00002-of-00004.safetensors
fresh
check "nothing to refuse" "$quant" --quiet --threads 1 --model_path "$model" --calib_file "$calib" --save_directory "$scratch/good" --secure 2>"$log"
equal "nothing to warn of" "$(cat "$log")" ""

for file in $shard config.json tokenizer.model tokenizer_config.json model.safetensors.index.json; do
    mv "$model/$file" "$scratch/elsewhere" && ln -s "$scratch/elsewhere" "$model/$file"
    secured "a link for $file" "$file is a symbolic link"
done
mkdir "$scratch/blobs" # every file behind a link, as a download cache keeps them: one warning, not eight
for file in "$model"/*; do mv "$file" "$scratch/blobs" && ln -s "$scratch/blobs/${file##*/}" "$file"; done
secured "a cache" "is a symbolic link"
mv "$model" "$scratch/real" && ln -s real "$model"
secured "a link for the model" "model is a symbolic link"
rm -rf "$scratch/real"
chmod g+w "$model/$shard"
secured "group may write" "$shard can be written by group or others (mode 0664)"
chmod o+w "$model/config.json"
secured "others may write" "config.json can be written by group or others (mode 0646)"
chmod 777 "$model"
secured "others may write into the directory" "model can be written by group or others (mode 0777)"
chmod 1777 "$model" # who may add a model.safetensors there has it read instead of the index
secured "others may add files" "model can be written by group or others (mode 1777)"
mv "$model" "$scratch/real" && ln -s real "$model"
for form in / /. /././/; do
    refused "a link, $form" 3 "model is a symbolic link" "secure" -- --model_path "$model$form" --calib_file "$calib" --secure
done
rm -rf "$scratch/real"
fresh
if [ "$(id -u)" = 0 ] && chown 1 "$model/$shard" 2>/dev/null; then
    refused "another user's file" 3 "$shard belongs to another user (number 1)" "secure" -- --model_path "$model" --calib_file "$calib" --secure
    fresh
    chown 1 "$model"
    refused "another user's directory" 3 "model belongs to another user (number 1)" "secure" -- --model_path "$model" --calib_file "$calib" --secure
    fresh
else
    echo "SKIP another user's files: no right to give them away"
fi
chmod 666 "$calib"
secured "others may write the texts" "calib.json can be written"
chmod 644 "$calib"

# The other commands look the same way.
mv "$model/$shard" "$scratch/elsewhere" && ln -s "$scratch/elsewhere" "$model/$shard"
for words in "inspect $model" "inspect $model/$shard" "diff $model $scratch/whole" "eval --model_path $model --text $calib" \
    "verify $scratch/good --model_path $model" "generate $model --prompt a"; do
    # shellcheck disable=SC2086
    "$GLMSLIM" $words --secure >"$log" 2>&1
    equal "$words: exit code" $? 3
    says "$words" "$log" "$shard is a symbolic link"
done
fresh

# Where the result is made others may neither exchange the work folder nor give their own its name.
mkdir "$scratch/yards"
chmod 777 "$scratch/yards"
place=$scratch/yards/out
"$quant" --quiet --threads 1 --model_path "$model" --calib_file "$calib" --save_directory "$place" --secure >"$log" 2>&1
equal "a place of all: exit code" $? 3
says "a place of all" "$log" "yards, where the result is made, can be written by group or others (mode 0777)" "secure"
equal "a place of all: left behind" "$(ls -A "$scratch/yards")" ""
check "a place of all, not secured" "$quant" --quiet --threads 1 --model_path "$model" --calib_file "$calib" --save_directory "$place" 2>"$log"
says "a place of all, not secured" "$log" "warning: " "yards, where the result is made, can be written"
equal "a place of all, warnings" "$(grep -c -- --secure "$log")" 1
chmod 1777 "$scratch/yards"
check "a place like /tmp" "$quant" --quiet --threads 1 --model_path "$model" --calib_file "$calib" --save_directory "$place" --overwrite --secure 2>"$log"
equal "a place like /tmp, warnings" "$(cat "$log")" ""
rm -rf "$place"
mkdir -m 700 "$scratch/yards/.out.glmslim-work" && echo precious >"$scratch/yards/.out.glmslim-work/thesis"
"$quant" --quiet --threads 1 --model_path "$model" --calib_file "$calib" --save_directory "$place" >"$log" 2>&1
equal "not a work folder: exit code" $? 3
says "not a work folder" "$log" ".out.glmslim-work is called like a work folder" "move it elsewhere"
equal "not a work folder: left alone" "$(cat "$scratch/yards/.out.glmslim-work/thesis") $(ls -A "$scratch/yards")" "precious .out.glmslim-work"

# What is exchanged under way is noticed: the run is halted while another hand is at the files.
seq -f 'The quick brown fox jumps over the lazy dog number %g.' 50 >"$scratch/texts"
mkdir "$scratch/changed"
run=("$quant" --quiet --threads 1 --model_path "$model" --calib_file "$scratch/texts" --save_directory "$scratch/changed/out" --act_method 2 --checkpoint_interval 0)
# changed NAME TEXT COMMAND…: exit code 4.
changed() {
    local pid got
    GLMSLIM_CPU=c "${run[@]}" >"$log" 2>&1 &
    pid=$!
    until [ -d "$scratch/changed/.out.glmslim-work/new" ] || ! kill -0 $pid 2>/dev/null; do sleep 0.01; done
    kill -STOP $pid
    "${@:3}"
    kill -CONT $pid
    wait $pid
    got=$?
    equal "$1: exit code" $got 4
    says "$1" "$log" "error: " "$2"
}
flip() {
    cp -p "$model/$shard" "$scratch/was"
    head -c 1000 /dev/zero | tr '\0' '\5' | dd of="$model/$shard" bs=1 seek=60000 conv=notrunc status=none
}
hide() {
    flip
    touch -r "$scratch/was" "$model/$shard"
}
changed "a shard" "$shard was changed after it was opened" flip
equal "a shard: left behind" "$(ls -A "$scratch/changed")" ""
fresh
run+=(--secure)
changed "a shard, its time set back" "its time was set back, which --secure refuses" hide
unset 'run[-1]'
fresh
blank() { echo >>"$model/tokenizer_config.json"; }
changed "the tokenizer" "tokenizer_config.json was changed during the run" blank
says "the tokenizer, finished blocks" "$log" "run the same command to go on: finished blocks are kept"
check "the tokenizer: goes on" "${run[@]}" >"$log" 2>&1
check "the tokenizer: the copy" cmp -s "$model/tokenizer_config.json" "$scratch/changed/out/tokenizer_config.json"
fresh

# What is written: the directory for owner and group, weights for the owner's eyes and nobody's pen, the rest for the owner.
modes() { find "$1" -printf '%m %P\n' | sed 's/^\([0-7]*\) .*safetensors$/\1 weights/; s/^\([0-7]*\) .*\..*/\1 text/' | sort -u | tr '\n' ','; }
for mask in 000 022 077; do
    (umask $mask && "$quant" --quiet --threads 1 --model_path "$model" --calib_file "$calib" --save_directory "$scratch/m$mask") || fail "umask $mask"
    equal "modes under umask $mask" "$(modes "$scratch/m$mask")" "400 weights,600 text,750 ,"
done

# What is written for the caller besides: never through a planted name, never in the place of a device or pipe, "-" is standard output.
mkdir "$scratch/shared"
precious=$scratch/precious json=$scratch/shared/r.json
(umask 077 && echo precious >"$precious")
# shellcheck disable=SC2016
sh -c 'ln -s "$1" "$2.$$.tmp"; exec "$3" inspect "$4" --json "$2"' sh "$precious" "$json" "$GLMSLIM" "$model" >/dev/null || fail "planted link"
equal "planted link" "$(stat -c %a "$precious") $(head -c 8 "$precious")" "600 precious"
equal "planted link, the result" "$(head -c 1 "$json")$(tail -c 2 "$json")" "{}"
ln -sf "$precious" "$json"
check "a link" "$GLMSLIM" version --json "$json" >/dev/null
equal "a link stays" "$(readlink "$json") $(head -c 1 "$precious")" "$precious {"
mkfifo "$scratch/pipe"
timeout 20 cat "$scratch/pipe" >"$scratch/got" &
check "a pipe" timeout 20 "$GLMSLIM" inspect "$model" --json "$scratch/pipe" >/dev/null
wait $!
equal "a pipe" "$(stat -c %F "$scratch/pipe") $(head -c 1 "$scratch/got")$(tail -c 2 "$scratch/got")" "fifo {}"
if mknod "$scratch/null" c 1 3 2>/dev/null && true 2>/dev/null >"$scratch/null"; then
    check "a device" "$quant" --quiet --dry_run --model_path "$model" --calib_file "$calib" --save_directory "$scratch/none" --json "$scratch/null" >/dev/null
    equal "a device stays" "$(stat -c '%F %t %T' "$scratch/null")" "character special file 1 3"
else
    echo "SKIP a device: no right to make one"
fi
# only_json NAME COMMAND…: standard output is one JSON object.
mkdir "$scratch/dash"
only_json() {
    (cd "$scratch/dash" && timeout 60 "${@:2}" --json - </dev/null >"$scratch/got" 2>"$log") || fail "--json -, $1: $(cat "$log")"
    equal "--json -, $1" "$(head -c 1 "$scratch/got")$(tail -c 2 "$scratch/got") $(grep -c '^{' "$scratch/got")" "{} 1"
}
only_json version "$GLMSLIM" version
only_json inspect "$GLMSLIM" inspect "$model"
only_json verify "$GLMSLIM" verify "$scratch/good"
only_json diff "$GLMSLIM" diff "$model" "$model"
only_json tokenize "$GLMSLIM" tokenize "$model" --text words
only_json generate "$GLMSLIM" generate "$model" --prompt words --max_new 2
only_json synth "$GLMSLIM" synth --dir "$scratch/none" --hidden 64 --layers 1 --heads 2 --head_dim 32 --ffn 64 --vocab 512
only_json quant "$quant" --dry_run --model_path "$model" --calib_file "$calib" --save_directory "$scratch/none/out"
only_json eval "$GLMSLIM" eval --model_path "$model" --text "$calib" --report page
"$quant" --model_path "$model" --calib_file "$calib" --save_directory "$scratch/paged" --report - >"$scratch/got" 2>"$log" || fail "--report -: $(cat "$log")"
equal "--report -" "$(head -c 15 "$scratch/got") $(grep -c 'W8A8 written to' "$scratch/got")" "<!DOCTYPE html> 0"
refused "both to standard output" 2 "one file has standard output already" -- --model_path "$model" --calib_file "$calib" --json - --report -
equal "beside them" "$(ls -A "$scratch/dash")" page

# Nothing is started: the program does not even link what could. Nothing is written elsewhere: neither TMPDIR nor the home is used.
if command -v nm >/dev/null && [ $sanitized = no ]; then
    checks=$((checks + 1))
    program=$(binary "$GLMSLIM")
    started=$(nm -D --undefined-only "$program" | grep -wE '(system|popen|exec[lv]p?e?|execveat|fexecve|posix_spawnp?|fork|vfork|dlopen|dlmopen|wordexp)(@.*)?$')
    [ -z "$started" ] || fail "the program can start others: $started"
    equal "the check sees symbols" "$(nm -D --undefined-only "$program" | grep -cwE '(renameat2|openat|pread)(@.*|64.*)?$' | grep -c '^[1-9]')" 1
else
    echo "SKIP symbols: no nm, or a sanitizer's own"
fi
mkdir "$scratch/empty" "$scratch/yard"
(cd "$scratch/yard" && TMPDIR=$scratch/empty HOME=$scratch/empty "$quant" --quiet --threads 1 --model_path "$model" --calib_file "$calib" --save_directory out) ||
    fail "run with a home"
equal "the home and the place for temporary files" "$(ls -A "$scratch/empty")" ""
equal "beside the result" "$(ls -A "$scratch/yard")" "out"
finish
