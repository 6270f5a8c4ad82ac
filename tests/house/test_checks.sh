#!/bin/bash
# A check that never complains checks nothing: each rule of scripts/check_rooms.sh and check_style.sh is broken in a small tree,
# and the check must name it; the tree without the break must pass. SPDX-License-Identifier: Apache-2.0
set -u
scripts=$(cd "$(dirname "$0")/../../scripts" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
passed=0
failed=0

# A tree of two rooms in which everything is right.
good_tree() {
    rm -rf "${tree:?}"/*
    mkdir -p "$tree"/src/low "$tree"/src/high "$tree"/include "$tree"/tests/unit/low "$tree"/scripts
    printf 'low  lowest\nhigh highest\n' >"$tree/src/ROOMS"
    printf '# kind what reason\n' >"$tree/scripts/style_exceptions"
    cat >"$tree/src/low/a.h" <<'C'
/* A header. SPDX-License-Identifier: Apache-2.0 */
#ifndef A_H
#define A_H
int gs_a(int x);
#endif
C
    cat >"$tree/src/low/a.c" <<'C'
/* Says strcpy( and exp( only in a comment. SPDX-License-Identifier: Apache-2.0 */
#include "low/a.h"

static const char *const text = "system(\"no call\"); // /* strcat(";

int gs_a(int x)
{
    return x + text[0];
}
C
    cat >"$tree/src/high/b.c" <<'C'
/* Includes what is above it in the list. SPDX-License-Identifier: Apache-2.0 */
#include "low/a.h"
C
}

# expect CHECK TEXT: the check fails and says TEXT; without TEXT it passes.
expect() {
    local check=$1 text=${2:-} out status
    out=$(bash "$scripts/$check" "$tree" 2>&1)
    status=$?
    if { [ -z "$text" ] && [ $status = 0 ]; } || { [ -n "$text" ] && [ $status != 0 ] && grep -qF -- "$text" <<<"$out"; }; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$check: expected '${text:-no complaint}', got status $status: $out" >&2
    fi
}
append() { # FILE TEXT
    good_tree
    printf '%b' "$2" >>"$tree/$1"
}

good_tree
expect check_rooms.sh
expect check_style.sh
append src/low/a.c '#include "high/b.h"\n' && expect check_rooms.sh 'low/ may not include high/b.h'
append src/high/b.c '#include "elsewhere/c.h"\n' && expect check_rooms.sh 'is in no room'
append src/high/b.c '#include <jansson.h>\n' && expect check_rooms.sh '<jansson.h> belongs to io/'
append tests/unit/low/test_a.c '#include "high/b.h"\n' && expect check_rooms.sh 'low/ may not include high/b.h'
good_tree && mkdir "$tree/src/attic" && expect check_rooms.sh 'src/attic is not listed'

append src/low/a.c 'void f(char *s)\n{\n    strcpy(s, text);\n}\n' && expect check_style.sh 'src/low/a.c:12:    strcpy(s, text);: banned'
append src/low/a.c 'double g(double x) { return exp(x); }\n' && expect check_style.sh 'libm function'
append src/low/a.c '/* a\xe2\x80\x8bb */\n' && expect check_style.sh 'invisible character'
append src/low/a.c 'int x; \n' && expect check_style.sh 'blank at the end'
append src/low/a.c '\tint x;\n' && expect check_style.sh 'tab'
append src/low/a.c 'int x;' && expect check_style.sh 'no newline at the end'
append src/low/a.c '/* see /home''/me/notes */\n' && expect check_style.sh "a machine's path"
good_tree && printf 'int x;\n' >"$tree/src/low/c.c" && expect check_style.sh 'no SPDX line'
append src/low/a.h 'gs_unknown_type gs_b(void);\n' && expect check_style.sh 'does not compile alone'
append src/low/a.c "$(printf '/* x */%.0s\\n' $(seq 600))\n" && expect check_style.sh 'lines (at most 600'
long="void f(int x)\n{\n$(printf '    x++;%.0s\\n' $(seq 81))\n}\n"
append src/low/a.c "$long" && expect check_style.sh 'f() has 82 lines'
printf 'function-lines src/low/a.c:f it is a table\n' >>"$tree/scripts/style_exceptions" && expect check_style.sh
printf 'function-lines src/low/gone.c:f it is a table\n' >>"$tree/scripts/style_exceptions" && expect check_style.sh 'does not exist any more'

echo "$passed passed, $failed failed"
[ $failed = 0 ]
