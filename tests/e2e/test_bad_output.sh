#!/bin/bash
# Places that cannot be written to, and options that cannot be combined: refused before any work, or cleaned up after a
# failure in the middle. What was there stays as it was. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

tiny model
model=$scratch/model
calib=$scratch/calib.json
echo '[{"prompt": "Four words are enough."}]' >"$calib"
yard=$scratch/yard
run=("$quant" --quiet --model_path "$model" --calib_file "$calib" --threads 2)

# place NAME STATUS DIRECTORY TEXT… -- OPTION…: an output directory of our own choice is refused; model and yard stay.
place() {
    local name=$1 status=$2 out=$3 texts=() before got
    shift 3
    while [ "$1" != -- ]; do
        texts+=("$1")
        shift
    done
    shift
    before=$(snapshot)
    (cd "$yard" && timeout $((120 * ${GS_PATIENCE:-1})) ${as[@]+"${as[@]}"} "${run[@]}" --save_directory "$out" "$@") >"$log" 2>&1
    got=$?
    equal "$name: exit code" $got "$status"
    says "$name" "$log" "error: " ${texts[@]+"${texts[@]}"}
    equal "$name: nothing changed" "$(snapshot)" "$before"
}
snapshot() { (cd "$scratch" && find yard model \( -type d -printf "%p %m\n" -o -printf "%p %m %s %l %T@\n" \) | sort); }
as=()

mkdir -p "$yard/full" "$yard/empty"
echo precious >"$yard/full/notes"
echo precious >"$yard/file"
ln -s full "$yard/link"
ln -s nowhere "$yard/dangling"
ln -s "$model" "$yard/door"
place "not empty" 2 full "not empty" "--overwrite" "another directory" --
place "link to a directory that is not empty" 2 link "not empty" "--overwrite" --
place "a file" 2 file "not a directory" "another" --
place "a file, overwrite" 2 file "not a directory" "another" -- --overwrite
place "below a file" 2 file/out "not a directory" --
place "dangling link" 2 dangling "remove the link" --
place "the model directory" 2 "$model" "is the model directory" "another directory" --
place "the model directory, overwrite" 2 "$model" "is the model directory" "another directory" -- --overwrite
place "inside the model directory" 2 "$model/out" "inside it" "another directory" --
place "deep inside the model directory" 2 "$model/a/b/out" "inside it" --
place "inside the model directory by a link" 2 door/out "inside it" --
place "above the model directory" 2 "$scratch" "contains the model" "another directory" -- --overwrite
place "the current directory" 2 . "current directory" -- --overwrite
place "above the current directory" 2 .. "" -- --overwrite
place "the root" 2 / "" -- --overwrite
place "name too long" 2 "$(printf 'x%.0s' {1..250})" "too long" --
place "empty name" 2 "" "save_directory" --
place "through a missing directory" 2 none/../out "'..'" --
place "JSON into a missing directory" 3 out "--json" "create it" -- --json none/report.json
place "JSON is a directory" 2 out "--json" "name of a file" -- --json empty
place "the page into a missing directory" 3 out "--report" "create it" -- --report none/page

# A living run holds the place.
if command -v flock >/dev/null; then
    mkdir "$yard/.held.glmslim-work"
    (exec 9>"$yard/.held.glmslim-work/lock" && flock 9 && exec sleep 60) >/dev/null 2>&1 &
    holder=$!
    until [ -e "$yard/.held.glmslim-work/lock" ] && ! flock -n "$yard/.held.glmslim-work/lock" true; do sleep 0.05; done
    place "another run" 3 held "another run" "wait" --
    kill $holder
    wait $holder 2>/dev/null
    rm -r "$yard/.held.glmslim-work"
else
    echo "SKIP another run: no flock"
fi

# Without rights. Root has them all, so the program runs as somebody else, from where that one can reach it.
chmod 755 "$scratch" "$yard"
mkdir "$scratch/bin"
cp "$quant" "$scratch/bin/quant_glm"
run[0]=$scratch/bin/quant_glm
if [ "$(id -u)" = 0 ] && setpriv --reuid 65534 --regid 65534 --clear-groups "$scratch/bin/quant_glm" --help >/dev/null 2>&1; then
    as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
elif [ "$(id -u)" = 0 ]; then
    as=(false)
fi
if [ "${as[*]:-}" != false ]; then
    chmod -R a+rX "$model" "$calib"
    chmod 555 "$yard"
    place "parent not writable" 3 out "Permission denied" "cannot write" "change its permissions" --
    place "parent's parent not writable" 3 a/b/out "Permission denied" "change its permissions" --
    chmod 755 "$yard"
    mkfifo "$yard/pipe" "$yard/closed" && mkdir -m 1777 "$scratch/nobody"
    chmod 600 "$yard/closed"
    chmod 666 "$yard/pipe"
    if [ "${as[*]:-}" != "" ]; then place "JSON into a pipe of another's" 3 out "--json closed: cannot write to it" -- --json closed; fi
    timeout 20 cat "$yard/pipe" >"$scratch/got" & # its directory is not asked
    check "JSON into a pipe in a directory of another's" ${as[@]+"${as[@]}"} timeout 20 "${run[@]}" --save_directory "$scratch/nobody/out" --dry_run --json "$yard/pipe"
    wait $!
    equal "JSON into a pipe" "$(head -c 1 "$scratch/got")" "{"
    rm "$yard/pipe" "$yard/closed"
    mkdir "$yard/locked"
    chmod 000 "$yard/locked"
    place "parent not searchable" 3 locked/out "Permission denied" --
    shard=$(ls "$model"/model-00002*)
    chmod 000 "$shard"
    chmod 777 "$yard"
    place "shard not readable" 3 out "$(basename "$shard")" "Permission denied" --
    chmod 644 "$shard"
    chmod 000 "$model/config.json"
    place "config not readable" 3 out "config.json" "Permission denied" --
    chmod 644 "$model/config.json"
    chmod 000 "$calib"
    place "calibration file not readable" 3 out "calib.json" "Permission denied" --
    chmod 644 "$calib"
    chmod 000 "$model/tokenizer.model"
    place "tokenizer not readable" 3 out "tokenizer.model" "Permission denied" --
    chmod 644 "$model/tokenizer.model"
    chmod 000 "$model"
    place "model directory not searchable" 3 out "Permission denied" --
    chmod 755 "$model" "$yard"
    rmdir "$yard/locked"
