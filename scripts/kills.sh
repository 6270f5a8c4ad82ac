#!/bin/bash
# Kills runs and lets the same command go on, until each is done; compares every byte with an undisturbed run.
#   scripts/kills.sh [N]         N runs (default 50) on the small model in demo/, the documented recipe and others in turn, each killed
#                                (SIGKILL) at a random moment and, as chance has it, again and again while it goes on
#   scripts/kills.sh --wide [N]  N runs (default 20) on a synthetic model as wide as GLM-4-9B: 2 layers, 512 tokens, few words
#   scripts/kills.sh --power [N] N power failures: what was not synced is lost, wholly or here and there, one in three while the
#                                journal is written; a tiny model, and one whose records span pages
# Prints a line per recipe and "N passed, N failed". GLMSLIM, BUILD: the program, the build directory; SEED: other moments.
# SPDX-License-Identifier: Apache-2.0
set -u
export LC_ALL=C.UTF-8
cd "$(dirname "$0")/.." || exit 1
mode=demo
case ${1-} in --wide | --power) mode=${1#--} && shift ;; esac
count=${1:-$([ $mode = wide ] && echo 20 || echo 50)}
build=${BUILD:-build/release}
program=${GLMSLIM:-$build/glmslim}
crash=$build/tests/libcrash.so
[ -x "$program" ] || { echo "kills: no $program: build first" >&2; exit 1; }
RANDOM=${SEED:-$$}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' INT TERM
passed=0
failed=0

flagship="--act_method 2 --use_kvcache_quant True"
case $mode in
demo)
    model=demo/glm4-mini
    texts=$place/texts
    for i in {1..10}; do for j in {1..12}; do printf 'The kernel starts program %d of %d. ' "$j" "$i"; done; echo; done >"$texts"
    recipes=("$flagship" "--w_bit 8 --a_bit 16" "$flagship" "--w_bit 4 --a_bit 4 --is_dynamic True" "$flagship"
        "--anti_method m6 --use_kvcache_quant True" "$flagship" "--disable_level L3 --act_method 3 --anti_method m4"
        "$flagship" "$flagship --max_memory 45M" "--do_smooth True --disable_last_linear False"
        "--is_lowbit True --disable_level L2 --part_file_size 1")
    ;;
wide)
    model=$place/model
    texts=$place/texts
    recipes=("$flagship --anti_method m2 --anti_file $texts" "--w_bit 8 --a_bit 16" "$flagship --max_memory 2200M")
    "$program" synth --quiet --dir "$model" --hidden 4096 --layers 2 --heads 32 --head_dim 128 --groups 2 --ffn 13696 --vocab 1024 >/dev/null ||
        exit 1
    for i in {1..8}; do for j in {1..4}; do printf 'word %d and %d, ' $((i * 37)) $((j * 91)); done; echo "so it ends."; done >"$texts"
    ;;
power)
    model=$place/model
    texts=$place/texts
    recipes=("$flagship" "--w_bit 8 --a_bit 16" "--disable_level L2 --anti_method m4" "--w_bit 4 --a_bit 4 --is_dynamic True")
    [ -e "$crash" ] || { echo "kills: no $crash: build the tests first" >&2; exit 1; }
    "$program" synth --quiet --dir "$model" --hidden 64 --layers 4 --heads 4 --head_dim 16 --ffn 128 --vocab 512 --shard_bytes 100000 >/dev/null ||
        exit 1
    "$program" synth --quiet --dir "$place/wide" --hidden 256 --layers 3 --heads 4 --head_dim 64 --ffn 512 --vocab 512 >/dev/null || exit 1
    for i in {1..20}; do echo "The quick brown fox jumps over the lazy dog number $i."; done >"$texts"
    ;;
esac

yard=$place/yard
log=$place/log
# quantize OPTION…
quantize() {
    "$program" quant --quiet --model_path "$model" --calib_file "$texts" --checkpoint_interval 0 --save_directory "$yard/out" "$@" >"$log" 2>&1
}
fresh() {
    rm -rf "$yard" "$yard".*
    mkdir "$yard"
}
digest() { (cd "$yard" && find . -printf '%P %m\n' | sort && find . -type f | sort | xargs -d '\n' sha256sum); }
# bytes DIR [CONDITION…]: of its files.
bytes() { find "$@" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }'; }
now() { date +%s%N; }

# Run number $1 of $2 fails: at a call of that share of all, more or less, or at a sync of the journal.
fail_power() {
    local calls syncs how=mix moment
    read -r calls syncs <"$place/calls"
    moment=CRASH_AT=$((($1 * calls + RANDOM % calls) / $2 + 1))
    case $(($1 % 3)) in
    0) how=lose ;;
    1) moment=CRASH_SYNC=$((RANDOM % syncs + 1)) ;;
    esac
    (export CRASH_DIR=$yard "${moment?}" CRASH_HOW=$how CRASH_SEED=$RANDOM LD_PRELOAD=$crash && quantize "${options[@]}")
}

