import functools
import multiprocessing
import os

import numpy as np
import pytest
from conftest import DATA, assert_same, exact, network, program, read_safetensors

import neuralcollapse as nc
from neuralcollapse import errors


def test_a_minimum_is_found_to_be_one():
    prediction = nc.predict([6, 3, 3], depth=2, widths=[8, 8], weight_decay=5e-4, feature_decay=5e-4)
    point = prediction.explicit()
    audit = nc.audit(point["features"], point["labels"], point["weights"], prediction=prediction)
    assert audit.nc1 < 1e-25 and max(audit.nc2) < 1e-14 and audit.nc3 < 1e-14
    assert abs(audit.loss_gap) < 1e-15 and audit.verdict == "global_minimum"
    assert audit.prediction == prediction and audit.nc4 == audit.accuracy == 1.0
    assert audit.class_table()[0]["feature_norm_squared"]["predicted"] > 0
    assert audit.balancedness.max() < 1e-12


def test_without_a_prediction():
    features, labels, weights, bias = network([20, 20, 20], bias=True)
    audit = nc.audit(features, labels, weights, bias)
    assert audit.loss is None and audit.no_prediction == "none was asked for"
    assert audit.reasons["loss_optimum"] == "none was asked for" and audit.prediction is None
    assert isinstance(audit.nc1, float) and audit.nc2_target == "simplex ETF"
    # One sample per class: nothing can vary, and NC1 is said to be unknown.
    single = nc.audit(features[:3], np.arange(3), weights, bias)
    assert single.nc1 is None and "two samples" in single.reasons["nc1"]


def test_a_prediction_for_the_counts_that_are_measured():
    features, labels, weights, _ = network([30, 20, 10])
    predict = functools.partial(nc.predict, weight_decay=1e-2, feature_decay=1e-3)
    audit = nc.audit(features, labels, weights, prediction=predict)
    assert audit.prediction.counts.tolist() == [30, 20, 10]
    deep = functools.partial(predict, depth=2, bias=1e-3, starts=0)
    audit = nc.audit(features, labels, weights, prediction=deep)
    assert audit.prediction is None and "no closed form" in audit.no_prediction


def test_the_loss_is_that_of_numpy():
    features, labels, weights, bias = network([30, 20, 10], depth=2, bias=True)
    lambdas = [1e-2, 2e-2]
    prediction = nc.predict([30, 20, 10], bias="unregularized", weight_decay=lambdas, feature_decay=1e-3)
    audit = nc.audit(features, labels, weights, bias, prediction)
    outputs = features @ weights[0].T @ weights[1].T + bias
    loss = ((outputs - np.eye(3)[labels]) ** 2).sum() / 2 / 60 + 1e-3 / 2 * (features**2).sum()
    loss += sum(decay / 2 * (weight**2).sum() for decay, weight in zip(lambdas, weights, strict=True))
    assert audit.loss == pytest.approx(loss, rel=1e-13)
    assert audit.accuracy == (outputs.argmax(axis=1) == labels).mean()
    assert audit.loss_gap == audit.loss - prediction.loss


@pytest.mark.parametrize("name", ["digits_m1", "digits_m3", "direct_ce_m1", "direct_gof_m3"])
def test_the_program_says_the_same(name):
    """Two ways through the same library: files and flags there, arrays and arguments here."""
    expected = program("audit", str(DATA / f"{name}.safetensors"), "--metrics", "all")
    tensors = read_safetensors(DATA / f"{name}.safetensors")
    problem = expected["prediction"]["problem"]
    loss = expected["loss_function"]
    prediction = nc.predict(
        problem["counts"],
        weight_decay=problem["weight_decay"],
        feature_decay=problem["feature_decay"],
        bias=problem["bias"],
        widths=problem["widths"],
        loss=loss,
    )
    weights = [tensors[layer] for layer in expected["head"]["weights"]]
    bias = tensors[expected["head"]["bias"]] if expected["head"]["bias"] else None
    # The program measures in double precision whatever a file holds.
    features = next(value for key, value in tensors.items() if "feature" in key.lower()).astype("f8")
    labels = next(value for key, value in tensors.items() if "label" in key.lower())
    audit = nc.audit(features, labels, weights, bias, prediction, all_metrics=True)
    found = audit.to_dict()
    for key in found:
        if key not in ("prediction",):
            assert_same(found[key], expected[key], 1e-9, key)
    assert found["prediction"]["loss"] == pytest.approx(expected["prediction"]["loss"], rel=1e-12)


def test_models_of_one_layer():
    features, labels, weights, _ = network([30, 20, 10], depth=2)
    product = weights[1] @ weights[0]
    first = nc.FirstPass(7, 3)
    first.add(features, labels)
    peeled = nc.LayerPeeled(
        [30, 20, 10], weight_energy=(product**2).sum() / 3, feature_energy=first.feature_energy
    )
    for prediction in (peeled, nc.Seli([30, 20, 10])):
        deep = nc.audit(features, labels, weights, prediction=prediction)
        flat = nc.audit(features, labels, product, prediction=prediction)
        assert deep.nc3 == pytest.approx(flat.nc3, rel=1e-12) and len(deep.nc2) == 1


