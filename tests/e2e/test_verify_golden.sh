#!/bin/bash
# verify on what the reference wrote, for itself and for the two engines: no alarm where their loaders, run on these files, took them,
# and one where they did not. Cases of which only the form is stored have no numbers and are left out. The engines run the reference's
# files only with float16 in config.json, whose encoding of deq_scale they have. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
golden=$GS_SOURCE_DIR/tests/golden

# wanted NAME: exit codes without a target, for mindie and for vllm-ascend.
wanted() {
    local any=0 mindie=0 vllm=0
    case $1 in
    # linears that are missing altogether, keys without the tensors they promise
    *lowbit*-L[0-9]* | w4a16-g64-sym-L2 | fa-w8a8-amp9 | nodata-w8a16-kv | w8a8c8-smooth) any=4 mindie=4 vllm=4 ;;
    esac
    case $1 in
    mm-w4a16-g64) ;; # by group after all
    # names that are not the model's, quantized attention, slices only, one scale for all rows, no path for the type
    *smooth* | fa-* | tp2-* | mm-* | *w4a8-dynamic*) mindie=4 vllm=4 ;;
    *-g32-* | *last-linear* | w16a16*) mindie=4 ;;
    esac
    case $1 in
    w8a8-last-linear | w8a8-dynamic-last-linear-L1 | w16a16*) ;;
    *mindie* | *w4a16* | *cosparse* | *w8a8s* | w8a16*asym* | w8a16-g* | *c8* | *-kv*) vllm=4 ;;
    esac
    echo "$any $mindie $vllm"
}

cases=0
for case in "$golden"/cases/*; do
    name=$(basename "$case")
    grep -q '^rules form' "$case/case.txt" && continue
    cases=$((cases + 1))
    d=$scratch/result
    rm -rf "$d"
    mkdir "$d"
    "$GOLDEN_COMPARE" expand "$case" "$d" || fail "$name: cannot be rebuilt"
    chmod -R u+w "$d"
    "$GLMSLIM" verify "$d" --model_path "$golden/models/$(sed -n 's/^model //p' "$case/case.txt")" >"$scratch/any" 2>&1
    got=$?
    sed -i -e 's/"bfloat16"/"float16"/' -e '0,/{/s//{"_name_or_path": "glm-4",/' "$d/config.json"
    "$GLMSLIM" verify "$d" --target mindie >"$scratch/mindie" 2>&1
    got="$got $?"
    "$GLMSLIM" verify "$d" --target vllm-ascend >"$scratch/vllm" 2>&1
    got="$got $?"
    equal "$name" "$got" "$(wanted "$name")"
    [ "$got" = "$(wanted "$name")" ] || grep -h FAULT "$scratch/any" "$scratch/mindie" "$scratch/vllm" | head -5
done
check "cases" test $cases -gt 100
echo "$cases results of the reference"
finish
