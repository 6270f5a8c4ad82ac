#!/bin/bash
# Every command as a person uses it: output, errors, exit codes, files. GLMSLIM is the program; quant_glm lies beside it.
# SPDX-License-Identifier: Apache-2.0
set -u
program=$GLMSLIM
quant=$(dirname "$GLMSLIM")/quant_glm
model=$GS_SOURCE_DIR/demo/glm4-mini
calib=$GS_SOURCE_DIR/tests/golden/data/calib.json
tiny=$GS_SOURCE_DIR/tests/golden/models/tiny-a
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
unset ASCEND_RT_VISIBLE_DEVICES PYTORCH_NPU_ALLOC_CONF RANK
passed=0
failed=0

# expect NAME STATUS: runs the words after it; output is in ./out, messages in ./err.
expect() {
    local name=$1 want=$2 have
    shift 2
    "$@" >out 2>err </dev/null
    have=$?
    if [ "$have" = "$want" ]; then
        passed=$((passed + 1))
        return 0
    fi
    echo "FAIL $name: exit $have, not $want: $(head -c 400 err)"
    failed=$((failed + 1))
    return 1
}
# FILE contains TEXT / does not contain it / is exactly it
says() { check "$1" "$3" "$(if grep -qF -- "$3" "$2"; then echo yes; else echo no; fi)" yes "$2"; }
lacks() { check "$1" "$3" "$(if grep -qF -- "$3" "$2"; then echo yes; else echo no; fi)" no "$2"; }
is() { check "$1" "$3" "$(if [ "$(cat "$2")" = "$3" ]; then echo yes; else echo no; fi)" yes "$2"; }
check() {
    if [ "$3" = "$4" ]; then
        passed=$((passed + 1))
    else
        echo "FAIL $1: '$2' (in $5: $([ "$4" = no ] && echo unwanted || echo missing)): $(head -c 400 "$5" 2>/dev/null)"
        failed=$((failed + 1))
    fi
}
true_that() {
    local name=$1
    shift
    if "$@"; then passed=$((passed + 1)); else echo "FAIL $name: $*" && failed=$((failed + 1)); fi
}

# --- help, version, documents ---
expect help 0 "$program" help && says help out "glmslim COMMAND [options]" && lacks help out "docs"
expect help-option 0 "$program" --help && says help-option out "inspect"
expect nothing 2 "$program" && says nothing err "usage: glmslim"
expect help-quant 0 "$program" help quant && says help-quant out "usage: glmslim quant" && says help-quant out "--use_kvcache_quant True|False"
expect script-help 0 "$quant" --help && says script-help out "usage: quant_glm --model_path DIR" && lacks script-help err "error"
expect help-inspect 0 "$program" inspect --help && says help-inspect out "--json FILE"
expect help-unknown 2 "$program" help nothing && says help-unknown err 'glmslim: error: there is no command "nothing"'
expect unknown 2 "$program" quantise && says unknown err 'there is no command "quantise"'
expect bare-option 2 "$program" --w_bit 8 && says bare-option err "glmslim quant --w_bit"
expect version 0 "$program" version --json v.json && says version out "glmslim 0" && says version v.json '"glmslim": "0'
expect version-option 0 "$program" --version && says version-option out "instruction sets"
for what in options differences verify; do
    expect "docs-$what" 0 "$program" docs "$what"
    true_that "docs-$what" cmp -s out "$GS_SOURCE_DIR/docs/$what.md"
done
expect docs-man 0 "$program" docs man
true_that docs-man cmp -s out "$GS_SOURCE_DIR/man/glmslim.1"
expect docs-unknown 2 "$program" docs else
expect unknown-option 2 "$program" inspect "$model" --al1 && says unknown-option err "unrecognized arguments: --al1 (did you mean --all?)"
expect bad-cpu 2 env GLMSLIM_CPU=abacus "$program" version && says bad-cpu err "abacus"

# --- quant_glm: usage, one clear line ---
expect no-model 2 "$quant" && says no-model err "quant_glm: error: --model_path is required"
true_that one-line [ "$(wc -l <err)" = 1 ]
expect bool 2 "$quant" --model_path m --save_directory o --co_sparse 1 && is bool err "quant_glm: error: argument --co_sparse: invalid cmd_bool value: '1'"
expect same-in-quant 2 "$program" quant --co_sparse 1 && is same-in-quant err "glmslim: error: argument --co_sparse: invalid cmd_bool value: '1'"
expect control 2 "$quant" --model_path m --save_directory o --w_bit $'\e[2J' && lacks control err $'\e'
expect unsupported 5 "$quant" --model_path "$tiny" --save_directory o --w_bit 4 --a_bit 4 --is_dynamic True --do_smooth True && says unsupported err "do_smooth with W4A4"
true_that unsupported [ ! -e o ]
expect missing-model 3 "$quant" --model_path no-such --save_directory o --calib_file "$calib" && says missing-model err "no-such"
expect strict 5 "$quant" --model_path "$tiny" --save_directory o --device_type npu --strict_device && says strict err "no Ascend runtime"
expect json-nowhere 3 "$quant" --model_path "$tiny" --save_directory o --json none/r.json && says json-nowhere err "--json none/r.json"
expect json-nothing 2 "$quant" --model_path "$tiny" --save_directory o --json && says json-nothing err "argument --json: expected one argument"
true_that nothing-written [ ! -e o ]

