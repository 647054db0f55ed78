#!/usr/bin/env bash
# Runs the Python of README.md and audits what it writes. Needs PyTorch: that of $PYTHON, of the tests of the Python package,
# or else of a virtual environment that is made in target/ and kept there. Without any it says so and succeeds, unless
# --required is given.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() {
    echo "skipped: $1"
    if [ "${required:-}" ]; then exit 1; else exit 0; fi
}

has_torch() {
    "$1" -c 'import torch' 2> /dev/null
}

if [ "${1:-}" = --required ]; then required=yes; fi
own=target/snippet-venv
python=
for candidate in "${PYTHON:-python3}" "${NC_PYTHON_ENGINES:-python/target/engines/bin/python}" "$own/bin/python"; do
    if has_torch "$candidate"; then
        python=$candidate
        break
    fi
done
if [ ! "$python" ]; then
    command -v "${PYTHON:-python3}" > /dev/null || skip "there is no Python"
    "${PYTHON:-python3}" -m venv "$own" 2> /dev/null || skip "no virtual environment can be made"
    python=$own/bin/python
    # Some gigabytes; NC_PYTHON_INDEX may name an index with a build for processors alone, a tenth of the size.
    timeout 1200 "$python" -m pip install --quiet ${NC_PYTHON_INDEX:+--index-url "$NC_PYTHON_INDEX"} torch 2> /dev/null ||
        skip "PyTorch cannot be installed"
fi
cargo build --quiet --package neural-collapse-cli
"$python" cli/tests/run_snippet.py "${CARGO_TARGET_DIR:-target}/debug/neural-collapse"
