import pickle

import numpy as np
import pytest
from conftest import network

import neuralcollapse as nc
from neuralcollapse import errors

DECAYS = {"weight_decay": 1e-3, "feature_decay": 1e-3}


@pytest.mark.parametrize(
    ("call", "kind", "argument", "place", "value"),
    [
        (lambda: nc.predict([10, 10], weight_decay=[1e-3, 0.0], feature_decay=1), "ArgumentError", "weight_decay", (1,), 0),
        (lambda: nc.predict([10, 10], weight_decay=1e-3, feature_decay=-1.0), "ArgumentError", "feature_decay", None, -1),
        (lambda: nc.predict([10, -3], **DECAYS), "ArgumentError", "counts", (1,), -3),
        (lambda: nc.predict([10, 0], **DECAYS), "EmptyClassError", "counts", (1,), None),
        (lambda: nc.predict([1.5, 2], **DECAYS), "ArgumentError", "counts", None, None),
        (lambda: nc.predict("10,x", **DECAYS), "ArgumentError", None, None, None),
        (lambda: nc.predict([10, 10], loss="hinge", **DECAYS), "ArgumentError", "loss", None, None),
        (lambda: nc.predict([10, 10], bias=True, **DECAYS), "ArgumentError", "bias", None, None),
        (lambda: nc.predict([10, 10], bias="some", **DECAYS), "ArgumentError", "bias", None, None),
        (lambda: nc.predict([10, 10], bias=0.0, **DECAYS), "ArgumentError", "bias_decay", None, 0),
        (lambda: nc.predict([10, 10]), "ArgumentError", "weight_decay", None, None),
        (lambda: nc.predict([10, 10], weight_decay=1e-3), "ArgumentError", "feature_decay", None, None),
        (lambda: nc.predict([10, 10], loss="seli", **DECAYS), "ArgumentError", "weight_decay", None, None),
        (lambda: nc.predict([10, 10], loss="layer_peeled", weight_energy=1.0), "ArgumentError", "feature_energy", None, None),
        (lambda: nc.predict([10, 10], weight_energy=1.0, **DECAYS), "ArgumentError", "weight_energy", None, None),
        (lambda: nc.predict([10, 10], nonnegative_features=True, **DECAYS), "ArgumentError", "loss", None, None),
        (
            lambda: nc.predict([9, 5], depth=2, bias=1e-3, starts=0, **DECAYS),
            "NoClosedFormError",
            None,
            None,
            None,
        ),
        (lambda: nc.predict([10, 5], depth=3, weight_decay=[1, 1], feature_decay=1), "ArgumentError", "weight_decay", None, None),
        (lambda: nc.nc1([[1.0], [np.nan]], [0, 0], 1), "ArgumentError", "features", (1, 0), None),
        (lambda: nc.nc1([[1.0], [2.0]], [0, 2], 2), "ArgumentError", "labels", (1,), 2),
        (lambda: nc.nc1([[1.0], [2.0]], [0, -1], 2), "ArgumentError", "labels", (1,), -1),
        (lambda: nc.nc1([[1.0], [2.0]], [0], 2), "ShapeError", "labels", None, None),
        (lambda: nc.nc1([[1.0], [2.0]], [0.0, 1.0], 2), "ArgumentError", "labels", None, None),
        (lambda: nc.nc1([1.0, 2.0], [0, 1], 2), "ShapeError", "features", None, None),
        (lambda: nc.nc1(np.zeros((2, 1), complex), [0, 1]), "ArgumentError", "features", None, None),
        (lambda: nc.nc1([[1.0], [2.0]], [0, 0], 2), "EmptyClassError", "labels", (1,), None),
        (lambda: nc.nc1([[1.0], [1.0]], [0, 1], 2), "ArgumentError", "differences between the class means", None, None),
        (lambda: nc.nc1([[1.0], [2.0]], [0, 1], center="middle"), "ArgumentError", "center", None, None),
        (lambda: nc.audit([[1.0], [2.0]], [0, 1], [[1.0, 2.0], [0.0, 1.0]]), "ShapeError", "weights", None, None),
        (lambda: nc.audit([[1.0], [2.0]], [0, 1], [[1.0], [0.0]], [0.0]), "ShapeError", "bias", None, None),
        (lambda: nc.audit([[1.0], [2.0]], [0, 1], []), "ArgumentError", "weights", None, None),
        (lambda: nc.audit([[1.0], [2.0]], [0, 1], [[1.0], [0.0]], None, "ce"), "ArgumentError", "prediction", None, None),
        (
            lambda: nc.audit([[1.0], [2.0]], [0, 1], [[1.0], [0.0]], None, nc.predict([2, 2], **DECAYS)),
            "MismatchError",
            None,
            (0,),
            1,
        ),
    ],
)
def test_errors_say_what_is_wrong(call, kind, argument, place, value):
    with pytest.raises(ValueError) as caught:
        call()
    error = caught.value
    assert type(error) is getattr(errors, kind), error
    assert error.argument == argument and error.place == place, error
    if value is not None:
        assert error.value == value
    assert argument is None or argument in str(error)
    read = pickle.loads(pickle.dumps(error))
    assert type(read) is type(error) and str(read) == str(error) and read.place == error.place


def test_a_refused_batch_changes_nothing():
    """Also one of several pieces, whose first ones were added before the bad number was seen."""
    rng = np.random.default_rng(0)
    pieces = rng.normal(size=(3 * (1 << 24) // 1024, 1024)).astype(np.float32)
    labels = np.arange(len(pieces)) % 2
    pieces[-1, 5] = np.inf
    first = nc.FirstPass(1024, 2)
    first.add(pieces[:100], labels[:100])
    before = first.to_bytes()
    with pytest.raises(errors.ArgumentError) as caught:
        first.add(pieces, labels)
    assert caught.value.place == (len(pieces) - 1, 5)
    assert first.to_bytes() == before
    sums = nc.AuditSums(first, rng.normal(size=(2, 1024)), dtype="float32")
    empty = sums.part()
    with pytest.raises(errors.ArgumentError):
        sums.add(pieces, labels)
    assert sums.part() == empty


def test_pieces_that_do_not_belong_together():
    features, labels, weights, _ = network([5, 6, 7])
    first = nc.FirstPass(7, 3)
    first.add(features, labels)
    sums = nc.AuditSums(first, weights)
    with pytest.raises(errors.MismatchError):
        sums.audit()  # the second pass is missing
    sums.add(features, labels)
    half = nc.FirstPass(7, 3)
    half.add(features[1:], labels[1:])
    with pytest.raises(errors.MismatchError):
        sums.merge(nc.AuditSums(half, weights).part())
    with pytest.raises(errors.MismatchError):
        sums.merge(nc.AuditSums(first, weights, all_metrics=True))
    with pytest.raises(errors.ArgumentError):
        sums.merge(sums)
    with pytest.raises(errors.ArgumentError):
        sums.merge("part")
    with pytest.raises(errors.ArgumentError):
        first.merge(first)
    with pytest.raises(errors.ArgumentError):
        first.merge(nc.FirstPass(7, 3, energy=False))
    with pytest.raises(errors.ArgumentError):
        nc.AuditSums(first, weights, dtype="float16")
    single = nc.AuditSums(first, weights, dtype="float32")
    with pytest.raises(errors.ArgumentError):
        single.add(features, labels)


def test_families_have_no_array():
    family = nc.predict([10] * 5, widths=[3], weight_decay=1e-3, feature_decay=1e-3).trailing_gram()
    assert not family.is_unique and family.to_numpy() is None
    with pytest.raises(TypeError):
        np.asarray(family)
