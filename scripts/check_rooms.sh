#!/bin/bash
# Holds the tree to src/ROOMS: a file includes its own room and rooms listed above it, never one below; every folder under
# src/ is a listed room; a third-party library is named in one room only. SPDX-License-Identifier: Apache-2.0
set -eu
cd "${1:-$(dirname "$0")/..}"

fail=0
complain() {
    echo "rooms: $*" >&2
    fail=1
}
rooms=$(awk '/^[a-z]/ { print $1 }' src/ROOMS)
for folder in src/*/; do
    room=$(basename "$folder")
    grep -qx "$room" <<<"$rooms" || complain "src/$room is not listed in src/ROOMS"
done

# "file:line:include" of every include, then one awk that knows the order.
find src tests/unit -name '*.[ch]' -print0 | xargs -0 -r grep -nHE '^[[:space:]]*#[[:space:]]*include' |
    awk -v rooms="$rooms" '
    BEGIN {
        n = split(rooms, list, "\n")
        for (i = 1; i <= n; i++) rank[list[i]] = i
        home["jansson.h"] = "io"
        home["openssl/evp.h"] = "io"
    }
    {
        split($0, part, ":")
        file = part[1]
        line = part[2]
        split(file, step, "/")
        mine = step[1] == "src" ? step[2] : step[3]
        test = step[1] == "tests"
        if (!(mine in rank)) { print "rooms: " file ": not in a listed room"; bad = 1; next }
        if (match($0, /"[^"]+"/)) {
            header = substr($0, RSTART + 1, RLENGTH - 2)
            if (header == "glmslim.h" || header !~ /\//) next
            theirs = header
            sub(/\/.*/, "", theirs)
            if (!(theirs in rank)) {
                if (!test) { print "rooms: " file ":" line ": \"" header "\" is in no room"; bad = 1 }
            } else if (rank[theirs] > rank[mine]) {
                print "rooms: " file ":" line ": " mine "/ may not include " header " (" theirs "/ is below it in src/ROOMS)"
                bad = 1
            }
        } else if (match($0, /<[^>]+>/) && !test) {
            header = substr($0, RSTART + 1, RLENGTH - 2)
            if (header in home && home[header] != mine) {
                print "rooms: " file ":" line ": <" header "> belongs to " home[header] "/"
                bad = 1
            }
        }
    }
    END { exit bad }' >&2 || fail=1

[ $fail = 0 ] && echo "rooms: $(wc -l <<<"$rooms") rooms, includes follow src/ROOMS"
exit $fail
