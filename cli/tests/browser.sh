#!/usr/bin/env bash
# Looks at the pages of `report` in a headless Chromium: see browser.mjs. Skipped, which it says, where there is no browser
# and none can be installed.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() {
    echo "skipped: $1"
    exit 0
}

find_browser() {
    command -v chromium || command -v chromium-browser || command -v google-chrome || true
}

missing=()
[ -n "$(find_browser)" ] || missing+=(chromium fonts-dejavu-core)
command -v node >/dev/null && command -v npm >/dev/null || missing+=(nodejs npm)
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq >/dev/null 2>&1 && apt-get install -y -qq --no-install-recommends "${missing[@]}" \
        >/dev/null 2>&1 || true
fi
browser=$(find_browser)
[ -n "$browser" ] || skip "there is no Chromium, and Debian's package cannot be installed"
command -v node >/dev/null && command -v npm >/dev/null || skip "there is no Node.js to drive the browser with"

folder=target/browser
mkdir -p "$folder"
if [ ! -d "$folder/node_modules/puppeteer-core" ]; then
    npm install --silent --no-fund --no-audit --prefix "$folder" puppeteer-core@25 >/dev/null 2>&1 ||
        skip "puppeteer-core cannot be installed"
fi

program=${NEURAL_COLLAPSE:-target/release/neural-collapse}
[ -x "$program" ] || cargo build --quiet --release --package neural-collapse-cli
report() {
    "$program" report "${@:2}" -o "$folder/$1.html"
}
report digits_m3 data/digits_m3.safetensors
report minority data/minority_collapse_m1.safetensors
report octahedron data/direct_ce_octahedron_m2.safetensors
report no_decays data/digits_m1.npz
report training --trajectory data/trajectory/epoch_*.safetensors --learning-rate 0.1
"$program" plot report --loss ce --counts 500x2,100x2,20x4 --depth 1 --weight-decay 5e-3 --feature-decay 5e-3 \
    -o "$folder/prediction_merging.html"
"$program" plot report --counts 100x5 --depth 2 --weight-decay 5e-3 --feature-decay 5e-3 -o "$folder/prediction_tail.html"
"$program" plot report --counts 200,100,50,50 --depth 3 --weight-decay 5e-4 --feature-decay 5e-4 \
    -o "$folder/prediction.html"
"$program" plot report --loss ce --counts 100x4 --depth 2 --weight-decay 5e-3 --feature-decay 5e-3 \
    -o "$folder/prediction_ce.html"
BROWSER=$browser FOLDER=$folder node cli/tests/browser.mjs "$folder"/*.html
