# Shared by the end-to-end tests, which source it: a scratch directory, a small synthetic model, and checks that count.
# A test ends with `finish`. SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
set -u
export LC_ALL=C.UTF-8
: "${GLMSLIM:?the path of the program}" "${SURGEON:?the path of the surgeon}" "${GS_SOURCE_DIR:?the source directory}"
quant=$(dirname "$GLMSLIM")/quant_glm
demo=$GS_SOURCE_DIR/demo/glm4-mini
scratch=$(mktemp -d)
trap 'chmod -R u+w "$scratch" 2>/dev/null; rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM
checks=0
failures=0
sanitized=no
"$GLMSLIM" version | grep -q 'address sanitizer' && sanitized=yes
heavy=$sanitized # takes more time and address space: sanitizers and emulators
[ "${GS_PATIENCE:-1}" = 1 ] || heavy=yes

exec 9>&1 # a check whose output goes to a log complains on the screen all the same
fail() {
    echo "FAIL $*" >&9
    failures=$((failures + 1))
}

# check NAME COMMAND…: the command must succeed.
check() {
    local name=$1 text
    shift
    checks=$((checks + 1))
    "$@" || { text=$*; fail "$name: ${text:0:300}"; }
}

# equal NAME GOT WANTED
equal() {
    checks=$((checks + 1))
    [ "$2" = "$3" ] || fail "$1: got '$2', expected '$3'"
}

# binary PROGRAM: its file; where it is a script that starts the program in an emulator, the file that the script starts.
binary() {
    local file
    file=$(readlink -f "$1")
    if [ "$(head -c 2 "$file" | tr -d '\0')" = '#!' ]; then file=$(sed -n 's/^exec .* \([^ ]*\) "$@"$/\1/p' "$file"); fi
    readlink -f "$file"
}

# The mini model's calibration samples; under a sanitizer or emulator, which is not there for the figures, the first quarter.
samples() {
    local all=$GS_SOURCE_DIR/demo/calib.json
    if [ $heavy = yes ]; then
        head -n 64 "$all" >"$scratch/samples.json" && printf ' }\n]\n' >>"$scratch/samples.json"
        all=$scratch/samples.json
    fi
    echo "$all"
}

# near NAME GOT WANTED SHARE: relative distance.
near() {
    checks=$((checks + 1))
    awk -v a="$2" -v b="$3" -v s="$4" 'BEGIN { d = a - b; if (d < 0) d = -d; m = b < 0 ? -b : b; exit !(a != "" && d <= s * m) }' ||
        fail "$1: got '$2', expected $3 within $4"
}

# says NAME FILE TEXT…: the file contains every text; line breaks count as blanks.
says() {
    local name=$1 text word
    checks=$((checks + 1))
    text=$(tr -s '[:space:]' ' ' <"$2")
    shift 2
    for word in "$@"; do
        [[ $text == *"$word"* ]] || fail "$name: nothing says '$word': ${text:0:600}"
    done
}

# A new tiny model in $scratch/NAME: 4 shards, an index, a tokenizer. Further words go to synth.
tiny() {
    local to=$scratch/$1
    shift
    rm -rf "$to"
    "$GLMSLIM" synth --quiet --dir "$to" --hidden 64 --layers 2 --heads 4 --head_dim 16 --ffn 128 --vocab 512 \
        --shard_bytes 100000 "$@" >/dev/null || fail "synth $to"
}

# The number that follows a key in a JSON file written by the program (one key per line).
json_number() { sed -n "s/^ *\"$2\": *\([-0-9.eE+]*\),*\$/\1/p" "$1" | head -1; }

# refused NAME STATUS TEXT… -- ARGUMENT…: quant_glm refuses, says every text, and leaves nothing behind. The output is
# asked for as `out` in a fresh directory, which must stay empty. The log is in $log.
log=$scratch/log
refused() {
    local name=$1 status=$2 texts=() got place=$scratch/place
    shift 2
    while [ "$1" != -- ]; do
        texts+=("$1")
        shift
    done
    shift
    rm -rf "$place"
    mkdir "$place"
    (
        cd "$place" || exit 99
        # No file, however it lies about sizes, may cost much memory. (Emulators and sanitizers reserve more.)
        [ $heavy = yes ] || ulimit -v 3000000
        timeout $((120 * ${GS_PATIENCE:-1})) "$quant" --save_directory out "$@"
    ) >"$log" 2>&1
    got=$?
    equal "$name: exit code" $got "$status"
    says "$name" "$log" "error: " ${texts[@]+"${texts[@]}"}
    [ "$got" = "$status" ] || head -c 3000 "$log"
    equal "$name: left behind" "$(ls -A "$place")" ""
}

# digest DIR: one line per file, name and content, without anything that may differ between directories.
digest() { (cd "$1" && find . -type f -printf '%P\n' | sort | xargs -d '\n' sha256sum); }

# model DIR: the same without the two files that say how the result was made, for results that are equal but made differently.
model() { digest "$1" | grep -v '  glmslim_'; }

# least THREADS OPTION…: the least limit of memory that the program names.
least() { "$quant" --quiet --dry_run --threads "$@" --max_memory 1M 2>&1 | sed -n 's/.* needs \([0-9]*M\);.*/\1/p'; }

finish() {
    echo "$(basename "$0"): $checks checks, $failures failed"
    [ $failures = 0 ] && [ $checks -gt 0 ]
}
