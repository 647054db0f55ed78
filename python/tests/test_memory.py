"""Features are not copied: the peak memory of the process tells."""

import subprocess
import sys

import pytest

CODE = """
import numpy as np
import neuralcollapse as nc

def memory(field):
    for line in open("/proc/self/status"):
        if line.startswith(field):
            return int(line.split()[1]) / 1000

rng = np.random.default_rng(0)
features = np.empty((60_000, 512), np.{dtype})
labels = np.arange(60_000) % 10
for i in range(0, 60_000, 1000):
    features[i : i + 1000] = rng.normal(size=(1000, 512)) + labels[i : i + 1000, None]
weights = rng.normal(size=(10, 512))
targets = rng.normal(size=(60_000, 2))
soft = nc.SoftLabels(np.full((10, 2), 0.5), [6000] * 10, weight_decay=1e-3, feature_decay=1e-3)
decays = {{"weight_decay": 1e-3, "feature_decay": 1e-3}}
known = nc.FirstPass(512, 10)
known.add(features, labels)
neco = nc.Neco(known)
nc.audit(features[:2000], labels[:2000], weights)
open("/proc/self/clear_refs", "w").write("5")
before = memory("VmRSS")
{work}
print(memory("VmHWM") - before, features.nbytes / 1e6)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "work",
    [
        "nc.nc1(features, labels)",
        "nc.audit(features, labels, weights)",
        "nc.nc1(memoryview(features), labels)",
        "nc.audit_regression(features, targets, weights[:2], **decays)",
        "nc.audit_soft_labels(features, labels, weights[:2], prediction=soft)",
        "nc.nrc1(features, 2)",
        "nc.nrc2(features, weights)",
        "nc.balancedness(features, weights, **decays)",
        "neco.scores(features)",
        "nc.nci_scores(features, known, weights)",
    ],
)
def test_peak_memory(dtype, work):
    code = CODE.format(dtype=dtype, work=work)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak, size = map(float, done.stdout.split())
    assert size > 100 and peak < size / 4, (peak, size)