def test_a_test_set_around_the_means_of_the_training_set():
    features, labels, weights, _ = network([30, 20, 10])
    first = nc.FirstPass(7, 3)
    first.add(features[:40], labels[:40])
    sums = nc.AuditSums(first, weights, other_samples=True, all_metrics=True)
    sums.add(features[40:], labels[40:])
    audit = sums.audit()
    assert audit.nc1 == pytest.approx(nc.nc1(features[40:], labels[40:], statistics=first), rel=1e-12)
    assert audit.metrics["nc4"]["agreement"] == audit.nc4


def test_batches_are_the_whole():
    features, labels, weights, bias = network([300, 200, 100], bias=True)
    options = {"center": "classes", "rank_cutoff": 1e-5, "divide_by_classes": False}
    whole = nc.audit(features, labels, weights, bias, all_metrics=True, **options)
    first = nc.FirstPass(7, 3)
    for i in range(0, 600, 77):
        first.add(features[i : i + 77], labels[i : i + 77])
    sums = nc.AuditSums(first, weights, bias, all_metrics=True, **options)
    for i in range(0, 600, 50):
        sums.add(features[i : i + 50], labels[i : i + 50])
    assert_same(exact(sums.audit()), exact(whole))
    assert whole.nc1 == pytest.approx(nc.nc1(features, labels, **options), rel=1e-13)


def test_what_is_shown():
    features, labels, weights, _ = network([20, 20, 20])
    prediction = nc.predict([20] * 3, weight_decay=1e-2, feature_decay=1e-3)
    audit = nc.audit(features, labels, weights, prediction=prediction)
    assert repr(audit).startswith("Audit(nc1=") and "verdict='not trained" in repr(audit)
    html = audit._repr_html_()
    assert "NC1" in html and "predicted f*" in html
    assert repr(nc.FirstPass(7, 3)) == "FirstPass(N=0, d=7, K=3)"
    heard = []
    nc.audit(features, labels, weights, progress=lambda *said: heard.append(said))
    assert heard == [("class means", 60, 60), ("deviations", 60, 60)]


def test_progress_and_threads():
    heard = []
    nc.predict([10] * 6, loss="ce", depth=3, weight_decay=1e-3, feature_decay=1e-3, starts=100, progress=lambda *said: heard.append(said))
    assert all(done <= total for _, done, total in heard)
    try:
        nc.limit_threads(4)
        many = _audit_of_many()
        nc.limit_threads(1)
        assert _audit_of_many() == many
    finally:
        nc.limit_threads(None)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked elsewhere")
def test_a_forked_process_has_threads_of_its_own():
    """Those of its parent wait for work that the child could not give them."""
    try:
        nc.limit_threads(2)
        expected = _audit_of_many()
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply_async(_audit_of_many).get(timeout=60) == expected
        assert _audit_of_many() == expected
    finally:
        nc.limit_threads(None)


def _audit_of_many():
    """Of so many samples that threads share them."""
    features, labels, weights, _ = network([2000, 1200, 800], dimension=256)
    return nc.audit(features, labels, weights).to_dict()


@pytest.mark.parametrize("depth", [1, 3])
def test_predicted_matrices_lie_on_those_of_a_network_at_the_minimum(depth):
    counts, widths = [9, 4, 4], [6] * depth
    prediction = nc.predict(counts, depth=depth, weight_decay=1e-3, feature_decay=1e-3, widths=widths)
    point = prediction.explicit(seed=5)
    audit = nc.audit(point["features"], point["labels"], point["weights"], prediction=prediction)
    aligned = audit.aligned()
    for found, expected in zip(aligned["weights"], audit.weights, strict=True):
        assert np.allclose(found, expected, atol=1e-12)
    assert np.allclose(aligned["class_means"], audit.class_means, atol=1e-12) and aligned["bias"] is None
    product = functools.reduce(lambda left, right: right @ left, audit.weights)
    assert np.allclose(aligned["class_outputs"], product @ audit.class_means.T, atol=1e-12)
    assert np.allclose(aligned["class_means_gram"], audit.class_means @ audit.class_means.T, atol=1e-12)
    last = audit.weights[-1]
    assert np.allclose(aligned["trailing_grams"][0], last @ last.T, atol=1e-12) and len(aligned["trailing_grams"]) == depth
    # The singular values of the outputs for all samples.
    outputs = point["features"] @ product.T
    values = np.linalg.svd(outputs, compute_uv=False)
    expected = np.repeat(prediction.output_singular_values, [row["multiplicity"] for row in prediction.directions])
    assert values == pytest.approx(expected, rel=1e-12)
    with pytest.raises(errors.NotAnsweredError):
        nc.audit(point["features"], point["labels"], point["weights"]).aligned()


def test_covariance_of_class_means():
    features, labels, weights, _ = network([30, 20, 10])
    first_pass = nc.FirstPass(7, 3)
    first_pass.add(features, labels)
    means = first_pass.class_means
    for center, shares in (("samples", [0.5, 1 / 3, 1 / 6]), ("classes", [1 / 3] * 3)):
        deviations = means - np.average(means, axis=0, weights=shares)
        expected = deviations.T @ deviations / 3
        assert np.allclose(first_pass.between_class_covariance(center), expected)
    with pytest.raises(errors.ArgumentError):
        first_pass.between_class_covariance("means")