long=$(head -c 100000 /dev/zero | tr '\0' x)
expect long-word 2 "$quant" --model_path "$tiny" --save_directory o --w_bit "$long"
true_that long-word [ "$(wc -c <err)" -lt 3000 ]
expect long-option 2 "$quant" "--$long" && true_that long-option [ "$(wc -c <err)" -lt 3000 ]
expect long-path 3 "$quant" --model_path "$long" --save_directory o

# --- a run ---
expect dry 0 "$quant" --model_path "$tiny" --save_directory o --calib_file "$calib" --dry_run --json plan.json
says dry out "dry run, nothing is written" && says dry plan.json '"dry_run": true'
true_that dry [ ! -e o ]
expect run 0 env ASCEND_RT_VISIBLE_DEVICES=0 RANK=x "$quant" --model_path "$tiny" --save_directory o --calib_file "$calib" \
    --device_type npu --trust_remote_code True --use_kvcache_quant True --json=run.json
says run out "W8A8 written to o"
says run out "query_key_value"
says run out "default fallback"
says run out "of the measured peak"
says run err "warning: device_type npu: there is no Ascend runtime"
says run err "note: the environment variable ASCEND_RT_VISIBLE_DEVICES has no effect"
says run err 'warning: the environment variable RANK is "x", not an integer; treated as 0'
says run err "note: trust_remote_code: no code of the checkpoint is executed"
says run run.json '"quant_type": "W8A8"'
says run run.json '"use_kvcache_quant": true'
true_that run-mode [ "$(stat -c %a run.json)" = 644 ]
true_that run [ -f o/quant_model_description.json ]
true_that no-leftover [ -z "$(ls -A | grep -E 'tmp|glmslim')" ]
expect again 2 "$quant" --model_path "$tiny" --save_directory o --calib_file "$calib"
says again err "overwrite"
expect quiet 0 "$quant" --model_path "$tiny" --save_directory o --calib_file "$calib" --device_type npu --overwrite --quiet
true_that quiet-out [ ! -s out ]
is quiet err "warning: device_type npu: there is no Ascend runtime on this machine; computing on the CPU with the same method and file layout"
expect full 3 bash -c '"$0" help >/dev/full' "$program" && says full err "cannot write to standard output"

# --- interrupted: clean stop, exit 8, nothing left ---
for signal in INT TERM; do
    rm -rf stopped
    yes '{"prompt": "The harbour wakes before the town does, and the first boats leave long before the light."}' | head -4000 >many.json
    # A shell without job control starts background commands with SIGINT ignored.
    (trap - INT && exec "$quant" --model_path "$model" --save_directory stopped --calib_file many.json --act_method 2 >out 2>err) &
    pid=$!
    for _ in $(seq 600); do
        ls -d .stopped* >/dev/null 2>&1 && break
        sleep 0.05
    done
    kill -$signal $pid
    wait $pid
    true_that "stopped-$signal" [ $? = 8 ]
    true_that "stopped-$signal-clean" [ -z "$(ls -A | grep stopped)" ]
    says "stopped-$signal" err "interrupted"
done

