"""The models beside those of `predict`'s first losses: their matrices attain their losses, computed here from scratch, and
nothing near them is lower."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuralcollapse as nc
from neuralcollapse import errors


def softmax_loss(outputs, targets):
    """Cross-entropy of each row with its probabilities."""
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -(targets * logs).sum(axis=1)


def near(rng, array, size):
    return array + size * rng.normal(size=array.shape)


SIZES = (0.0, 1e-3, 0.1, 1.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.floats(0.1, 10.0), st.floats(1e-6, 1e-2), st.sampled_from([0.0, 0.1]))
def test_fixed_head(counts, norm_squared, decay, smoothing):
    prediction = nc.FixedHead(counts, classifier_norm_squared=norm_squared, feature_decay=decay, label_smoothing=smoothing)
    assert prediction == nc.predict(
        counts, loss="fixed_etf", classifier_norm_squared=norm_squared, feature_decay=decay, label_smoothing=smoothing
    )
    classes = len(counts)
    head = nc.simplex_etf(classes) * np.sqrt(norm_squared)
    point = prediction.explicit()
    (weights,) = point["weights"]
    assert np.allclose(weights @ weights.T, head @ head.T, atol=1e-12 * norm_squared)
    labels, rng = point["labels"], np.random.default_rng(1)
    targets = (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes
    for size in SIZES:
        features = near(rng, point["features"], size)
        loss = softmax_loss(features @ weights.T, targets).mean() + decay / 2 * (features**2).sum()
        assert loss >= prediction.loss * (1 - 1e-9)
        if size == 0:
            assert loss == pytest.approx(prediction.loss, rel=1e-9)
    outputs = point["features"] @ weights.T
    own = outputs[np.arange(len(labels)), labels]
    outputs[np.arange(len(labels)), labels] = -np.inf
    assert own - outputs.max(axis=1) == pytest.approx(prediction.margin, rel=1e-9)
    response = prediction.response(targets[0])
    assert response["logits"][labels[0]] - min(response["logits"]) == pytest.approx(prediction.margin, rel=1e-9)
    with pytest.raises(errors.ShapeError):
        prediction.response([1.0])


def contrastive(features, labels, temperature):
    """The supervised contrastive loss as its authors write it."""
    products = features @ features.T / temperature
    np.fill_diagonal(products, -np.inf)
    logs = products - np.log(np.exp(products).sum(axis=1, keepdims=True))
    total = 0.0
    for i, label in enumerate(labels):
        positives = [p for p in np.flatnonzero(labels == label) if p != i]
        total -= sum(logs[i, p] for p in positives) / len(positives) if positives else 0.0
    return total


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_supervised_contrastive(nonnegative, temperature):
    counts = [5, 3, 1] if nonnegative else [4, 4, 4]
    prediction = nc.predict(counts, loss="supcon", temperature=temperature, nonnegative_features=nonnegative)
    assert isinstance(prediction, nc.SupervisedContrastive) and prediction.temperature == temperature
    means = prediction.class_means()
    assert np.allclose((means**2).sum(axis=1), 1)
    assert np.allclose(np.asarray(prediction.class_means_gram()), means @ means.T)
    turned = prediction.class_means(seed=3) if not nonnegative else means
    assert np.allclose(turned @ turned.T, means @ means.T)
    labels = np.repeat(np.arange(3), counts)
    assert contrastive(means[labels], labels, temperature) == pytest.approx(prediction.loss, rel=1e-12)
    rng = np.random.default_rng(0)
    for size in (1e-3, 0.03, 0.3, 1.0):
        features = near(rng, means[labels], size)
        features = np.abs(features) if nonnegative else features
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        assert contrastive(features, labels, temperature) >= prediction.loss * (1 - 1e-12)
    with pytest.raises(errors.NoClosedFormError):
        nc.SupervisedContrastive([5, 3], temperature=1.0)
    with pytest.raises(errors.NotAnsweredError):
        prediction.trailing_gram()


def test_spherical_cross_entropy():
    prediction = nc.SphericalCrossEntropy([6] * 5, temperature=0.3)
    assert prediction == nc.predict([6] * 5, loss="spherical-ce", temperature=0.3)
    means, rng = prediction.class_means(), np.random.default_rng(0)
    for size in SIZES:
        features, weights = near(rng, means, size), near(rng, means, size)
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
        loss = softmax_loss(features @ weights.T / 0.3, np.eye(5)).mean()
        assert loss >= prediction.loss * (1 - 1e-12)
        if size == 0:
            assert loss == pytest.approx(prediction.loss, rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 6), st.dictionaries(st.integers(1, 3), st.integers(1, 5), min_size=1), st.floats(1e-5, 1e-2), st.floats(1e-5, 1e-2))
def test_several_tags(tags, samples, weight_decay, feature_decay):
    prediction = nc.MultiLabel(tags, samples, weight_decay=weight_decay, feature_decay=feature_decay)
    assert prediction.counts is None and prediction.loss_function == "pick_all_labels"
    point, sets = prediction.explicit(), prediction.tag_sets()
    labels, (weights,), features = point["labels"], point["weights"], point["features"]
    assert sorted(np.bincount(labels).tolist()) == sorted(samples[len(tag_set)] for tag_set in sets)
    targets = np.array([[tag in sets[label] for tag in range(tags)] for label in labels], float)
    rng = np.random.default_rng(0)
    for size in SIZES:
        h, w = near(rng, features, size), near(rng, weights, size)
        loss = softmax_loss(h @ w.T, targets).mean()
        loss += weight_decay / 2 * (w**2).sum() + feature_decay / 2 * (h**2).sum()
        assert loss >= prediction.loss * (1 - 1e-9)
        if size == 0:
            assert loss == pytest.approx(prediction.loss, rel=1e-9)
    gram = features @ features.T
    for i, j in ((0, 0), (0, len(labels) - 1)):
        one, other = (set(sets[labels[place]]) for place in (i, j))
        product = prediction.feature_product(len(one), len(other), len(one & other))
        assert product == pytest.approx(gram[i, j], abs=1e-9 * max(1.0, gram[0, 0]))
    outputs = features @ weights.T
    for label, row in zip(labels, outputs, strict=True):
        inside = np.isin(np.arange(tags), sets[label])
        if 0 < inside.sum() < tags:
            gap = row[inside].mean() - row[~inside].mean()
            assert gap == pytest.approx(prediction.logit_size(int(inside.sum())), abs=1e-8)
    with pytest.raises(errors.NotAnsweredError):
        prediction.class_table()


def test_tags_are_averages():
    prediction = nc.MultiLabel(5, {1: 20, 2: 5, 3: 1}, weight_decay=1e-3, feature_decay=1e-4)
    point, sets = prediction.explicit(seed=1), prediction.tag_sets()
    means = np.array([point["features"][point["labels"] == number].mean(axis=0) for number in range(len(sets))])
    several = [number for number, tags in enumerate(sets) if len(tags) > 1]
    found = nc.tag_average_residuals(means[:5], [sets[number] for number in several], means[several])
    assert [row["tags"] for row in found] == [2, 3]
    assert all(row["residual"] < 1e-12 for row in found)
    # The factor is that of the average over the tags, computed here.
    average = (means[0] + means[1]) / 2
    factor = np.linalg.norm(means[several[0]]) / np.linalg.norm(average)
    assert found[0]["factor"] == pytest.approx(factor, rel=1e-9)
    assert nc.tag_average_residuals(means[:5], [[0, 1]], means[[3]])[0]["residual"] > 0.1


LABELS = np.array([[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5], [0.0, 0.5, 0.5]])


@pytest.mark.parametrize("bias", [None, "unregularized", 1e-2])
def test_soft_labels(bias):
    samples, decays = [7, 5, 3, 2], {"weight_decay": 3e-3, "feature_decay": 2e-3}
    prediction = nc.SoftLabels(LABELS, samples, bias=bias, **decays)
    point, rng = prediction.explicit(), np.random.default_rng(0)
    labels, (weights,) = point["labels"], point["weights"]
    assert np.bincount(labels).tolist() == samples
    offset = np.zeros(3) if bias is None else point["bias"]

    def loss_at(w, h, b):
        loss = softmax_loss(h @ w.T + b, LABELS[labels]).mean() + 3e-3 / 2 * (w**2).sum() + 2e-3 / 2 * (h**2).sum()
        return loss + (bias if isinstance(bias, float) else 0.0) / 2 * (b**2).sum()

    assert loss_at(weights, point["features"], offset) == pytest.approx(prediction.loss, rel=1e-9)
    for size in SIZES:
        moved = offset if bias is None else near(rng, offset, size)
        assert loss_at(near(rng, weights, size), near(rng, point["features"], size), moved) >= prediction.lower_bound
    first = [int(np.flatnonzero(labels == number)[0]) for number in range(4)]
    assert np.allclose(prediction.outputs, (point["features"] @ weights.T)[first], atol=1e-6)
    gram = point["features"] @ point["features"].T
    assert np.allclose(prediction.features_gram, gram[np.ix_(first, first)], atol=1e-6)

    audit = nc.audit_soft_labels(point["features"], labels, weights, point["bias"], prediction=prediction)
    assert audit.nc1 < 1e-10 and audit.nc2 < 1e-6 and audit.nc3 < 1e-6 and audit.features < 1e-6
    assert audit.loss == pytest.approx(prediction.loss, rel=1e-9) and abs(audit.loss_gap) < 1e-10
    assert audit.gradient_norm < 1e-5 and audit.verdict == "global_minimum"
    assert "<table>" in audit._repr_html_() and audit.to_dict()["loss_gap"] == audit.loss_gap
    moved = nc.audit_soft_labels(near(rng, point["features"], 0.3), labels, weights, point["bias"], prediction=prediction)
    assert moved.loss_gap > 1e-3 and moved.nc1 > 1e-2
    objective = nc.objective(point["features"], labels, weights, point["bias"], prediction=prediction)
    assert objective["loss"] == pytest.approx(prediction.loss, rel=1e-9)
    with pytest.raises(errors.MismatchError):
        nc.audit_soft_labels(point["features"][:-1], labels[:-1], weights, point["bias"], prediction=prediction)


def test_audits_of_tags_and_contexts():
    rng = np.random.default_rng(3)
    decays = {"weight_decay": 3e-3, "feature_decay": 2e-3}
    prediction = nc.MultiLabel(3, {1: 4, 2: 2}, **decays)
    point = prediction.explicit()
    labels = np.repeat(np.arange(6), [4, 4, 4, 2, 2, 2])
    audit = nc.audit_soft_labels(point["features"], labels, point["weights"], prediction=prediction)
    assert abs(audit.loss_gap) < 1e-12 and audit.features < 1e-12 and audit.verdict == "global_minimum"
    assert [entry["tags"] for entry in audit.tag_averages] == [1, 2]
    moved = nc.audit_soft_labels(near(rng, point["features"], 0.3), labels, point["weights"], prediction=prediction)
    assert moved.loss_gap_relative > 1e-3 and moved.tag_averages[1]["residual"] > 1e-3

    contexts = nc.SparseLabels(4, [[0, 1], [2], [3]], [3, 2, 2])
    point = contexts.explicit()
    audit = nc.audit_soft_labels(point["features"], np.repeat(np.arange(3), [3, 2, 2]), point["weights"], prediction=contexts)
    assert audit.nc3 < 1e-12 and audit.features < 1e-12 and audit.loss is None and "loss_gap" in audit.reasons
    assert "<table>" in audit._repr_html_() and "loss_gap=None" in repr(audit)

    classes = nc.Ufm([3, 2, 2], **decays)
    with pytest.raises(errors.NotAnsweredError, match="audit"):
        nc.audit_soft_labels(np.ones((7, 4)), np.repeat(np.arange(3), [3, 2, 2]), np.ones((3, 4)), prediction=classes)
    with pytest.raises(errors.NotAnsweredError, match="audit_soft_labels"):
        nc.audit(point["features"], np.repeat(np.arange(3), [3, 2, 2]), np.ones((3, point["features"].shape[1])), prediction=contexts)


def test_weighted_soft_labels():
    samples, weights = [7, 5, 3, 2], np.array([2.0, 1.0, 0.5, 3.0])
    prediction = nc.SoftLabels(LABELS, samples, label_weights=weights, weight_decay=3e-3, feature_decay=2e-3)
    point = prediction.explicit()
    labels, (layer,) = point["labels"], point["weights"]
    losses = np.array([softmax_loss(z[None], y[None])[0] for z, y in zip(point["features"] @ layer.T, LABELS[labels])])
    penalties = 3e-3 / 2 * (layer**2).sum() + 2e-3 / 2 * (point["features"] ** 2).sum()
    assert (weights[labels] * losses).mean() + penalties == pytest.approx(prediction.loss, rel=1e-9)
    # Twice the weight is half the decay.
    doubled = nc.SoftLabels(LABELS, samples, label_weights=2 * weights, weight_decay=6e-3, feature_decay=4e-3)
    assert doubled.loss == pytest.approx(2 * prediction.loss, rel=1e-10)
    with pytest.raises(ValueError, match="label_weights"):
        nc.SoftLabels(LABELS, samples, label_weights=[1.0], weight_decay=3e-3, feature_decay=2e-3)


def test_sparse_labels():
    supports, samples = [[0, 1], [2], [3]], [50, 30, 20]
    prediction = nc.SparseLabels(4, supports, samples)
    assert prediction.proof == "proved" and prediction.certificate["exactness"] == "polar" and not prediction.has_scale
    indicators = np.array([[1.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    centered = indicators - indicators.mean(axis=1, keepdims=True)
    assert np.allclose(prediction.centered_supports, centered)
    # The loss is the nuclear norm, by NumPy.
    scaled = centered.T * np.sqrt(samples)
    assert prediction.loss == pytest.approx(np.linalg.norm(scaled, "nuc"), rel=1e-12)
    vectors, values, _ = np.linalg.svd(scaled, full_matrices=False)
    assert prediction.trailing_gram().distance((vectors * values) @ vectors.T) < 1e-12
    smallest = prediction.smallest_logits()
    assert smallest["norm"] == pytest.approx(prediction.loss, rel=1e-6)
    assert np.allclose(smallest["logits"], centered, atol=1e-4)
    soft = nc.SparseLabels.from_labels(indicators / indicators.sum(axis=1, keepdims=True), samples)
    assert soft == prediction and soft.supports == supports
    gram = np.asarray(prediction.context_gram())
    assert gram.shape == (3, 3) and gram[0, 1] < 0


@pytest.mark.parametrize("bias", [None, "unregularized"])
@pytest.mark.parametrize("depth", [1, 2])
def test_regression(bias, depth):
    rng = np.random.default_rng(5)
    targets, decays = rng.normal(size=(30, 3)) + 1.0, {"weight_decay": 1e-2, "feature_decay": 2e-3}
    prediction = nc.Ufm.from_targets(targets, depth=depth, bias=bias, widths=[6] * depth, **decays)
    point = prediction.explicit()
    assert point["labels"] is None and prediction.counts is None

    def loss_at(size):
        features = near(rng, point["features"], size)
        outputs, penalty = features, 2e-3 / 2 * (features**2).sum()
        for weight in point["weights"]:
            weight = near(rng, weight, size)
            outputs, penalty = outputs @ weight.T, penalty + 1e-2 / 2 * (weight**2).sum()
        outputs = outputs if bias is None else outputs + near(rng, point["bias"], size)
        return ((outputs - targets) ** 2).sum() / 2 / len(targets) + penalty

    assert loss_at(0.0) == pytest.approx(prediction.loss, rel=1e-9)
    assert min(loss_at(size) for size in SIZES) >= prediction.loss * (1 - 1e-9)
    audit = nc.audit_regression(point["features"], targets, point["weights"], point["bias"], **decays)
    assert abs(audit.loss_gap) < 1e-12 and max(audit.gram_distances) < 1e-9 and audit.output_distance < 1e-9
    assert audit.nrc1 < 1e-12 and audit.nrc2 < 1e-12
    assert audit.fit == pytest.approx(audit.fit_predicted, abs=1e-9)
    assert "NRC1" in audit._repr_html_() and set(audit.to_dict()) >= {"nrc1", "loss", "loss_gap"}
    noisy = near(rng, point["features"], 0.3)
    moved = nc.audit_regression(noisy, targets, point["weights"], point["bias"], **decays)
    assert moved.loss_gap > 1e-3 and moved.nrc2 > 1e-3
    assert all(moved.standard_errors[key] > 0 for key in ("nrc1", "nrc2", "fit", "loss", "loss_gap"))
    with pytest.raises(errors.NoClosedFormError):
        nc.Ufm.from_targets(targets, bias=1e-3, **decays)


def test_metrics_of_regression():
    rng = np.random.default_rng(2)
    features, weights, targets = rng.normal(size=(40, 6)), rng.normal(size=(2, 6)), rng.normal(size=(40, 2))
    units = features - features.mean(axis=0)
    _, _, directions = np.linalg.svd(units, full_matrices=False)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    rest = units - units @ directions[:2].T @ directions[:2]
    assert nc.nrc1(features, 2) == pytest.approx((rest**2).sum() / 40, rel=1e-9)
    rows = np.linalg.qr(weights.T)[0]
    rest = units - units @ rows @ rows.T
    assert nc.nrc2(features, weights) == pytest.approx((rest**2).sum() / 40, rel=1e-9)
    covariance = np.cov(targets.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    gamma = nc.predicted_gamma(40, 1e-2, 1e-3)
    assert gamma == pytest.approx(40 * 1e-5)
    target = (vectors * np.clip(np.sqrt(values) - np.sqrt(gamma), 0, None)) @ vectors.T
    gram = weights @ weights.T
    distance = np.linalg.norm(gram / np.linalg.norm(gram) - target / np.linalg.norm(target)) ** 2
    assert nc.nrc3(weights, covariance, gamma) == pytest.approx(distance, rel=1e-9)


def test_pytorch_weights():
    """The loss of `CrossEntropyLoss(weight, label_smoothing)`, written down with NumPy."""
    counts, weight, smoothing = [30, 20, 10], np.array([0.5, 1.0, 3.0]), 0.1
    decays = {"weight_decay": 2e-3, "feature_decay": 3e-4}
    prediction = nc.predict(counts, loss="ce", pytorch_weight=weight, label_smoothing=smoothing, **decays)
    assert isinstance(prediction, nc.CrossEntropy)
    point, rng = prediction.explicit(), np.random.default_rng(1)
    labels, (weights,) = point["labels"], point["weights"]

    def loss_at(w, h):
        outputs = h @ w.T
        logs = outputs - np.log(np.exp(outputs).sum(axis=1, keepdims=True))
        smoothed = (1 - smoothing) * np.eye(3)[labels] + smoothing / 3
        data_term = -(smoothed * weight * logs).sum() / weight[labels].sum()
        return data_term + 2e-3 / 2 * (w**2).sum() + 3e-4 / 2 * (h**2).sum()

    assert loss_at(weights, point["features"]) == pytest.approx(prediction.loss, rel=1e-8)
    for size in SIZES:
        assert loss_at(near(rng, weights, size), near(rng, point["features"], size)) >= prediction.lower_bound
    for name, value in (("class_weights", weight), ("logit_offsets", weight)):
        with pytest.raises(errors.ArgumentError):
            nc.predict(counts, loss="ce", pytorch_weight=weight, **{name: value}, **decays)
    with pytest.raises(errors.ArgumentError):
        nc.predict(counts, loss="mse", pytorch_weight=weight, **decays)


def test_margins():
    counts = [40, 10, 10]
    margins = nc.simplex_margins(counts)
    seli = nc.Seli(counts, margins=margins)
    assert nc.ClassMatrix.simplex_etf(3).distance(np.asarray(seli.trailing_gram())) < 1e-9
    assert seli == nc.predict(counts, loss="uf_svm", margins=margins)
    assert seli != nc.Seli(counts)
    scaled = nc.Seli(counts, logit_scales=[1.0, 0.5, 0.5])
    outputs = np.asarray(scaled.class_outputs())
    # Column y has δ_y z_y − δ_k z_k ≥ 1, with equality at the minimum.
    scales = np.array([1.0, 0.5, 0.5])
    gaps = np.diag(outputs * scales[:, None])[None, :] - outputs * scales[:, None]
    assert gaps[~np.eye(3, dtype=bool)] == pytest.approx(1.0, abs=1e-9)


def test_class_weights_of_the_class():
    decays = {"weight_decay": 2e-3, "feature_decay": 3e-4}
    weights = [0.5, 1.0, 2.5]
    assert nc.Ufm([30, 20, 10], class_weights=weights, **decays) == nc.predict([30, 20, 10], class_weights=weights, **decays)
    plain = nc.Ufm([30, 20, 10], **decays)
    assert plain != nc.Ufm([30, 20, 10], class_weights=weights, **decays)


def test_points_of_the_landscape():
    prediction = nc.CrossEntropy([10] * 4, depth=2, weight_decay=1e-3, feature_decay=1e-3, starts=0)
    losses = [point["loss"] for point in prediction.points]
    assert min(losses) == prediction.loss and prediction.simplex_etf_loss in losses
    assert nc.CrossEntropy([10, 5], weight_decay=1e-3, feature_decay=1e-3).points == []


def test_codes():
    angles = 2 * np.pi * np.arange(7) / 7
    polygon = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    bound = nc.one_vs_rest_bound(7, 2)
    assert bound["attained"] and nc.one_vs_rest_distance(polygon) == pytest.approx(bound["distance"], abs=1e-12)
    random = np.random.default_rng(0).normal(size=(7, 2))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    assert nc.one_vs_rest_distance(random) < bound["distance"]


ALL = [
    lambda: nc.FixedHead([5, 3], classifier_norm_squared=1.0, feature_decay=1e-3),
    lambda: nc.SupervisedContrastive([5, 5], temperature=0.5),
    lambda: nc.SphericalCrossEntropy([5, 5], temperature=0.5),
    lambda: nc.MultiLabel(4, {1: 5, 2: 1}, weight_decay=1e-3, feature_decay=1e-3, width=6),
    lambda: nc.SoftLabels(LABELS, [1, 2, 3, 4], weight_decay=1e-3, feature_decay=1e-3),
    lambda: nc.SparseLabels(4, [[0, 1], [2]], [3, 4]),
    lambda: nc.Ufm.from_targets(np.arange(12.0).reshape(4, 3) % 5, weight_decay=1e-3, feature_decay=1e-3),
    lambda: nc.predict([5, 3], loss="ce", pytorch_weight=[1.0, 2.0], weight_decay=1e-3, feature_decay=1e-3),
    lambda: nc.Seli([5, 3], margins=[1.0, 2.0]),
]


@pytest.mark.parametrize("make", ALL)
def test_they_are_predictions(make):
    """Each can be pickled, shown, asked and drawn."""
    prediction = make()
    read = pickle.loads(pickle.dumps(prediction))
    assert type(read) is type(prediction) and read == prediction and read.loss == prediction.loss
    assert repr(prediction).startswith(type(prediction).__name__ + "(")
    assert "<table>" in prediction._repr_html_()
    found = prediction.to_dict()
    assert found["loss"] == prediction.loss and found["proof"] == prediction.proof
    assert isinstance(prediction.training_objective, dict)
    pytest.importorskip("matplotlib")
    assert prediction.plot().axes


def test_what_a_loss_does_not_use_is_refused():
    decays = {"weight_decay": 1e-3, "feature_decay": 1e-3}
    for keywords, argument in (
        ({"loss": "supcon", "temperature": 1.0, "weight_decay": 1e-3}, "weight_decay"),
        ({"loss": "fixed_etf", "classifier_norm_squared": 1.0, **decays}, "weight_decay"),
        ({"loss": "fixed_etf", "feature_decay": 1e-3}, "classifier_norm_squared"),
        ({"loss": "spherical_ce"}, "temperature"),
        ({"loss": "ce", "temperature": 1.0, **decays}, "temperature"),
        ({"loss": "ce", "margins": [1, 1], **decays}, "margins"),
        ({"loss": "uf_svm", "label_smoothing": 0.1}, "label_smoothing"),
    ):
        with pytest.raises(errors.ArgumentError) as caught:
            nc.predict([5, 5], **keywords)
        assert caught.value.argument == argument
