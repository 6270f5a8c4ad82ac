#!/bin/bash
# The second ring: what takes too long for every change. Usage: scripts/deep.sh [STAGE…], all stages when none is named. Each stage
# prints `NAME: N passed, N failed, N skipped`, the end adds them up; exit 1 when anything failed. The last figures are kept in
# docs/deep.md. GS_DEEP_JOBS: tests at a time (processors). GS_FUZZ_MINUTES: minutes of fuzzing per target (30).
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/.." || exit 1
jobs=${GS_DEEP_JOBS:-$(nproc)}
logs=build/deep
mkdir -p "$logs"
passed=0
failed=0
skipped=0
names="aarch64 avx512 tsan valgrind coverage quality kills faults fuzz"

# report NAME PASSED FAILED SKIPPED [REMARK]
report() {
    passed=$((passed + $2))
    failed=$((failed + $3))
    skipped=$((skipped + $4))
    echo "$1: $2 passed, $3 failed, $4 skipped${5:+ ($5)}"
}

# suite NAME PRESET [CTEST ARGUMENT…]: builds a preset and counts what ctest says of it.
suite() {
    local name=$1 preset=$2 status total bad skip
    shift 2
    if ! { cmake --preset "$preset" && cmake --build --preset "$preset"; } >"$logs/$name.build" 2>&1; then
        report "$name" 0 1 0 "the build failed, see $logs/$name.build"
        return
    fi
    ctest --test-dir "build/$preset" --output-on-failure -j "$jobs" "$@" >"$logs/$name.log" 2>&1
    status=$?
    read -r bad total < <(sed -nE 's/^[0-9]+% tests passed, ([0-9]+) tests? failed out of ([0-9]+)$/\1 \2/p' "$logs/$name.log" | tail -1)
    if [ -z "${total:-}" ] || [ "$total" = 0 ]; then
        report "$name" 0 1 0 "no test result, see $logs/$name.log"
        return
    fi
    skip=$(grep -cE '^ *[0-9]+/[0-9]+ Test +#[0-9]+: .*\*\*\*Skipped' "$logs/$name.log")
    if [ $status != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
    report "$name" $((total - bad - skip)) "$bad" "$skip"
    [ "$bad" = 0 ] || grep -E '^ *[0-9]+ - .*\((Failed|Timeout|SEGFAULT|Subprocess.*|Not Run)\)' "$logs/$name.log"
}

# call NAME SCRIPT: a script that prints `N passed, N failed` last, `, N skipped` if any; 77: all of it, for the reason in front.
call() {
    local name=$1 script=$2 status good bad skip
    if [ ! -f "$script" ]; then
        report "$name" 0 0 1 "there is no $script"
        return
    fi
    bash "$script" >"$logs/$name.log" 2>&1
    status=$?
    read -r good bad skip < <(sed -nE 's/^.*\b([0-9]+) passed, ([0-9]+) failed(, ([0-9]+) skipped)?.*$/\1 \2 \4/p' "$logs/$name.log" | tail -1)
    if [ $status = 77 ]; then
        report "$name" 0 0 1 "$(tail -2 "$logs/$name.log" | head -1)"
    elif [ -z "${bad:-}" ]; then
        report "$name" 0 1 0 "no figures, see $logs/$name.log"
    else
        if [ $status != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
        report "$name" "$good" "$bad" "${skip:-0}"
    fi
}

# files DIR: one line per file, without those that say how the result was made.
files() { (cd "$1" && find . -type f -printf '%P\n' | grep -v '^glmslim_' | sort | xargs -d '\n' sha256sum); }

# The same bytes as the release build of this machine, for each rung the emulator has.
same_bytes() {
    local work line rung good=0 bad=0
    work=$(mktemp -d)
    { cmake --preset release && cmake --build --preset release; } >>"$logs/aarch64.build" 2>&1 || bad=1
    while read -r line; do
        # shellcheck disable=SC2086 # words of a command line
        for rung in "" $(build/aarch64/emulated/glmslim version | sed -n 's/^instruction sets *\([^;]*\);.*/\1/p'); do
            local program=build/aarch64/emulated/quant_glm out=$work/other
            [ -n "$rung" ] || { program=build/release/quant_glm && out=$work/native; }
            if ! env ${rung:+GLMSLIM_CPU=$rung} $program --quiet --model_path tests/golden/models/tiny-a --save_directory "$out" $line \
                --calib_texts "Some words." "And a few more of them, to have two samples." >"$logs/aarch64.bytes" 2>&1; then
                bad=$((bad + 1))
                echo "aarch64: ${rung:-native}: failed: $line"
            elif [ -n "$rung" ]; then
                if [ "$(files "$work/native")" = "$(files "$out")" ]; then good=$((good + 1)); else
                    bad=$((bad + 1))
                    echo "aarch64: $rung: other bytes: $line"
                fi
                rm -rf "$out"
            fi
        done
        rm -rf "$work/native"
    done <scripts/same_bytes_recipes
    chmod -R u+w "$work"
    rm -rf "$work"
    report "aarch64 bytes" $good $bad 0 "equal to the native build's"
}

# Left out under an emulator and the thread sanitizer: limits of time and memory, programs that look at their own process, and long tests
# of figures, whose code runs in the others. The quality table is a stage of its own.
slow_there='house_checks|e2e_bench|e2e_memory|e2e_max_memory|quant_w4a4_properties|e2e_quality|e2e_preserve|e2e_eval|e2e_combinations|e2e_report_looks'

stage_aarch64() {
    if ! bash scripts/setup.sh aarch64 >"$logs/aarch64.setup" 2>&1; then
        report aarch64 0 0 1 "cannot be installed here, see $logs/aarch64.setup"
        return
    fi
    suite aarch64 aarch64 -E "^($slow_there)\$"
    same_bytes
}

stage_avx512() { call avx512 scripts/avx512.sh; }

stage_tsan() {
    TSAN_OPTIONS=halt_on_error=1 suite tsan tsan -E "^($slow_there|kernels_compute)\$"
}

# One case of every scheme's arithmetic, the whole program under memcheck: wrong reads and writes, unset values, lost memory.
stage_valgrind() {
    if ! command -v valgrind >/dev/null; then
        report valgrind 0 0 1 "valgrind is missing: scripts/setup.sh deep"
        return
    fi
    { cmake --preset debug && cmake --build --preset debug -t glmslim; } >"$logs/valgrind.build" 2>&1 || {
        report valgrind 0 1 0 "the build failed, see $logs/valgrind.build"
        return
    }
    local work
    work=$(mktemp -d)
    # memcheck knows no AVX-512; plain C also keeps its count of unset bits exact
    if GLMSLIM_CPU=c valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect,possible \
        --errors-for-leak-kinds=definite,indirect,possible build/debug/quant_glm --quiet --threads 2 \
        --model_path tests/golden/models/tiny-a --save_directory "$work/out" --act_method 2 --anti_method m2 \
        --use_kvcache_quant True --calib_texts "Some words." >"$logs/valgrind.log" 2>&1; then
        report valgrind 1 0 0
    else
        report valgrind 0 1 0 "see $logs/valgrind.log"
    fi
    chmod -R u+w "$work"
    rm -rf "$work"
}

# Lines executed by the suite in the rooms that read what others wrote, each at least 90 %.
stage_coverage() {
    local room lines run share
    find build/coverage -name '*.gcda' -delete 2>/dev/null
    suite coverage coverage -E '^(house_checks|e2e_bench|e2e_memory|e2e_max_memory)$' --timeout 1800
    for room in io text recipe job; do
        read -r lines run < <(find "build/coverage/CMakeFiles/gs_$room.dir" -name '*.gcda' -print0 |
            xargs -0 gcov -n 2>/dev/null |
            awk -v room="src/$room/" '/^File / { take = index($0, room) && $0 ~ /\.c.$/ }
                take && /^Lines executed:/ { split($0, part, /[:% ]+/); n = part[5]; all += n; run += part[3] * n / 100; take = 0 }
                END { printf "%d %d\n", all, run + 0.5 }')
        share=$(awk -v a="${lines:-0}" -v r="${run:-0}" 'BEGIN { printf "%.1f", a ? 100 * r / a : 0 }')
        if awk -v s="$share" 'BEGIN { exit !(s >= 90) }'; then report "coverage $room" 1 0 0 "$share % of ${lines:-0} lines"
        else report "coverage $room" 0 1 0 "$share % of ${lines:-0} lines, 90 % wanted"; fi
    done
}

stage_quality() {
    { cmake --preset release && cmake --build --preset release; } >"$logs/quality.build" 2>&1
    if bash scripts/quality.sh --check >"$logs/quality.log" 2>&1; then report quality 1 0 0
    else report quality 0 1 0 "see $logs/quality.log"; fi
}

# One line per target; a target passes without a finding.
stage_fuzz() {
    bash scripts/fuzz.sh $((${GS_FUZZ_MINUTES:-30} * 60)) >"$logs/fuzz.log" 2>&1
    local status=$? bad all
    if [ $status = 77 ]; then
        report fuzz 0 0 1 "clang is missing: scripts/setup.sh dev"
        return
    fi
    all=$(grep -c ' executions ' "$logs/fuzz.log")
    bad=$(grep -c 'FINDING' "$logs/fuzz.log")
    if [ $status != 0 ] && [ "$bad" = 0 ]; then bad=1 && all=$((all + 1)); fi
    report fuzz $((all - bad)) "$bad" 0 "see $logs/fuzz.log"
}

stage_kills() { call kills scripts/kills.sh; }
stage_faults() { call faults scripts/faults.sh; }

stages=("$@")
[ ${#stages[@]} -gt 0 ] || read -ra stages <<<"$names"
for stage in "${stages[@]}"; do
    if ! declare -F "stage_$stage" >/dev/null; then
        echo "usage: scripts/deep.sh [STAGE…]; stages: $names" >&2
        exit 2
    fi
done
for stage in "${stages[@]}"; do
    started=$SECONDS
    "stage_$stage"
    echo "    $((SECONDS - started)) s"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
