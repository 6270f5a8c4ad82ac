#!/bin/bash
# Fuzzing, one target after the other: scripts/fuzz.sh SECONDS [TARGET…]. Seeds are the corpora of the repository; what is
# new is kept in build/fuzz/corpus/TARGET and a finding in build/fuzz/findings/TARGET-*. Prints one line per target: executions,
# edges covered, seconds since the last new edge. Exit 1 after a finding. SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/.." || exit 1
seconds=${1:?how many seconds per target}
shift
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
    for source in tests/fuzz/fuzz_*.c; do
        name=$(basename "$source" .c)
        targets+=("${name#fuzz_}")
    done
fi
command -v clang >/dev/null || { echo "fuzz: clang is missing"; exit 77; }
cmake --preset fuzz >/dev/null || exit 1
cmake --build --preset fuzz -t "${targets[@]/#/fuzz_}" >/dev/null || exit 1

export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
found=0
for target in "${targets[@]}"; do
    grown=build/fuzz/corpus/$target
    log=build/fuzz/fuzz_$target.log
    mkdir -p "$grown" build/fuzz/findings
    words=()
    [ ! -f "tests/fuzz/$target.dict" ] || words=("-dict=tests/fuzz/$target.dict")
    start=$(date +%s)
    # libFuzzer's lines get the second at which they were printed.
    nice -n 19 "build/fuzz/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -max_len=16384 -timeout=60 -rss_limit_mb=2048 \
        -print_final_stats=1 "${words[@]}" -artifact_prefix="build/fuzz/findings/$target-" "$grown" "tests/fuzz/corpus/$target" 2>&1 |
        while IFS= read -r line; do printf '%s %s\n' "$(date +%s)" "$line"; done >"$log"
    status=${PIPESTATUS[0]}
    read -r covered last < <(awk '/ cov: / { for (i = 1; i < NF; i++) if ($i == "cov:" && $(i + 1) > best) { best = $(i + 1); at = $1 } }
        END { print best + 0, at + 0 }' "$log")
    runs=$(awk '/stat::number_of_executed_units/ { print $NF }' "$log")
    end=$(date +%s)
    printf '%-18s %9s executions  %5s edges  %5s s, the last %s s without a new edge  %s\n' "$target" "${runs:-?}" "$covered" \
        $((end - start)) $((end - last)) "$([ "$status" = 0 ] && echo "no finding" || echo "FINDING, see $log")"
    [ "$status" = 0 ] || found=1
done
exit $found