else
    echo "SKIP missing rights: running as root without setpriv"
fi
as=()

# A full disk. First a limit on file sizes, which strikes in the middle of the weights; then file systems that are too small,
# without room and without inodes.
as=(bash -c 'ulimit -f 100; exec "$@"' bash)
place "file size limit" 3 out "quant_model_weight_w8a8.safetensors" "File too large" --
mkdir "$yard/old" && echo old >"$yard/old/data"
place "file size limit, overwrite" 3 old "File too large" -- --overwrite
as=()
mkdir "$yard/disk"
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=128k none "$yard/disk" 2>/dev/null; then
    place "full disk" 3 disk/out "free" "--save_directory" --
    umount "$yard/disk"
    mount -t tmpfs -o size=64m,nr_inodes=5 none "$yard/disk"
    place "no inodes" 3 disk/out "No space left on device" --
    truncate -s 100000000 "$model/tokenizer_extra.bin"
    place "no room for a copied file" 3 disk/out "the output needs 0.10 GB" --
    rm "$model/tokenizer_extra.bin"
    place "a mount point" 2 disk "mount point" "inside it" --
    umount "$yard/disk"
    mount -t tmpfs -o ro none "$yard/disk"
    place "read-only file system" 3 disk/out "Read-only file system" --
    umount "$yard/disk"
else
    echo "SKIP full disk: no right to mount"
fi
rmdir "$yard/disk"

# Options. Every pair of words is one refusal; model and texts are fine.
options() {
    local name=$1 status=$2 text=$3
    shift 3
    refused "$name" "$status" "$text" -- --model_path "$model" --calib_file "$calib" "$@"
}
options "unknown option" 2 "--no_such" --no_such 1
options "a word too many" 2 "extra" extra
options "no value" 2 "--w_bit" --w_bit
options "not a number" 2 "--w_bit" --w_bit eight
options "not an integer" 2 "--w_bit" --w_bit 8.0
options "integer too large" 2 "--threads" --threads 99999999999999999999
options "negative threads" 2 "threads" --threads -1
options "not a boolean" 2 "use_kvcache_quant" --use_kvcache_quant maybe
options "flag with a value" 2 "mindie_format" --mindie_format=17
options "unknown device" 2 "device_type" --device_type gpu
options "act_method 4" 2 "act_method" --act_method 4
options "save_dtype" 2 "save_dtype" --save_dtype int8
options "w_bit 3" 2 "w_bit = 3" --w_bit 3
options "fraction too large" 2 "fraction = 0.2 is larger than 0.1" --fraction 0.2
options "fraction is NaN" 2 "fraction" --fraction nan
options "part_file_size 0" 2 "value = 0 is smaller than 1" --part_file_size 0
options "part_file_size beyond 64 bits" 2 "part_file_size" --part_file_size 9000000000
options "disable_level" 2 "disable_level" --disable_level 5
options "disable_level L05" 2 "disable_level" --disable_level L05
options "a linear that is not there" 2 "transformer.encoder.layers.7.mlp.dense_4h_to_h" \
    --disable_names transformer.encoder.layers.7.mlp.dense_4h_to_h
options "asymmetric weights with a_bit 8" 2 "w_sym should be True when a_bit = 8" --w_sym False
options "two caches" 2 "KV-cache and FA cannot be quantized at the same time" --use_kvcache_quant True --use_fa_quant True
options "low-bit with act_method 3" 2 "act_method can not be 3" --is_lowbit True --act_method 3
options "dynamic with a_bit 16" 2 "a_bit must be 4 or 8" --is_dynamic True --a_bit 16
options "static W4A8" 2 "W4A8_DYNAMIC should be used with" --w_bit 4
options "static W4A4" 2 "W4A4 should be used with dynamic" --w_bit 4 --a_bit 4
options "anti_method m7" 2 "anti_method" --anti_method m7
options "tp_size 3" 2 "tp_size" --tp_size 3
tiny odd --ffn 136
refused "a card's part that is none" 2 "tp_size 16: the 136 inputs of mlp.dense_4h_to_h cannot be divided into 16 equal parts" \
    -- --model_path "$scratch/odd" --calib_file "$calib" --tp_size 16 --disable_names transformer.output_layer
options "tokenizer_args" 2 "tokenizer_args" --tokenizer_args "{bad"
options "group_size" 2 "group_size" --is_lowbit True --open_outlier False --group_size 48 --a_bit 16
options "--json without a name" 2 "--json" --json
options "no NPU" 5 "leave out --strict_device" --device_type npu --strict_device
# GLMSLIM_CPU names what the machine must have.
(export GLMSLIM_CPU=quantum && options "instruction set" 2 "GLMSLIM_CPU" && [ $failures = 0 ]) || failures=$((failures + 1))
refused "no model" 2 "--model_path is required" -- --calib_file "$calib"
finish
