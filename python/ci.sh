#!/usr/bin/env bash
# Builds the wheel and the source distribution, installs the wheel in a fresh virtual environment and runs the tests.
#
#     python/ci.sh            everything
#     python/ci.sh --quick    without the notebooks and the builds from the source distribution
#
# It needs Python 3.10 or later with venv, and says so and does nothing where there is none. NumPy, PyTorch, Dask, Spark
# and the others are installed by pip once, in an environment that is kept below the target folder (about 8 GB with
# PyTorch from PyPI; NC_PYTHON_INDEX names another index, such as one with a build for processors alone); NC_PYTHON_ENGINES
# names a Python that has them already. Tests of an engine that is not there are skipped, and pytest says which.
set -euo pipefail
cd "$(dirname "$0")"

python=
for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10 python; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "python: skipped, as there is no Python 3.10 or later with venv here"
    exit 0
fi

target="${NC_PYTHON_TARGET:-$PWD/target}"
mkdir -p "$target"
engines="${NC_PYTHON_ENGINES:-$target/engines/bin/python}"
if [ ! -x "$engines" ]; then
    echo "== installing the engines that the tests use in $target/engines"
    "$python" -m venv "$target/engines"
    "$engines" -m pip install --quiet --requirement requirements.txt
    # Pages of many gigabytes are better asked for than guessed: without PyTorch or Spark their tests are skipped.
    timeout 1200 "$engines" -m pip install --quiet ${NC_PYTHON_INDEX:+--index-url "$NC_PYTHON_INDEX"} torch ||
        echo "python: PyTorch could not be installed; its tests are skipped"
    timeout 600 "$engines" -m pip install --quiet pyspark ||
        echo "python: Spark could not be installed; its tests are skipped"
fi

# Spark runs on Java.
if ! command -v java > /dev/null && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    apt-get update -qq > /dev/null 2>&1 && apt-get install -y -qq --no-install-recommends default-jre-headless \
        > /dev/null 2>&1 || echo "python: Java could not be installed; the tests of Spark are skipped"
fi

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

export CARGO_TARGET_DIR="$target"
step cargo fmt --check
step cargo clippy -- -D warnings
rm -rf "$target/dist" "$target/fresh"
step "$engines" -m maturin build --release --quiet --out "$target/dist"
step "$engines" -m maturin sdist --out "$target/dist"
# Nothing but the wheel and NumPy: what is promised to need no more is imported with no more.
step "$python" -m venv "$target/fresh"
fresh="$target/fresh/bin/python"
# Files alone, no index: this is how it is installed without a network.
"$engines" -m pip download --quiet --dest "$target/dist" --only-binary :all: numpy
step "$fresh" -m pip install --quiet --no-index --find-links "$target/dist" neuralcollapse
cd tests
step "$fresh" -c 'import neuralcollapse as nc; print(nc.predict([200, 100, 50, 50], depth=3, weight_decay=5e-4, feature_decay=5e-4))'
cd ..
# The engines beside it; what is in the fresh environment comes first.
"$engines" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$target/engines.path"
cp "$target/engines.path" "$("$fresh" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/engines.pth"
# From another folder, so that what is imported is the wheel and not the sources.
cd tests
step "$fresh" -m pytest --quiet -p no:cacheprovider .
step "$fresh" -m mypy.stubtest neuralcollapse._core --allowlist stubtest.txt
cd ..
step "$fresh" -m mypy
step "$fresh" -m pyright --pythonpath "$fresh"
[ "${1:-}" = --quick ] && exit 0
step "$fresh" notebooks/run.py --check
# The source distribution has the Rust sources in it; crates come from cargo's own cache, as there is no index.
rm -rf "$target/from-source"
step "$python" -m venv "$target/from-source"
cp "$target/engines.path" "$("$target/from-source/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/engines.pth"
PATH="$(dirname "$engines"):$PATH" CARGO_NET_OFFLINE=true step "$target/from-source/bin/python" -m pip install --quiet \
    --no-index --no-build-isolation --no-deps --ignore-installed "$target"/dist/neuralcollapse-*.tar.gz
cd tests
step "$target/from-source/bin/python" -c 'import neuralcollapse; print(neuralcollapse.__version__)'
