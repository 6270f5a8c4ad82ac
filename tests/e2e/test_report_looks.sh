#!/bin/bash
# The page as a browser shows it: on a phone and on a desk, light and dark, nothing wider than the window. Needs chromium.
# SPDX-License-Identifier: Apache-2.0
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ]; then
    echo "SKIP: no chromium here; scripts/setup.sh browser installs Debian's"
    exit 77
fi
page=$scratch/page.html
"$quant" --quiet --model_path "$demo" --save_directory "$scratch/out" --act_method 2 --anti_method m2 --calib_file "$GS_SOURCE_DIR/demo/calib.json" \
    --report "$page" >"$log" 2>&1 || fail "quant: $(cat "$log")"

# chrome OPTION…: headless, no profile of anybody, no network.
chrome() {
    local root=()
    [ "$(id -u)" = 0 ] && root=(--no-sandbox)
    timeout 120 "$browser" --headless ${root[@]+"${root[@]}"} --disable-gpu --hide-scrollbars --no-first-run --user-data-dir="$scratch/profile" \
        --host-resolver-rules="MAP * ~NOTFOUND" "$@" 2>"$log"
}
if ! chrome --dump-dom "data:text/html,<p>hello</p>" | grep -q '<p>hello</p>'; then
    echo "SKIP: $browser does not start here: $(tail -2 "$log")"
    exit 77
fi

# shot NAME WIDTH DARK: a screenshot with content.
shot() {
    local name=$1 width=$2 scheme=$3 file=$scratch/$1.png
    chrome --blink-settings=preferredColorScheme="$scheme" --window-size="$width",2400 --screenshot="$file" "file://$page" >/dev/null ||
        fail "$name: $(tail -3 "$log")"
    equal "$name: width" "$(od -An -tu1 -j16 -N4 "$file" 2>/dev/null | awk '{ print ($1 * 256 + $2) * 65536 + $3 * 256 + $4 }')" "$width"
    check "$name: something is on it" test "$(stat -c %s "$file" 2>/dev/null || echo 0)" -gt 40000
}
shot phone 390 1
shot dark 390 0
shot desk 1280 1
check "dark is not light" test "$(sha256sum <"$scratch/phone.png")" != "$(sha256sum <"$scratch/dark.png")"

# The page itself has no script; a copy in a frame as wide as a phone tells how wide it is, with everything unfolded.
sed -e 's/<details>/<details open="open">/g' \
    -e 's|</body>|<script>parent.postMessage(document.documentElement.scrollWidth, "*")</script></body>|' "$page" >"$scratch/inner.html"
echo '<iframe src="inner.html" width="390" height="800" style="border: 0"></iframe>
<script>onmessage = e => { document.title = "wide " + e.data }</script>' >"$scratch/outer.html"
equal "nothing wider than a phone" "$(chrome --virtual-time-budget=5000 --dump-dom "file://$scratch/outer.html" | grep -o '<title>wide [0-9]*')" \
    "<title>wide 390"

[ -n "${GS_KEEP_SHOTS:-}" ] && cp "$scratch"/*.png "$GS_KEEP_SHOTS"
finish
