#!/bin/bash
# bench: every instruction set of the machine, shares that can be, a forecast, nothing left behind. On one thread by processor time,
# so that other work does not disturb. SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"

# numbers FILE KEY: all of them, one a line.
numbers() { sed -n "s/^ *\"$2\": *\([-0-9.eE+]*\),*\$/\1/p" "$1"; }
# within FILE KEY LOW HIGH LEAST: at least LEAST numbers of that name, all in (LOW, HIGH].
within() { numbers "$1" "$2" | awk -v l="$3" -v h="$4" -v n="$5" '!($1 > l && $1 <= h) { print "not in range: " $1; bad = 1 } END { exit bad || NR < n }'; }
counts() { grep -c "\"$2\": \"$3\"" "$1"; }

mkdir "$scratch/work"
bench=("$GLMSLIM" bench --quick --width 128 --cpu_time --quiet --dir "$scratch/work")
run() { "${bench[@]}" --json "$scratch/b.json" >"$scratch/b.txt"; }
check "runs" run
# A machine may change its pace between a peak and a product: once more before it is a failure.
within "$scratch/b.json" share 0 1.1 1 >/dev/null || run
check "shares" within "$scratch/b.json" share 0 1.1 30
check "kernels alone" within "$scratch/b.json" kernel_share 0 1.2 3
check "peaks" within "$scratch/b.json" per_s 1e6 1e16 30
check "bandwidths" within "$scratch/b.json" bytes_per_s 1e5 1e13 20
check "products of the block" within "$scratch/b.json" share_products 0 1 1
check "forecast" within "$scratch/b.json" seconds 0 1e6 20
equal "clock" "$(counts "$scratch/b.json" clock processor)" 1
rungs=$("$GLMSLIM" version | sed -n 's/^instruction sets *\(.*\); in use.*/\1/p')
check "instruction sets" test -n "$rungs"
for rung in $rungs; do
    check "$rung: products" test "$(grep -c "\"cpu\": \"$rung\"" "$scratch/b.json")" -ge 30
    says "$rung: table" "$scratch/b.txt" "$rung f32" "$rung int8"
done
for name in qkv dense h_to_4h 4h_to_h block; do
    check "shape $name" test "$(counts "$scratch/b.json" shape $name)" -ge 6
done
says "table" "$scratch/b.txt" "matrix products" "histogram observer" "attention, 83 tokens" "memory" "disk" \
    "through the calibration" "forecast for 40" "30000 tokens"
equal "left behind" "$(ls -A "$scratch/work")" ""

GLMSLIM_CPU=c "${bench[@]}" --no_block --json - >"$scratch/c.json"
equal "forced" "$(grep '"cpu"' "$scratch/c.json" | sort -u | grep -vc '"c"')" 0
equal "JSON alone" "$(head -c 1 "$scratch/c.json")$(tail -c 2 "$scratch/c.json")" "{}"
equal "no block" "$(grep -c forecast "$scratch/c.json")" 0

complains() {
    local name=$1 status=$2 text=$3
    shift 3
    "$GLMSLIM" bench "$@" >"$log" 2>&1
    equal "$name: exit code" $? "$status"
    says "$name" "$log" "error: " "$text"
}
complains "width" 2 "not a multiple of 128" --width 1000
complains "threads" 2 "smaller than 0" --threads -1
GLMSLIM_CPU=c complains "directory" 3 "choose another with --dir" --quick --width 128 --no_block --cpu_time --dir "$scratch/none"

last=${rungs##* }
# Interrupted it leaves nothing behind either.
GLMSLIM_CPU=$last "${bench[@]}" >/dev/null 2>&1 &
for _ in $(seq 200); do
    [ -n "$(ls -A "$scratch/work")" ] && break
    sleep 0.05
done
check "at work" test -n "$(ls -A "$scratch/work")"
kill -INT $!
wait $!
equal "interrupted" $? 8
equal "left behind after it" "$(ls -A "$scratch/work")" ""
finish
