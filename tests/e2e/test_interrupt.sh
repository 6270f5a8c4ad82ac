#!/bin/bash
# Stopping a run: SIGINT and SIGTERM in the middle end it cleanly with exit 8, whatever it was doing; a killed run leaves a
# work folder that the next run removes. Plain C kernels make the mini model last long enough. SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
export GLMSLIM_CPU=c
yard=$scratch/yard
mkdir "$yard"
calib=$GS_SOURCE_DIR/demo/calib.json

# start DIRECTORY OPTION…: begins a run and waits until its work folder is there. Sets $pid.
start() {
    local out=$1
    shift
    env --default-signal=HUP ${with[@]+"${with[@]}"} "$quant" --model_path "$demo" --save_directory "$yard/$out" --calib_file "$calib" \
        --threads 2 "$@" >"$log" 2>&1 &
    pid=$!
    for _ in {1..600}; do
        [ ! -d "$yard/.$out.glmslim-work/new" ] || return 0
        kill -0 $pid 2>/dev/null || break
        sleep 0.05
    done
    fail "the run did not begin: $(cat "$log")"
    kill -9 $pid 2>/dev/null
}
# stop NAME SIGNAL STATUS: within seconds.
stop() {
    local name=$1 from=$SECONDS got
    kill -"$2" $pid
    wait $pid
    got=$?
    equal "$name: exit code" $got "$3"
    check "$name: at once" test $((SECONDS - from)) -le 20
}

# ignores SIGNAL-NUMBER: does the process?
ignores() { echo $((0x$(sed -n 's/^SigIgn:[[:space:]]*//p' "/proc/$pid/status") >> ($1 - 1) & 1)); }

with=(env --ignore-signal=HUP) # nohup
start out --use_kvcache_quant True
# An emulator takes every signal itself, and keeps what is ignored to itself.
[ "$(binary "$quant")" != "$(readlink -f "$quant")" ] || equal "SIGHUP is ignored" "$(ignores 1)" 1
with=()
stop "SIGINT in the float pass" INT 8
says "SIGINT" "$log" "error: " "interrupted"
equal "SIGINT: left behind" "$(ls -A "$yard")" ""

start out --act_method 2
sleep 1.5
stop "SIGTERM in the calibration" TERM 8
equal "SIGTERM: left behind" "$(ls -A "$yard")" ""

start out --disable_level L3
equal "SIGHUP is not ignored" "$(ignores 1)" 0
kill -HUP $pid # a terminal that closes says so more than once
stop "SIGHUP in the pass before" HUP 8
says "SIGHUP" "$log" "error: " "interrupted"
equal "pass before: left behind" "$(ls -A "$yard")" ""

# With something finished, the folder stays, and the same command goes on.
start out --act_method 2 --checkpoint_interval 0
until [ "$(stat -c %s "$yard/.out.glmslim-work/journal" 2>/dev/null || echo 0)" -gt 4000 ] || ! kill -0 $pid 2>/dev/null; do sleep 0.05; done
stop "SIGINT behind a block" INT 8
says "SIGINT behind a block" "$log" "error: interrupted; run the same command to go on: finished blocks are kept in $yard/.out.glmslim-work"
equal "SIGINT behind a block: left behind" "$(ls -A "$yard")" .out.glmslim-work
env -u GLMSLIM_CPU "$quant" --model_path "$demo" --save_directory "$yard/out" --calib_file "$calib" --threads 1 --act_method 2 >"$log" 2>&1
equal "going on: exit code" $? 0
says "going on" "$log" "blocks are finished"
equal "going on: left behind" "$(ls -A "$yard")" out
rm -r "$yard/out"

# In chunks of rows, with a reader and a writer at work beside it.
"$GLMSLIM" synth --quiet --dir "$scratch/rows" --hidden 1024 --layers 4 --heads 8 --head_dim 128 --ffn 4096 --vocab 96000 >/dev/null ||
    fail "synth"
from=(--model_path "$scratch/rows" --threads 1)
start out --w_bit 8 --a_bit 16 "${from[@]}"
stop "SIGINT in the pass over rows" INT 8
equal "pass over rows: left behind" "$(ls -A "$yard")" ""

# Parents that the run made go with it.
deep=$yard/new/deep
"$quant" --quiet --model_path "$demo" --save_directory "$deep/out" --calib_file "$calib" >"$log" 2>&1 &
pid=$!
until [ -d "$deep/.out.glmslim-work/new" ] || ! kill -0 $pid 2>/dev/null; do sleep 0.05; done
stop "SIGINT, new parents" INT 8
equal "new parents: left behind" "$(ls -A "$yard")" ""

# An existing output stays.
mkdir "$yard/old"
echo old >"$yard/old/data"
start old --overwrite
stop "SIGINT, overwrite" INT 8
equal "overwrite: left behind" "$(cd "$yard" && find . -mindepth 1 | sort | tr '\n' ' ')" "./old ./old/data "
equal "overwrite: the old output" "$(cat "$yard/old/data")" old
rm -r "$yard/old"

# A killed run cannot clean up. Nothing is at the target, a living run is not disturbed, the next one cleans up.
start out
refused_log=$scratch/second
"$quant" --quiet --model_path "$demo" --save_directory "$yard/out" --calib_texts "Some words." >"$refused_log" 2>&1
equal "two runs, one place: exit code" $? 3
says "two runs, one place" "$refused_log" "another run (process $pid, since 20" "wait"
kill -9 $pid
wait $pid 2>/dev/null
equal "killed: exit code" $? 137
equal "killed: left behind" "$(ls -A "$yard")" ".out.glmslim-work"
env -u GLMSLIM_CPU "$quant" --quiet --model_path "$demo" --save_directory "$yard/out" --calib_texts "Some words." >"$log" 2>&1
equal "after the killed run: exit code" $? 0
equal "after the killed run" "$(ls -A "$yard")" "out"

# The other commands that take time.
"$GLMSLIM" synth --quiet --dir "$yard/synth" --hidden 4096 --layers 40 >"$log" 2>&1 &
pid=$!
sleep 0.7
stop "synth" INT 8
equal "synth: left behind" "$(ls -A "$yard")" "out"
head -c 6000 "$GS_SOURCE_DIR/demo/eval.txt" >"$scratch/prompt"
"$GLMSLIM" generate "$demo" --quiet --max_new 500 <"$scratch/prompt" >"$log" 2>&1 &
pid=$!
sleep 0.7
stop "generate" INT 8

finish
