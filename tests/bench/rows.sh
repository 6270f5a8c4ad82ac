#!/bin/bash
# rows.sh [ROUNDS]: runs that need no hidden states against a plain copy of as many bytes, in turn, with an empty page cache where that is
# allowed (root). A checkpoint of GLM-4-9B's width with three blocks is made in $TMPDIR and removed afterwards: 8 GB of disk.
# Prints seconds of the copy past the cache, of the copy through it, of the job without checksums, their ratios, the checksums, and
# the peak of memory. SPDX-License-Identifier: Apache-2.0
set -eu
export LC_ALL=C.UTF-8
build=${BUILD:-$(dirname "$0")/../../build/release}
rounds=${1:-1}
scratch=$(mktemp -d)
trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM
ninja -C "$build" bench_copy >/dev/null
"$build/glmslim" synth --quiet --dir "$scratch/model" --layers 3 --vocab 151552 >/dev/null
cold() { sync; [ "$(id -u)" != 0 ] || echo 3 >/proc/sys/vm/drop_caches; }
number() { sed -n "s/^ *\"$1\": *\([0-9.]*\),*\$/\1/p" "$scratch/json" | head -1; }
phase() { grep -A1 "\"name\": \"$1\"" "$scratch/json" | sed -n 's/.*"seconds": \([0-9.]*\).*/\1/p'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
copy() {
    cold
    rm -f "$scratch/copy"
    "$build/tests/bench_copy" "$@" "$scratch/copy" "$bytes" "$scratch"/model/*.safetensors
    rm "$scratch/copy"
}

echo "type direct cached job job/direct job/cached checksums peak"
while read -r name options; do
    for _ in $(seq "$rounds"); do
        cold
        rm -rf "$scratch/out"
        # shellcheck disable=SC2086
        "$build/quant_glm" --quiet --model_path "$scratch/model" --save_directory "$scratch/out" --json "$scratch/json" $options >/dev/null 2>&1
        bytes=$(number output_bytes)
        job=$(awk -v a="$(number seconds)" -v b="$(phase hash)" 'BEGIN { print a - b }')
        chmod -R u+w "$scratch/out"
        rm -r "$scratch/out"
        direct=$(copy --direct)
        cached=$(copy)
        echo "$name $direct $cached $job $(ratio "$job" "$direct") $(ratio "$job" "$cached") $(phase hash) $(number measured_peak_bytes)"
    done
done <<END | awk '{ printf "%-22s %7.2f %7.2f %7.2f %6s %6s %7.2f %6.0f MB\n", $1, $2, $3, $4, $5, $6, $7, $8 / 1e6 }'
W8A16 --w_bit 8 --a_bit 16
W4A16 --w_bit 4 --a_bit 16 --disable_last_linear False
W4A16-groups --w_bit 4 --a_bit 16 --is_lowbit True --open_outlier False --group_size 64
W4A16-outliers --w_bit 4 --a_bit 16 --is_lowbit True
W8A8_DYNAMIC --is_dynamic True
W4A8_DYNAMIC --w_bit 4 --a_bit 8 --is_dynamic True --is_lowbit True --open_outlier False --group_size 256
FLOAT --w_bit 16 --a_bit 16
END
