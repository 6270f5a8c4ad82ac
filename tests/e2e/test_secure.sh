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

# What is written: the directory for owner and group, weights for the owner's eyes and nobody's pen, the rest for the owner.
modes() { find "$1" -printf '%m %P\n' | sed 's/^\([0-7]*\) .*safetensors$/\1 weights/; s/^\([0-7]*\) .*\..*/\1 text/' | sort -u | tr '\n' ','; }
for mask in 000 022 077; do
    (umask $mask && "$quant" --quiet --threads 1 --model_path "$model" --calib_file "$calib" --save_directory "$scratch/m$mask") || fail "umask $mask"
    equal "modes under umask $mask" "$(modes "$scratch/m$mask")" "400 weights,600 text,750 ,"
done

# Nothing is started: the program does not even link what could. Nothing is written elsewhere: neither TMPDIR nor the home is used.
if command -v nm >/dev/null && [ $sanitized = no ]; then
    checks=$((checks + 1))
    started=$(nm -D --undefined-only "$GLMSLIM" | grep -wE '(system|popen|exec[lv]p?e?|execveat|fexecve|posix_spawnp?|fork|vfork|dlopen|dlmopen|wordexp)(@.*)?$')
    [ -z "$started" ] || fail "the program can start others: $started"
    equal "the check sees symbols" "$(nm -D --undefined-only "$GLMSLIM" | grep -cwE '(renameat2|openat|pread)(@.*|64.*)?$' | grep -c '^[1-9]')" 1
else
    echo "SKIP symbols: no nm, or a sanitizer's own"
fi
mkdir "$scratch/empty" "$scratch/yard"
(cd "$scratch/yard" && TMPDIR=$scratch/empty HOME=$scratch/empty "$quant" --quiet --threads 1 --model_path "$model" --calib_file "$calib" --save_directory out) ||
    fail "run with a home"
equal "the home and the place for temporary files" "$(ls -A "$scratch/empty")" ""
equal "beside the result" "$(ls -A "$scratch/yard")" "out"
finish
