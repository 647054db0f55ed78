"""Other threads run meanwhile, and Ctrl-C ends what is long."""

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import neuralcollapse as nc

SEARCH = {"loss": "ce", "depth": 4, "weight_decay": 1e-4, "feature_decay": 1e-4, "starts": 100_000}

INTERRUPTED = """
import os, signal, threading, time
import numpy as np
import neuralcollapse as nc

def interrupt():
    time.sleep({delay})
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
start = time.monotonic()
try:
    {work}
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another matter there")
@pytest.mark.parametrize(
    "work",
    [
        f"nc.predict([10] * 12, **{SEARCH})",
        "f = np.zeros((80000, 1024), np.float32); y = np.arange(80000) % 10; f[:, :10] = np.eye(10)[y]\n"
        "    while True: nc.audit(f, y, np.ones((10, 1024)))",
    ],
    ids=["search", "passes"],
)
def test_ctrl_c(work):
    code = INTERRUPTED.format(work=work, delay=2.0)
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "interrupted", done.stderr
    assert time.monotonic() - start < 200


#: Zeros that take no memory as long as they are only read; what is measured of them takes a minute and more.
MANY = """
n = 4_000_000
f, y = np.zeros((n, 512), np.float32), np.arange(n) % 2
decays = {"weight_decay": 1e-3, "feature_decay": 1e-3}
soft = nc.SoftLabels([[0.9, 0.1], [0.2, 0.8]], [n // 2] * 2, **decays)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="pages of zeros are another matter elsewhere")
@pytest.mark.parametrize(
    "work",
    [
        "nc.audit_regression(f, np.zeros((n, 1)), np.ones((1, 512)), **decays)",
        "nc.audit_soft_labels(f, y, np.ones((2, 512)), prediction=soft)",
        "nc.nrc1(f, 1)",
        "nc.balancedness(f, np.ones((1, 512)), **decays)",
    ],
    ids=["regression", "soft labels", "nrc1", "balance"],
)
def test_ctrl_c_ends_a_single_call(work):
    before, after = INTERRUPTED.split("def interrupt")
    code = before + MANY + "def interrupt" + after.format(work=work, delay=1.0)
    code += "print(time.monotonic() - start)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    outcome, *seconds = done.stdout.split()
    assert outcome == "interrupted", done.stderr
    assert float(seconds[0]) < 15


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_progress_is_heard_in_the_order_of_the_work(dtype):
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(60_000, 256)).astype(dtype), np.arange(60_000) % 2
    decays = {"weight_decay": 1e-3, "feature_decay": 1e-3}
    soft = nc.SoftLabels([[0.9, 0.1], [0.2, 0.8]], [30_000] * 2, **decays)

    class Enough(Exception):
        pass

    def ended(work):
        heard = []

        def progress(stage, done, total):
            heard.append((stage, done, total))
            raise Enough

        with pytest.raises(Enough):
            while True:  # what is done before anybody looks has to be done again
                work(progress)
        (stage, done, total) = heard[0]
        assert isinstance(stage, str) and 0 < done <= total == 60_000

    ended(lambda progress: nc.audit_soft_labels(features, labels, np.ones((2, 256)), prediction=soft, progress=progress))
    ended(lambda progress: nc.nrc1(features, 2, progress=progress))
    ended(lambda progress: nc.nrc2(features, np.ones((1, 256)), progress=progress))
    ended(lambda progress: nc.balancedness(features, np.ones((1, 256)), progress=progress, **decays))
    targets = rng.normal(size=(60_000, 1))
    ended(lambda progress: nc.audit_regression(features, targets, np.ones((1, 256)), progress=progress, **decays))


def test_a_callback_can_end_a_search():
    class Enough(Exception):
        pass

    heard = []

    def progress(stage, done, total):
        heard.append((stage, done, total))
        assert threading.current_thread() is threading.main_thread()
        raise Enough

    with pytest.raises(Enough):
        nc.predict([10] * 12, progress=progress, **SEARCH)
    assert len(heard) == 1 and heard[0][2] is not None


def test_other_threads_run_meanwhile():
    """A thread that counts goes on while the library works."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(40_000, 512)), np.arange(40_000) % 10
    counted, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += 1
            time.sleep(1e-4)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        seen = []
        for _ in range(5):
            before = counted[0]
            nc.audit(features, labels, rng.normal(size=(10, 512)))
            seen.append(counted[0] - before)
    finally:
        stop.set()
        thread.join()
    assert max(seen) > 10, seen


def test_handlers_of_signals_are_left_alone():
    before = signal.getsignal(signal.SIGINT)
    nc.predict([10] * 4, loss="ce", depth=2, weight_decay=1e-3, feature_decay=1e-3, starts=2)
    assert signal.getsignal(signal.SIGINT) is before
