"""The metrics beside NC1 to NC4, against their definitions written down with NumPy, and the program."""

import json

import numpy as np
import pytest
from conftest import assert_same, network, program
from hypothesis import given, settings
from hypothesis import strategies as st
from test_peers import NETWORKS, means_of

import neuralcollapse as nc
from neuralcollapse import errors


def product_of(weights):
    product = weights[0]
    for weight in weights[1:]:
        product = weight @ product
    return product


def auroc(known, outside):
    """The share of pairs in order, counted pair by pair."""
    difference = np.subtract.outer(known, outside)
    return ((difference > 0) + (difference == 0) / 2).mean()


@settings(max_examples=40, deadline=None)
@given(NETWORKS, st.sampled_from([np.float32, np.float64]))
def test_out_of_distribution(measured, dtype):
    features, labels, weights, bias = measured
    features = features.astype(dtype)
    classes = len(weights[-1])
    outside = np.random.default_rng(3).normal(size=(17, features.shape[1])).astype(dtype)
    found = nc.out_of_distribution(features, labels, outside, weights, bias, alpha=0.2)
    h, o = features.astype(float), outside.astype(float)
    means, mean = means_of(h, labels, classes), h.mean(axis=0)
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    expected = np.abs(unit @ o.mean(axis=0)).mean() / np.linalg.norm(o.mean(axis=0))
    assert found["nc5"] == pytest.approx(expected, rel=1e-6)
    left, values, _ = np.linalg.svd((means - mean).T, full_matrices=False)
    left = left[:, values > 1e-6 * values[0]]

    def neco(samples):
        deviations = samples - mean
        return np.linalg.norm(deviations @ left, axis=1) / np.linalg.norm(deviations, axis=1)

    def nci(samples):
        product, deviations = product_of(weights), samples - mean
        decided = (samples @ product.T + (0 if bias is None else bias)).argmax(axis=1)
        aligned = (product[decided] * deviations).sum(axis=1) / np.linalg.norm(deviations, axis=1)
        return aligned + 0.2 * np.abs(samples).sum(axis=1)

    for name, score in (("neco", neco), ("nci", nci)):
        assert found[name]["known_mean"] == pytest.approx(score(h).mean(), rel=1e-6)
        assert found[name]["outside_mean"] == pytest.approx(score(o).mean(), rel=1e-6)
        assert found[name]["auroc"] == pytest.approx(auroc(score(h), score(o)), abs=2e-2 if dtype == np.float32 else 1e-9)
    assert found["reasons"] == {} and found["nc5_standard_error"] > 0
    score = neco(h)
    assert found["neco"]["standard_errors"]["known_mean"] == pytest.approx(score.std(ddof=1) / np.sqrt(len(score)), rel=1e-5)
    statistics = nc.FirstPass(features.shape[1], classes)
    statistics.add(features, labels)
    assert nc.Neco(statistics).scores(outside) == pytest.approx(neco(o), rel=1e-6)
    assert nc.Neco(statistics).rank == left.shape[1]
    assert nc.nci_scores(outside, statistics, weights, bias, alpha=0.2) == pytest.approx(nci(o), rel=1e-6)


def test_principal_directions():
    features, labels, _, _ = network([30, 20, 10], dimension=6, noise=1.0)
    neco = nc.Neco.principal(features, labels, 3)
    deviations = features - features.mean(axis=0)
    _, directions = np.linalg.eigh(deviations.T @ deviations)
    expected = np.linalg.norm(deviations @ directions[:, -3:], axis=1) / np.linalg.norm(deviations, axis=1)
    assert neco.rank == 3 and neco.scores(features) == pytest.approx(expected, rel=1e-9)
    statistics = nc.FirstPass(2, 4)
    statistics.add([[1, 0], [-1, 0], [0, 1], [0, -1]], range(4))
    assert np.isnan(nc.Neco(statistics).scores([[0.0, 0.0]])).all()
    with pytest.raises(errors.ArgumentError):
        nc.Neco.principal(features, labels, 7)
    assert nc.detection([1.0, np.nan, 0.5], [0.5, 0.2])["auroc"] == 3.5 / 4


