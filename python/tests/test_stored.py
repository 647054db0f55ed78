"""What is pickled can be read again, also by later releases; nothing else is."""

import pathlib
import pickle

import numpy as np
import pytest
from conftest import assert_same, network

import neuralcollapse as nc
from neuralcollapse import errors

STORED = pathlib.Path(__file__).parent / "stored"


DECAYS = {"weight_decay": 1e-2, "feature_decay": 1e-3}

#: One prediction of each kind that is stored in a way of its own.
MODELS = {
    "soft_labels": lambda: nc.SoftLabels([[0.75, 0.25], [0.5, 0.5]], [3, 4], **DECAYS),
    "pytorch_weight": lambda: nc.predict([5, 3], loss="ce", pytorch_weight=[1.0, 2.0], label_smoothing=0.125, **DECAYS),
    "multi_label": lambda: nc.MultiLabel(4, {1: 5, 2: 1}, **DECAYS),
    "sparse_labels": lambda: nc.SparseLabels(4, [[0, 1], [2]], [3, 4]),
    "targets": lambda: nc.Ufm.from_targets([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.25]], bias="unregularized", **DECAYS),
    "fixed_head": lambda: nc.FixedHead([5, 3], classifier_norm_squared=2.0, feature_decay=1e-3),
    "supervised_contrastive": lambda: nc.SupervisedContrastive([5, 5], temperature=0.5),
    "margins": lambda: nc.Seli([5, 3], margins=[1.0, 2.0]),
}


def audited():
    features, labels, weights, bias = network([30, 20, 10], depth=2, bias=True)
    # Numbers with few digits, so that they are the same on every machine.
    features, bias = np.round(features, 2), np.round(bias, 2)
    weights = [np.round(weight, 2) for weight in weights]
    prediction = nc.predict([30, 20, 10], depth=2, bias="unregularized", weight_decay=1e-2, feature_decay=1e-3)
    first = nc.FirstPass(7, 3)
    first.add(features, labels)
    sums = nc.AuditSums(first, weights, bias, prediction, all_metrics=True)
    sums.add(features, labels)
    return prediction, first, sums


def test_everything_that_is_sent_can_be_pickled():
    prediction, first, sums = audited()
    expected = sums.audit(prediction).to_dict()
    read = pickle.loads(pickle.dumps(sums))
    assert_same(read.audit(prediction).to_dict(), expected)
    read = pickle.loads(pickle.dumps(sums.empty()))
    read.merge(pickle.loads(pickle.dumps(sums.part())))
    assert_same(read.audit(prediction).to_dict(), expected)
    again = pickle.loads(pickle.dumps(first))
    assert again.to_bytes() == first.to_bytes() and again.counts.tolist() == [30, 20, 10]
    assert pickle.loads(pickle.dumps(sums.part())) == sums.part()


def test_files_of_version_0_1_0():
    """Written once by `python tests/test_stored.py` and never again: later releases read them or refuse them."""
    prediction, first, sums = audited()
    read = nc.FirstPass.from_bytes((STORED / "first_pass_0.1.0").read_bytes())
    np.testing.assert_allclose(read.class_means, first.class_means, rtol=1e-14)
    old = nc.AuditSums.from_bytes((STORED / "audit_sums_0.1.0").read_bytes())
    model = nc.Prediction.from_bytes((STORED / "prediction_0.1.0").read_bytes())
    assert model == prediction
    assert_same(old.audit(model).to_dict(), sums.audit(prediction).to_dict(), 1e-9)
    empty = old.empty()
    empty.merge(nc.AuditPart.from_bytes((STORED / "audit_part_0.1.0").read_bytes()))
    assert_same(empty.audit(model).to_dict(), old.audit(model).to_dict())


@pytest.mark.parametrize("name", MODELS)
def test_predictions_of_version_0_1_0(name):
    read, expected = nc.Prediction.from_bytes((STORED / f"{name}_0.1.0").read_bytes()), MODELS[name]()
    assert type(read) is type(expected) and read == expected
    assert read.loss == pytest.approx(expected.loss, rel=1e-12)
    with pytest.raises(errors.ArgumentError):
        nc.Prediction.from_bytes((STORED / f"{name}_0.1.0").read_bytes()[:-1])


def test_what_is_damaged_is_refused():
    prediction, first, sums = audited()
    for value in (prediction, first, sums, sums.part()):
        kind, written = type(value), value.to_bytes()
        read = nc.Prediction.from_bytes if isinstance(value, nc.Prediction) else kind.from_bytes
        read(written)
        for damaged in (b"", written[:-1], written[: len(written) // 2], b"\xff" + written[1:], written.replace(b"neuralcollapse", b"neuralcollapsf")):
            with pytest.raises(errors.ArgumentError):
                read(damaged)
        with pytest.raises(errors.ArgumentError, match="version"):
            read(written.replace(b"version\x01", b"version\x02", 1))
        others = [nc.FirstPass, nc.AuditSums, nc.AuditPart]
        for other in others:
            if other is not kind:
                with pytest.raises(errors.ArgumentError):
                    other.from_bytes(written)
    # Also inside: another version of what the library stores.
    with pytest.raises(errors.ArgumentError, match="another release"):
        nc.FirstPass.from_bytes(first.to_bytes().replace(b"version\x01\xa9", b"version\x07\xa9", 1))


if __name__ == "__main__":
    STORED.mkdir(exist_ok=True)
    model, pass_1, full = audited()
    values = {"prediction": model, "first_pass": pass_1, "audit_sums": full, "audit_part": full.part()}
    for name, value in (values | {name: make() for name, make in MODELS.items()}).items():
        if not (STORED / f"{name}_0.1.0").exists():
            (STORED / f"{name}_0.1.0").write_bytes(value.to_bytes())
