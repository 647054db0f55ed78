"""The definitions of papers and public codes, written down with NumPy, on the arrays that are given to this package."""

import numpy as np
import pytest
from conftest import network
from hypothesis import given, settings
from hypothesis import strategies as st

import neuralcollapse as nc

NETWORKS = st.builds(
    network,
    st.lists(st.integers(2, 30), min_size=2, max_size=6),
    dimension=st.integers(6, 12),
    depth=st.integers(1, 3),
    bias=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    noise=st.sampled_from([0.01, 0.3, 1.0]),
)


def means_of(features, labels, classes):
    return np.array([features[labels == k].mean(axis=0) for k in range(classes)])


def scatter_nc1(features, labels, classes, center):
    """Papyan et al. (2020), as published codes compute it: d×d matrices and a pseudo-inverse."""
    means = means_of(features, labels, classes)
    origin = features.mean(axis=0) if center == "samples" else means.mean(axis=0)
    within = np.cov((features - means[labels]).T, bias=True)
    between = (means - origin).T @ (means - origin) / classes
    values, vectors = np.linalg.eigh(between)
    # With rank K − 1, or less where means are nearly dependent.
    kept = values > 1e-12 * values[-1]
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    return np.trace(within @ inverse) / classes


def structure(product, target):
    return np.linalg.norm(product / np.linalg.norm(product) - target / np.linalg.norm(target))


@settings(max_examples=60, deadline=None)
@given(NETWORKS, st.sampled_from(["samples", "classes"]))
def test_nc1(measured, center):
    features, labels, weights, _ = measured
    expected = scatter_nc1(features, labels, len(weights[-1]), center)
    assert nc.nc1(features, labels, center=center) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(NETWORKS)
def test_nc2_and_nc3(measured):
    features, labels, weights, bias = measured
    classes = len(weights[-1])
    means = means_of(features, labels, classes)
    etf, identity = np.eye(classes) - 1 / classes, np.eye(classes)
    product = np.eye(classes)
    for layers, weight in enumerate(reversed(weights), start=1):
        product = product @ weight
        for target, dense in (
            (nc.ClassMatrix.simplex_etf(classes), etf),
            (nc.ClassMatrix.orthogonal_frame(classes), identity),
        ):
            assert nc.nc2(weights, target, layers) == pytest.approx(structure(product @ product.T, dense), abs=1e-12)
    target = nc.ClassMatrix.simplex_etf(classes)
    assert nc.nc3(means, weights, target) == pytest.approx(structure(product @ means.T, etf), abs=1e-12)
    found = nc.audit(features, labels, weights, bias).to_dict()["distances"]["simplex_etf"]
    assert found["nc3"] == pytest.approx(structure(product @ means.T, etf), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(NETWORKS)
def test_the_others(measured):
    features, labels, weights, bias = measured
    classes = len(weights[-1])
    means = means_of(features, labels, classes)
    outputs = features
    for weight in weights:
        outputs = outputs @ weight.T
    outputs = outputs if bias is None else outputs + bias
    nearest = ((features[:, None] - means[None]) ** 2).sum(axis=2).argmin(axis=1)
    shares = nc.nc4(features, labels, weights, bias)
    assert shares["agreement"] == pytest.approx((outputs.argmax(axis=1) == nearest).mean(), abs=1e-12)
    assert shares["head_accuracy"] == pytest.approx((outputs.argmax(axis=1) == labels).mean(), abs=1e-12)
    deviations = features - means[labels]
    variances = np.array([(deviations[labels == k] ** 2).sum(axis=1).mean() for k in range(classes)])
    pairs = ~np.eye(classes, dtype=bool)
    distances = ((means[:, None] - means[None]) ** 2).sum(axis=2)
    expected = ((variances[:, None] + variances[None]) / 2)[pairs] / distances[pairs]
    assert nc.cdnv(features, labels)["mean"] == pytest.approx(expected.mean(), rel=1e-9)
    centered = means - features.mean(axis=0)
    quotient = (deviations**2).sum() / len(features) / ((centered**2).sum() / classes)
    assert nc.nc1_trace_quotient(features, labels) == pytest.approx(quotient, rel=1e-9)
    if len(weights) == 1:
        (weight,) = weights
        assert nc.self_duality(centered, weight) == pytest.approx(structure(weight, centered), abs=1e-12)
        cosines = (weight * centered).sum(axis=1)
        cosines /= np.linalg.norm(weight, axis=1) * np.linalg.norm(centered, axis=1)
        assert nc.duality_cosines(centered, weight) == pytest.approx(cosines, abs=1e-12)
        every = nc.all_metrics(features, labels, weights, bias)
        assert every["self_duality"] == pytest.approx(structure(weight, centered), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 500), min_size=2, max_size=6),
    st.floats(1e-6, 1e-2),
    st.floats(1e-6, 1e-2),
    st.integers(1, 4),
    st.sampled_from([None, "unregularized"]),
)
def test_no_descent_ends_below_a_minimum(counts, weight_decay, feature_decay, depth, bias):
    """The objective along random paths from the predicted point, computed here, is never below the predicted loss."""
    prediction = nc.predict(counts, depth=depth, bias=bias, weight_decay=weight_decay, feature_decay=feature_decay)
    point = prediction.explicit()
    rng = np.random.default_rng(len(counts))
    onehot = np.eye(len(counts))[point["labels"]]
    for size in (0.0, 1e-3, 0.1, 1.0):
        features = point["features"] + size * rng.normal(size=point["features"].shape)
        weights = [weight + size * rng.normal(size=weight.shape) for weight in point["weights"]]
        outputs = features
        for weight in weights:
            outputs = outputs @ weight.T
        outputs = outputs if bias is None else outputs + point["bias"] + size * rng.normal(size=len(counts))
        loss = ((outputs - onehot) ** 2).sum() / 2 / len(onehot) + feature_decay / 2 * (features**2).sum()
        loss += sum(weight_decay / 2 * (weight**2).sum() for weight in weights)
        assert loss >= prediction.loss * (1 - 1e-9)
        if size == 0.0:
            assert loss == pytest.approx(prediction.loss, rel=1e-9)
