#!/bin/bash
# glmslim_manifest.sha256 and glmslim_report.json: complete, true, the same for every run of one recipe, and absent where they are
# not wanted. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

manifest=glmslim_manifest.sha256
report=glmslim_report.json
printf 'The kernel\nThe quick brown fox jumps over the lazy dog.\n' >"$scratch/texts"
tiny model

# run OUT OPTION…: a run on the small model.
run() {
    local out=$1
    shift
    "$quant" --quiet --model_path "$scratch/model" --save_directory "$scratch/$out" --calib_file "$scratch/texts" "$@" >"$log" 2>&1 ||
        fail "$out: $(cat "$log")"
    checks=$((checks + 1))
}

run out --anti_method m2 --threads 1 --json "$scratch/run.json"
out=$scratch/out
(cd "$out" && sha256sum --strict -c $manifest) >"$log" 2>&1 || fail "manifest: $(cat "$log")"
equal "manifest: every file but itself" "$(sed 's/^[0-9a-f]*  //' "$out/$manifest")" "$(cd "$out" && ls | grep -v "^$manifest\$")"
equal "modes" "$(stat -c %a "$out/$manifest" "$out/$report" | tr '\n' ' ')" "600 600 "
"$GLMSLIM" inspect "$out" >"$log" 2>&1 || fail "inspect: $(cat "$log")"
says "inspect" "$log" "quantized model" "files 1,"
says "report" "$out/$report" '"glmslim": "' '"quant_type": "W8A8"' '"anti_method": "m2"' '"why_float": "default fallback"' \
    '"method": "m2"' '"name": "config.json"' '"kind": "calib_file"' '"weight_sqnr_db": 4'
equal "report: checkpoint files" "$(grep -c '"kind": "weights"' "$out/$report")" "$(cd "$scratch/model" && ls -- *.safetensors | wc -l)"
# input NAME: the hash of an input in the report.
input() { grep -A2 "\"name\": \"$1\"" "$out/$report" | sed -n 's/.*sha256": "\(.*\)"/\1/p'; }
for file in config.json tokenizer.model; do
    equal "report: $file" "$(input $file)" "$(sha256sum <"$scratch/model/$file" | cut -d' ' -f1)"
done
says "report: texts" "$out/$report" "$(sha256sum <"$scratch/texts" | cut -d' ' -f1)"
checks=$((checks + 1))
grep -qE '/|seconds|threads|peak|"cpu":' "$out/$report" && fail "report: $(grep -E '/|seconds|threads|peak|"cpu":' "$out/$report" | head -3)"
says "summary of times" "$scratch/run.json" '"name": "hash"'

# Another number of threads, directory, path, order and spelling of options, and once more the same.
first=$(digest "$out")
run again --threads 3 --anti_method=m2
equal "threads" "$(digest "$scratch/again")" "$first"
mkdir -p "$scratch/other/a b"
(cd "$scratch/other/a b" && cp ../../texts x.txt && ln -s ../../model m && "$quant" --quiet --calib-file x.txt --anti-method m2 --model-path ./m/ \
    --save-directory ../../again --overwrite >"$log" 2>&1) || fail "another directory: $(cat "$log")"
equal "another directory" "$(digest "$scratch/again")" "$first"
(cd "$scratch/again" && sha256sum --quiet -c $manifest) || fail "manifest after --overwrite"

# Another checkpoint of the same shape.
"$GLMSLIM" synth --quiet --dir "$scratch/model2" --hidden 64 --layers 2 --heads 4 --head_dim 16 --ffn 128 --vocab 512 --shard_bytes 100000 \
    --seed 77 >/dev/null || fail "synth"
"$quant" --quiet --model_path "$scratch/model2" --save_directory "$scratch/out2" --calib_file "$scratch/texts" --anti_method m2 >"$log" 2>&1 ||
    fail "other weights: $(cat "$log")"
equal "other weights, other checkpoint in the report" "$(grep -h sample_sha256 "$out/$report" "$scratch/out2/$report" | sort | uniq -d)" ""

# A name that needs sha256sum's escapes.
cp "$scratch/model/tokenizer_config.json" "$scratch/model/tokenizer"$'\n''odd\name'
run odd
(cd "$scratch/odd" && sha256sum --strict -c $manifest) >"$log" 2>&1 || fail "odd names: $(cat "$log")"
rm "$scratch/model/tokenizer"$'\n''odd\name'

# Only what the reference writes.
for option in --no_extras --reference_compat; do
    run bare $option --overwrite
    equal "$option" "$(cd "$scratch/bare" && ls glmslim_* 2>/dev/null)" ""
done
run bare --no_extras --anti_method m2 --overwrite
equal "the rest is the same" "$(digest "$scratch/bare")" "$(model "$out")"

finish