def test_without_differences_there_is_a_reason():
    found = nc.out_of_distribution(np.ones((4, 2)), [0, 0, 1, 1], [[1.0, 2.0]], np.eye(2))
    assert found["neco"] is None and "neco" in found["reasons"] and found["nc5"] is not None
    assert found["nc5_standard_error"] is None and "single sample" in found["reasons"]["nc5_standard_error"]


def test_the_program_says_the_same_of_other_samples(tmp_path):
    features, labels, (weights,), _ = network([30, 20, 10])
    outside = np.random.default_rng(3).normal(size=(17, features.shape[1]))
    known, others = tmp_path / "known.npz", tmp_path / "others.npz"
    np.savez(known, features=features, labels=labels, weights=weights)
    np.savez(others, features=outside)
    expected = program("audit", str(known), "--out-of-distribution", str(others))
    found = nc.out_of_distribution(features, labels, outside, weights)
    for key in ("nc5", "nc5_standard_error", "neco", "nci"):
        assert_same(found[key], expected[key], where=key)


@settings(max_examples=30, deadline=None)
@given(NETWORKS)
def test_vectors_of_classes(measured):
    features, labels, weights, _ = measured
    classes = len(weights[-1])
    vectors = means_of(features, labels, classes) - features.mean(axis=0)
    shape = nc.shape(vectors)
    norms = np.linalg.norm(vectors, axis=1)
    assert shape["norm_spread"]["mean"] == pytest.approx(norms.mean(), rel=1e-9)
    unit = vectors / norms[:, None]
    cosines = (unit @ unit.T)[~np.eye(classes, dtype=bool)]
    assert shape["cosine_spread"]["mean"] == pytest.approx(cosines.mean(), abs=1e-9)
    assert shape["cosine_spread"]["deviation"] == pytest.approx(cosines.std(), abs=1e-7)
    deviations = np.abs(cosines + 1 / (classes - 1))
    assert shape["equiangularity"]["etf_deviation"] == pytest.approx(deviations.mean(), abs=1e-9)
    last = weights[-1]
    assert nc.nc0(weights) == pytest.approx((last.sum(axis=0) ** 2).sum() / classes, rel=1e-9)
    assert nc.nc0_factor(0.1, 1e-2) == pytest.approx((1 - 1e-3) ** 2)
    within = features - means_of(features, labels, classes)[labels]
    found = nc.within_class_covariance(features, labels)
    assert np.allclose(found, within.T @ within / len(labels), atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(NETWORKS)
def test_decisions(measured):
    features, labels, weights, bias = measured
    classes = len(weights[-1])
    means = means_of(features, labels, classes)
    head = (features @ product_of(weights).T + (0 if bias is None else bias)).argmax(axis=1)
    nearest = ((features[:, None] - means[None]) ** 2).sum(axis=2).argmin(axis=1)
    expected = {}
    for key in zip(labels.tolist(), head.tolist(), nearest.tolist(), strict=True):
        expected[key] = expected.get(key, 0) + 1
    found = nc.confusion(features, labels, weights, bias)
    assert {(row["label"], row["head"], row["nearest_mean"]): row["samples"] for row in found} == expected


@settings(max_examples=30, deadline=None)
@given(NETWORKS, st.floats(1e-4, 1.0), st.sampled_from([None, 1e-2]))
def test_least_squares_split(measured, decay, bias_decay):
    features, labels, weights, bias = measured
    weight, classes = product_of(weights), len(weights[-1])
    bias_decay = None if bias is None else bias_decay
    split = nc.least_squares_split(features, labels, weight, bias, weight_decay=decay, bias_decay=bias_decay)
    onehot = np.eye(classes)[labels]

    def loss_at(w, b):
        outputs = features @ w.T + (0 if b is None else b)
        penalty = decay / 2 * (w**2).sum() + (0 if b is None else (bias_decay or 0.0) / 2 * (b**2).sum())
        return ((outputs - onehot) ** 2).sum() / 2 / len(labels) + penalty

    assert split["loss"] == pytest.approx(loss_at(weight, bias), rel=1e-8)
    parts = [split[name] for name in ("within_classes", "class_means", "penalty", "head_distance")]
    assert min(parts) >= 0 and sum(parts) == pytest.approx(split["loss"], rel=1e-12)
    best, rng = (split["best_weights"], split["best_bias"]), np.random.default_rng(0)
    lowest = loss_at(*best)
    assert lowest == pytest.approx(sum(parts[:3]), rel=1e-7)
    for size in (1e-3, 0.1):
        b = None if bias is None else best[1] + size * rng.normal(size=classes)
        assert loss_at(best[0] + size * rng.normal(size=best[0].shape), b) >= lowest * (1 - 1e-12)
    if bias is None:
        with pytest.raises(errors.ArgumentError):
            nc.least_squares_split(features, labels, weight, weight_decay=decay, bias_decay=0.1)


@settings(max_examples=20, deadline=None)
@given(NETWORKS, st.sampled_from(["mse", "ce"]))
def test_objective_and_balance(measured, loss):
    features, labels, weights, bias = measured
    classes, decays = len(weights[-1]), {"weight_decay": 1e-2, "feature_decay": 1e-3}
    counts = np.bincount(labels)
    prediction = nc.predict(
        counts, loss=loss, depth=len(weights), bias=None if bias is None else "unregularized", starts=1, **decays
    )
    outputs = features @ product_of(weights).T + (0 if bias is None else bias)
    if loss == "mse":
        data_term = ((outputs - np.eye(classes)[labels]) ** 2).sum() / 2 / len(labels)
    else:
        logs = outputs - outputs.max(axis=1, keepdims=True)
        logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
        data_term = -logs[np.arange(len(labels)), labels].mean()
    found = nc.objective(features, labels, weights, bias, prediction=prediction)
    assert found["data_term"] == pytest.approx(data_term, rel=1e-9)
    assert found["feature_penalty"] == pytest.approx(1e-3 / 2 * (features**2).sum(), rel=1e-9)
    assert found["weight_penalty"] == pytest.approx(sum(1e-2 / 2 * (w**2).sum() for w in weights), rel=1e-9)
    audit = nc.audit(features, labels, weights, bias, prediction)
    assert audit.loss == pytest.approx(found["loss"], rel=1e-9) and audit.objective["data_term"] == pytest.approx(data_term)
    balance = nc.balancedness(features, weights, **decays)
    assert balance == pytest.approx(audit.balancedness, rel=1e-9)
    below = 1e-3 * features.T @ features
    for residual, weight in zip(balance, weights, strict=True):
        above = 1e-2 * weight.T @ weight
        expected = np.linalg.norm(above - below) / max(np.linalg.norm(above), np.linalg.norm(below))
        assert residual == pytest.approx(expected, rel=1e-9)
        below = 1e-2 * weight @ weight.T


def test_layers():
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    features = [rng.normal(size=(90, 5)) + spread * np.eye(5)[labels] for spread in (1.0, 3.0, 9.0)]
    found = nc.layers(features, labels)
    for layer, array in zip(found["layers"], features, strict=True):
        assert layer["dimension"] == 5
        assert layer["nc1"]["center_samples"]["value"] == pytest.approx(nc.nc1(array, labels), rel=1e-9)
        assert layer["cdnv"]["mean"] == pytest.approx(nc.cdnv(array, labels)["mean"], rel=1e-9)
        values = np.linalg.svd(array - array.mean(axis=0), compute_uv=False)
        shares = values / values.sum()
        assert layer["effective_rank"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-9)
        assert layer["stable_rank"] == pytest.approx((values**2).sum() / values[0] ** 2, rel=1e-9)
    one, other = (array - array.mean(axis=0) for array in features[:2])
    norm = np.linalg.norm
    assert found["cka"][0][1] == pytest.approx(norm(one.T @ other) ** 2 / norm(one.T @ one) / norm(other.T @ other), rel=1e-9)
    nc1 = [layer["nc1"]["center_samples"]["value"] for layer in found["layers"]]
    slope, intercept = np.polyfit([1, 2, 3], np.log(nc1), 1)
    law = nc.separation_law(nc1)
    assert law["slope"] == pytest.approx(slope) and law["intercept"] == pytest.approx(intercept)
    assert law["factor"] == pytest.approx(np.exp(slope)) and found["separation"]["slope"] == law["slope"]
    assert nc.separation_law([1.0, 0.5]) is None
    assert found["cka_standard_errors"][0][0] == 0 < found["cka_standard_errors"][0][1] < 0.2
    assert 0 < found["separation_standard_errors"]["slope"] < 0.5 and "cka_standard_errors" not in found["reasons"]
    assert found["layers"][1]["standard_errors"]["effective_rank"] > 0
    heard = []
    nc.layers([array.astype(np.float32) for array in features], labels, progress=lambda *now: heard.append(now))
    assert heard[-1] == ("layers", 90, 90)
    with pytest.raises(errors.ArgumentError):
        nc.layers([features[0], features[1].astype(np.float32)], labels)
    with pytest.raises(errors.ShapeError):
        nc.layers([features[0], features[1][:-1]], labels)


def test_levels_and_errors_of_an_audit():
    features, labels, weights, bias = network([30, 20, 10], depth=2, bias=True)
    prediction = nc.predict([30, 20, 10], depth=2, bias="unregularized", weight_decay=1e-2, feature_decay=1e-3)
    audit = nc.audit(features, labels, weights, bias, prediction, all_metrics=True)
    whole = audit.to_dict()
    for name in ("levels", "standard_errors", "nc2_class_means", "nc3_target", "nc1_layer_ratios", "distances", "structure"):
        assert_same(getattr(audit, name), whole[name], where=name)
    assert audit.levels["collapsed"] is not None and audit.standard_errors["nc1"] is not None
    assert audit.levels["unstructured"]["nc1"] == pytest.approx(nc.unstructured_levels([30, 20, 10], weights=weights)["nc1"])
    assert audit.feature_energy == pytest.approx(
        np.mean([(features[labels == k] ** 2).sum(axis=1).mean() for k in range(3)])
    )
    assert audit.weight_energy == pytest.approx((product_of(weights) ** 2).sum() / 3)
    plain = nc.audit(features, labels, weights, bias)
    assert plain.standard_errors is None and plain.distances["simplex_etf"]["nc3"] > 0 and plain.objective is None


def test_standard_errors_cover_repetitions():
    """The spread of NC1 over data sets that are drawn anew, beside the errors that each one states."""
    rng, labels = np.random.default_rng(4), np.arange(600) % 3
    weights, values, stated = rng.normal(size=(3, 4)), [], []
    for _ in range(60):
        features = np.eye(4)[labels] + 0.3 * rng.normal(size=(600, 4))
        audit = nc.audit(features, labels, weights, all_metrics=True)
        values.append(audit.nc1)
        stated.append(audit.standard_errors["nc1"])
    assert 0.7 < np.std(values, ddof=1) / np.mean(stated) < 1.4


def test_differences_between_audits():
    rng, labels = np.random.default_rng(5), np.arange(120) % 3
    prediction = nc.predict([40] * 3, weight_decay=1e-2, feature_decay=1e-3)
    features, weights = np.eye(4)[labels] + 0.3 * rng.normal(size=(120, 4)), rng.normal(size=(3, 4))
    early = nc.audit(features, labels, weights, prediction=prediction, all_metrics=True)
    late = nc.audit(features * 0.9 + 0.1 * np.eye(4)[labels], labels, weights, prediction=prediction, all_metrics=True)
    other, same = late.minus(early), late.minus(early, same_samples=True)
    for key in ("nc1", "nc3", "loss"):
        found, paired = other["metrics"][key], same["metrics"][key]
        assert found["value"] == pytest.approx(late.to_dict()[key]) and found["difference"] == found["value"] - found["other"]
        errors_of = [audit.standard_errors[key] for audit in (late, early)]
        assert found["standard_error"] == pytest.approx(np.hypot(*errors_of)) and not found["paired"]
        assert paired["paired"] and paired["standard_error"] < 0.5 * found["standard_error"]
    assert late.minus(late, same_samples=True)["metrics"]["nc1"]["standard_error"] == 0
    assert late.least_squares_split["within_classes"] == pytest.approx(
        nc.least_squares_split(features * 0.9 + 0.1 * np.eye(4)[labels], labels, weights, weight_decay=1e-2)["within_classes"]
    )
    with pytest.raises(errors.NotAnsweredError):
        late.minus(nc.audit(features, labels, weights))


def test_levels_are_averages():
    rng, labels = np.random.default_rng(1), np.repeat(np.arange(3), [30, 20, 10])
    found = []
    for _ in range(200):
        features, weights = rng.normal(size=(60, 12)), rng.normal(size=(3, 12))
        found.append(nc.nc2(weights, nc.ClassMatrix.simplex_etf(3)))
        assert nc.nc1(features, labels) > 0
    level = nc.unstructured_levels([30, 20, 10], weights=[rng.normal(size=(3, 12))])["nc2"]
    assert level == [] or level[0] is None or level[0] == pytest.approx(np.mean(found), rel=0.2)


def test_decays():
    features, labels, weights, _ = network([30, 20, 10], depth=2)
    squares = [(weight**2).sum() for weight in weights]
    energy = (features**2).sum()
    found, feature_decay = nc.infer_decays(weights, energy, weight_decay=[1e-2, None])
    assert found == pytest.approx([1e-2, 1e-2 * squares[0] / squares[1]])
    assert feature_decay == pytest.approx(1e-2 * squares[0] / energy)
    found, feature_decay = nc.infer_decays(weights, energy, feature_decay=1e-3)
    assert found == pytest.approx([1e-3 * energy / square for square in squares]) and feature_decay == 1e-3
    with pytest.raises(errors.NotAnsweredError):
        nc.infer_decays(weights, energy)
    # MSELoss of PyTorch is a mean over samples and outputs: 2/K of 1/(2N) Σ ‖z − e_y‖².
    assert nc.decay_of_code(2e-3, 4, loss="mean_squared_error") == pytest.approx(4e-3)
    assert nc.decay_of_code(2e-3, 4, loss="cross_entropy") == 2e-3
    arguments = {"loss": "mean_squared_error", "penalty": "sum_over_batch"}
    assert nc.feature_decay_of_code(2e-3, 4, samples=200, batch_size=20, **arguments) == pytest.approx(4e-4)
    with pytest.raises(errors.ArgumentError) as caught:
        nc.feature_decay_of_code(2e-3, 4, samples=200, **arguments)
    assert caught.value.argument == "batch_size"


def test_minority_collapse_of_the_layer_peeled_model():
    one = nc.LayerPeeled([100, 100, 1, 1], weight_energy=1.0, feature_energy=1.0)
    ratio = one.critical_ratio
    below, above = (max(int(ratio * factor), 1) for factor in (0.9, 1.1))
    for size, collapsed in ((below, False), (above + 1, True)):
        model = nc.LayerPeeled([size, size, 1, 1], weight_energy=1.0, feature_energy=1.0)
        assert model.minority_collapsed is collapsed, (ratio, size)


def test_numbers_are_plain():
    """What is returned can be written as JSON."""
    features, labels, weights, bias = network([6, 5, 4])
    json.dumps(nc.out_of_distribution(features, labels, features[:3] + 1, weights, bias))
    json.dumps(nc.shape(features[:3]))
    json.dumps(nc.confusion(features, labels, weights, bias))
