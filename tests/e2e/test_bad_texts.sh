#!/bin/bash
# Calibration and outlier texts that cannot be read, from files and from the command line. The message names file and line
# or sample. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

tiny model
good=$scratch/good.json
echo '[{"prompt": "Four words are enough."}]' >"$good"

# Both options read the same way, and --anti_file is checked even though no method needs it.
file() {
    local name=$1 status=$2
    shift 2
    refused "calib_file: $name" "$status" "$@" -- --model_path "$scratch/model" --calib_file "$scratch/texts"
    refused "anti_file: $name" "$status" "$@" -- --model_path "$scratch/model" --calib_file "$good" --anti_file "$scratch/texts"
}
content() { printf "$@" >"$scratch/texts"; }

rm -f "$scratch/texts"
file "missing" 3 "texts" "doesn't exist"
mkdir "$scratch/texts"
file "a directory" 3 "texts" "not a file"
rmdir "$scratch/texts"
mkfifo "$scratch/texts"
file "a FIFO" 3 "texts" "not a file"
rm "$scratch/texts"
content ''
file "empty" 4 "texts is empty" "expected"
content ' \n\t\n'
file "white space" 4 "texts" "white space" "expected"
content '[{"prompt": "a"},'
file "array cut" 4 "texts" "line 1"
content '[{"prompt": "a"}] x'
file "something behind the array" 4 "texts" "line 1"
content '{"prompt": "a"}\n{"prompt": "b"\n{"prompt": "c"}\n'
file "bad line of JSON lines" 4 "texts" "line 2"
content '[{"prompt": "a"},\n {"promt": "b"}]'
file "no prompt" 4 "texts" "line 2" "sample 1" "'prompt'" "promt" "would do"
content '{"question": "a"}\n'
file "no prompt in a line" 4 "texts" "'prompt'" "question"
content '[{"prompt": "a"},\n {"prompt": 7}]'
file "prompt is a number" 4 "texts" "line 2" "sample 1" "not a string"
content '[{"prompt": null}]'
file "prompt is null" 4 "texts" "sample 0" "not a string"
content '["a", 17]'
file "a number for a sample" 4 "texts" "sample 1" "must be"
content '{"samples": [{"prompt": "a"}]}'
file "one object around the samples" 4 "texts" "'prompt'"
content '[{"prompt": "a", "prompt": "b"}]'
file "key twice" 4 "texts" "duplicate"
content 'fine\n\xc3\x28 not\n'
file "invalid UTF-8 in plain text" 4 "texts" "UTF-8" "byte 5" "convert"
content '[{"prompt": "\xed\xa0\x80"}]'
file "a surrogate in UTF-8" 4 "texts" "UTF-8" "convert"
content '\xff\xfe[\x00{\x00'
file "UTF-16" 4 "texts" "UTF-8" "convert"
{ printf '['; printf '[%.0s' {1..50000}; } >"$scratch/texts"
file "nested 50000 deep" 4 "texts"
# One word longer than any tokenizer may take.
{ head -c 5000000 /dev/zero | tr '\0' x; } >"$scratch/texts"
file "a word of 5 MB" 4 "texts" "sample 0" "bytes"

# No samples at all: static ranges cannot be had.
content '[]'
refused "no samples" 2 "texts" "holds no samples" "Data-Free" "needs calibration texts" -- --model_path "$scratch/model" \
    --calib_file "$scratch/texts"
refused "empty text" 2 "calib_texts[1] is empty" "at least one" -- --model_path "$scratch/model" --calib_texts fine ''
refused "invalid UTF-8 on the command line" 2 "calib_texts[0]" "UTF-8" -- --model_path "$scratch/model" --calib_texts $'\xff'

finish
