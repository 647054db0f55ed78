import numpy as np
import pytest
from conftest import network

import neuralcollapse as nc

pytest.importorskip("matplotlib")


def drawn(figure, path):
    figure.savefig(path)
    assert path.stat().st_size > 1000
    return figure.axes


def test_predictions(tmp_path):
    prediction = nc.predict([200, 100, 50, 50], depth=3, weight_decay=5e-4, feature_decay=5e-4)
    axes = drawn(prediction.plot(), tmp_path / "prediction.png")
    norms = axes[0].lines[0].get_ydata()
    assert list(norms) == [row["classifier_norm_squared"] for row in prediction.class_table()]
    assert axes[1].images[0].get_array()[0, 1] == 0.0
    spectra = [line.get_ydata().tolist() for line in axes[2].lines]
    assert len(spectra) == 3
    for layer, values in enumerate(spectra, start=1):
        expected = [value for value, number in prediction.singular_values(layer) for _ in range(number)]
        assert values == expected
    # A family has no picture of its angles.
    family = nc.predict([10] * 5, widths=[3], weight_decay=1e-3, feature_decay=1e-3)
    assert not drawn(family.plot(), tmp_path / "family.png")[1].images
    drawn(nc.Seli([40, 10]).plot(), tmp_path / "seli.png")


def test_audits(tmp_path):
    features, labels, weights, _ = network([20, 20, 20])
    prediction = nc.predict([20] * 3, weight_decay=1e-2, feature_decay=1e-3)
    axes = drawn(nc.audit(features, labels, weights, prediction=prediction).plot(), tmp_path / "audit.png")
    assert len(axes[0].lines) == 4
    means = np.array([features[labels == k].mean(axis=0) for k in range(3)])
    lengths = np.linalg.norm(means, axis=1)
    assert axes[1].images[0].get_array()[0, 1] == pytest.approx(means[0] @ means[1] / lengths[0] / lengths[1])
    assert len(drawn(nc.audit(features, labels, weights).plot(), tmp_path / "alone.png")[0].lines) == 2


def test_trackers(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    features, labels, _, _ = network([20, 20, 20])
    data = torch.from_numpy(features).float(), torch.from_numpy(labels)
    tracker = nc.Tracker(torch.nn.Linear(7, 3), weight_decay=1e-2, feature_decay=1e-3, loss="ce")
    for _ in range(2):
        tracker.update(data)
    axes = drawn(tracker.plot(), tmp_path / "tracker.png")
    assert len(axes[1].lines) == 2 and list(axes[2].lines[0].get_ydata()) == [row["accuracy"] for row in tracker.rows]