# What the folder of a killed run holds: `most` bytes in all, `most_beside` without the journal and two files of a line; and what a
# generation of each stream has.
judge_folder() {
    local folder=$yard/.out.glmslim-work name size all
    [ -e "$folder" ] || return 0
    while read -r name size; do
        name=${name%.[01]}
        [ "$size" -le "${generation[$name]-0}" ] || generation[$name]=$size
    done < <(find "$folder" -name '*-stream.[01]' -printf '%f %s\n')
    all=$(bytes "$folder")
    [ "$all" -le $most ] || most=$all
    all=$((all - $(bytes "$folder" -maxdepth 1 \( -name journal -o -name lock -o -name begun \))))
    [ "$all" -le $most_beside ] || most_beside=$all
}

# Kill until done, the last time not. Says how often.
kill_until_done() {
    kills=0
    local limit=$((RANDOM % 3 + 1)) status
    while [ $kills -lt $limit ]; do
        # A moment of the time an undisturbed run takes, or a little after; not before the program has begun.
        local wait=$((RANDOM * 32768 + RANDOM))
        wait=$((wait % (lasts * 11 / 10)))
        "$program" quant --quiet --model_path "$model" --calib_file "$texts" --checkpoint_interval 0 --save_directory "$yard/out" \
            "${options[@]}" >"$log" 2>&1 &
        local pid=$!
        sleep $((wait / 1000000000)).$(printf %09d $((wait % 1000000000)))
        kill -9 $pid
        wait $pid # until it is gone, and with it its lock
        status=$?
        [ $status = 137 ] || return $status
        kills=$((kills + 1))
        judge_folder
        [ ! -e "$yard/out" ] || break # it has come through all the same
    done
    quantize "${options[@]}" && return
    # Killed behind its last rename, it was done: then the directory is not empty, and only the folder was to be cleared away.
    [ -e "$yard/out" ] && grep -q "is not empty" "$log"
}

all_kills=0
for ((r = 0; r < ${#recipes[@]}; r++)); do
    n=$(((count + ${#recipes[@]} - 1 - r) / ${#recipes[@]}))
    [ $n -gt 0 ] || continue
    case $mode:${recipes[r]} in
    power:*anti*) model=$place/wide ;;
    power:*) model=$place/model ;;
    esac
    read -r -a options <<<"${recipes[r]}"
    fresh
    from=$(now)
    if [ $mode = power ]; then
        CRASH_DIR=$yard CRASH_COUNT=$place/calls LD_PRELOAD=$crash quantize "${options[@]}"
    else
        quantize "${options[@]}"
    fi || { cat "$log"; exit 1; }
    lasts=$(($(now) - from))
    expected=$(digest)
    result_bytes=$(bytes "$yard/out")
    most=0
    most_beside=0
    declare -A generation=()
    good=0
    recipe_kills=0
    for ((i = 0; i < n; i++)); do
        fresh
        if [ $mode = power ]; then
            kills=1
            fail_power $i $n 2>/dev/null
            rm -rf "$yard.gone"
            [ -e "$yard/out" ] || quantize "${options[@]}"
            [ -e "$yard/.out.glmslim-work" ] && quantize "${options[@]}"
        else
            kill_until_done 2>/dev/null
        fi
        recipe_kills=$((recipe_kills + kills))
        if [ "$(digest)" = "$expected" ]; then
            good=$((good + 1))
        else
            echo "FAIL ${recipes[r]}, run $i, killed $kills times:"
            head -c 1000 "$log"
            diff <(echo "$expected") <(digest) | head -10
        fi
    done
    passed=$((passed + good))
    failed=$((failed + n - good))
    all_kills=$((all_kills + recipe_kills))
    # Allowed are the result and two generations of each stream; the journal comes on top where a run has no streams.
    allowed=$result_bytes
    for size in "${generation[@]}"; do allowed=$((allowed + 2 * size)); done
    folder=", folder $most bytes of $allowed"
    [ $mode != power ] || folder= # not looked at
    if [ "$most_beside" -gt "$allowed" ]; then
        echo "FAIL ${recipes[r]}: a folder of $most_beside bytes beside the journal, $allowed allowed"
        failed=$((failed + 1))
    fi
    echo "${recipes[r]//$place\//}: $good of $n, killed $recipe_kills times, a run takes $((lasts / 1000000)) ms$folder"
done
echo "kills ($mode, $all_kills of them): $passed passed, $failed failed"
[ $failed = 0 ]
