#!/usr/bin/env bash
# Runs the Python of README.md and audits what it writes. Needs PyTorch: that of $PYTHON, or else of a virtual environment
# that is made in target/ and kept there. Without either it says so and succeeds, unless --required is given.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() {
    echo "skipped: $1"
    if [ "${required:-}" ]; then exit 1; else exit 0; fi
}

if [ "${1:-}" = --required ]; then required=yes; fi
python=${PYTHON:-python3}
command -v "$python" > /dev/null || skip "there is no Python"
if ! "$python" -c 'import torch' 2> /dev/null; then
    venv=target/snippet-venv
    if [ ! -x "$venv/bin/python" ]; then
        "$python" -m venv "$venv" 2> /dev/null || skip "no virtual environment can be made"
    fi
    python=$venv/bin/python
    if ! "$python" -c 'import torch' 2> /dev/null; then
        # The build for processors alone is a tenth of the size, but not everywhere to be had.
        "$python" -m pip install --quiet torch --index-url https://download.pytorch.org/whl/cpu 2> /dev/null ||
            "$python" -m pip install --quiet torch 2> /dev/null || skip "PyTorch cannot be installed"
    fi
fi
cargo build --quiet --package neural-collapse-cli
"$python" cli/tests/run_snippet.py "${CARGO_TARGET_DIR:-target}/debug/neural-collapse"
