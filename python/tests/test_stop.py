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
