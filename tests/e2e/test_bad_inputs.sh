#!/bin/bash
# The table of bad inputs (bad_inputs.txt): every kind of file, option and place, each refused with the right exit code and a message
# that names what is wrong, and without a trace. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
: "${BAD_INPUTS:?the path of bad_inputs}"

pristine=$scratch/pristine
tiny pristine/model
mkdir "$pristine/demo" "$scratch/run"
cp "$demo"/tokenizer.model "$demo"/tokenizer_config.json "$pristine/demo"
echo '[{"prompt": "Four words are enough."}]' >"$pristine/texts.json"
check "a result" "$quant" --quiet --threads 1 --model_path "$pristine/model" --calib_file "$pristine/texts.json" \
    --save_directory "$pristine/quant"
cd "$scratch/run" || exit 1
if [ $heavy = yes ]; then export GS_SANITIZED=1; fi # no limit of address space: see refused()
check "the table" "$BAD_INPUTS" "$GLMSLIM" "$GS_SOURCE_DIR/tests/e2e/bad_inputs.txt" "$pristine" 2
equal "nothing is left" "$(ls -A)" ""
finish