# --- inspect ---
expect inspect 0 "$program" inspect "$model" --json i.json
says inspect out "float checkpoint"
says inspect out "hidden 256, 4 layers, 8 heads of 32, 2 key/value heads, FFN 512, vocabulary 4096"
says inspect out "transformer.encoder.layers.*.mlp.dense_h_to_4h.weight"
says inspect i.json '"name": "transformer.encoder.layers.3.mlp.dense_4h_to_h.weight"'
says inspect i.json '"kind": "checkpoint"'
expect inspect-all 0 "$program" inspect --all "$model" && says inspect-all out "transformer.encoder.layers.2.mlp.dense_h_to_4h.weight"
expect inspect-quantized 0 "$program" inspect o --json=q.json
says inspect-quantized out "quantized model"
says inspect-quantized out 'model_quant_type "W8A8"'
says inspect-quantized q.json '"type": "W8A8"'
says inspect-quantized q.json '"kind": "quantized"'
expect inspect-file 0 "$program" inspect o/quant_model_weight_w8a8.safetensors && says inspect-file out "safetensors file"
mkdir vision && cp "$model"/*.safetensors "$model"/*.index.json vision && sed 's/{/{"vision_config": {},/' "$model/config.json" >vision/config.json
expect inspect-unsupported 0 "$program" inspect vision && says inspect-unsupported err "warning: " && says inspect-unsupported out "float checkpoint"
expect inspect-broken 4 bash -c 'head -c 1000 "$1" >cut.safetensors; "$0" inspect cut.safetensors' "$program" o/quant_model_weight_w8a8.safetensors
says inspect-broken err "cut.safetensors"
expect inspect-absent 3 "$program" inspect absent && says inspect-absent err "absent"
expect inspect-nothing 2 "$program" inspect && says inspect-nothing err "inspect needs"
expect inspect-two 2 "$program" inspect a b && says inspect-two err "unrecognized arguments: b"

# --- tokenize ---
pipe() { printf '%b' "$1" | "${@:2}"; }
expect tokenize 0 pipe 'hello <unk>\n' "$program" tokenize "$model" --json t.json
is tokenize out "[4068, 4070, 257, 343, 78, 220, 4080, 198]"
says tokenize t.json '"count":8'
expect tokenize-text 0 "$program" tokenize "$model" --no_prefix --text "hello" && is tokenize-text out "[257, 343, 78]"
expect tokenize-empty 0 pipe '' "$program" tokenize "$model" && is tokenize-empty out "[4068, 4070]"
expect tokenize-pad 0 "$program" tokenize "$model" --no-prefix --pad_token= --text "<unk>" && lacks tokenize-pad out 4080
expect tokenize-broken 4 pipe 'a\xffb' "$program" tokenize "$model"
expect decode 0 pipe '[257, 343, 78]' "$program" tokenize --decode "$model" && is decode out "hello"
for text in 'hello, world\n' '\xe4\xbd\xa0\xe5\xa5\xbd 123  \t\n\n' '\x01\x7f a'; do
    expect round-trip 0 bash -c 'printf "%b" "$2" >text; "$0" tokenize --no_prefix "$1" <text | "$0" tokenize --decode "$1" >back; cmp text back' "$program" "$model" "$text"
done
expect decode-bad 4 pipe '1 x' "$program" tokenize --decode "$model" && says decode-bad err "byte 2"
expect decode-large 4 pipe '99999999999999999999' "$program" tokenize --decode "$model" && says decode-large err "the tokenizer has ids"
expect tokenize-nothing 2 "$program" tokenize && says tokenize-nothing err "tokenize needs"

# --- generate ---
expect generate 0 "$program" generate "$model" --prompt "The kernel" --max_new 8 --json g.json --threads 1
true_that generate-echo grep -q '^The kernel' out
says generate g.json '"prompt": "The kernel"'
cp out one
expect generate-stdin 0 pipe 'The kernel' "$program" generate "$model" --max_new 8 --quiet --threads 2
true_that generate-same cmp -s out one
true_that generate-quiet [ ! -s err ]
expect generate-chinese 0 "$program" generate "$model" --prompt $'\xe5\x86\x85\xe6\xa0\xb8' --max_new 12 --no_echo
true_that generate-utf8 iconv -f UTF-8 -t UTF-8 out -o /dev/null
expect generate-none 0 "$program" generate "$model" --prompt x --max_new 0
is generate-none out x
expect generate-negative 2 "$program" generate "$model" --prompt x --max_new -1 && says generate-negative err "max_new = -1 is smaller than 0."
expect generate-bad 4 pipe 'a\xff' "$program" generate "$model" && says generate-bad err "not UTF-8"
expect generate-empty 2 "$program" generate "$model" --prompt= --no_prefix && says generate-empty err "empty"

# --- synth ---
shape=(--hidden 128 --layers 2 --heads 4 --groups 2 --head_dim 32 --ffn 256 --vocab 512 --outlier_channels 2)
expect synth 0 "$program" synth --dir s "${shape[@]}" --json s.json --seed 7 && says synth s.json '"seed": 7'
expect synth-inspect 0 "$program" inspect s && says synth-inspect out "hidden 128, 2 layers"
expect synth-again 0 "$program" synth --dir s2 "${shape[@]}" --seed 7 --threads 1
true_that synth-same diff -r s s2
expect synth-quant 0 "$quant" --model_path s --save_directory sq --calib_texts "one text" "another text"
says synth-quant out "2 samples"
expect synth-nowhere 2 "$program" synth && says synth-nowhere err "--dir is required"
expect synth-used 2 "$program" synth --dir s "${shape[@]}"

# --- the progress line on a terminal ---
head -400 many.json >some.json
if script -qec true typescript >/dev/null 2>&1 </dev/null; then
    TERM=xterm script -qec "stty cols 50; '$quant' --model_path '$model' --save_directory p --calib_file some.json --act_method 1" typescript >/dev/null 2>&1 </dev/null
    true_that terminal grep -q $'\r.*block 1/4.*\e\\[K' typescript
    tr '\r' '\n' <typescript | grep -a 'block [0-9]' | sed 's/\x1b\[K.*//' >lines
    true_that terminal-width awk 'length($0) > 49 { bad = 1 } END { exit bad }' lines
else
    echo "skipped: the progress line on a terminal (no 'script' program or no pseudo-terminals)"
fi

echo "$passed passed, $failed failed"
[ $failed = 0 ]
