import pickle

import numpy as np
import pytest
from conftest import assert_same, program

import neuralcollapse as nc


def test_the_example_of_the_documentation():
    prediction = nc.predict([200, 100, 50, 50], depth=3, weight_decay=5e-4, feature_decay=5e-4)
    assert isinstance(prediction, nc.Ufm)
    assert prediction.geometry == "general_orthogonal_frame"
    assert prediction.loss == pytest.approx(0.012218400, abs=1e-9)
    assert prediction.proof == "proved" and "Theorem" in prediction.statement
    assert prediction.class_table()[3]["classifier_norm_squared"] == pytest.approx(2.64489, abs=1e-5)
    assert prediction.counts.tolist() == [200, 100, 50, 50]
    assert prediction.smallest_surviving_count < 1


@pytest.mark.parametrize("loss", ["mse", "ce"])
@pytest.mark.parametrize("bias", [None, "unregularized", 1e-3])
@pytest.mark.parametrize("counts", [[10, 10, 10], [30, 20, 10]])
def test_matrices_attain_the_loss(loss, bias, counts):
    """The loss of explicit matrices, computed here from scratch."""
    decays = {"weight_decay": 2e-3, "feature_decay": 3e-4}
    prediction = nc.predict(counts, loss=loss, bias=bias, **decays)
    point = prediction.explicit(seed=4)
    features, labels, (weights,) = point["features"], point["labels"], point["weights"]
    outputs = features @ weights.T
    penalty = decays["weight_decay"] / 2 * (weights**2).sum() + decays["feature_decay"] / 2 * (features**2).sum()
    if bias is not None:
        outputs = outputs + point["bias"]
        penalty += (bias if isinstance(bias, float) else 0.0) / 2 * (point["bias"] ** 2).sum()
    else:
        assert point["bias"] is None
    if loss == "mse":
        data_term = ((outputs - np.eye(len(counts))[labels]) ** 2).sum() / 2 / len(labels)
    else:
        shifted = outputs - outputs.max(axis=1, keepdims=True)
        data_term = (np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]).mean()
    assert data_term + penalty == pytest.approx(prediction.loss, rel=1e-9)
    assert np.bincount(labels).tolist() == counts


def test_weights_and_offsets_of_classes():
    """The loss of explicit matrices, computed here from scratch."""
    counts, decays = [30, 20, 10], {"weight_decay": 2e-3, "feature_decay": 3e-4}
    weights, offsets = np.array([0.5, 1.0, 2.5]), np.log([30, 20, 10])
    for keywords in ({"loss": "ce", "class_weights": weights, "logit_offsets": offsets}, {"class_weights": weights}):
        prediction = nc.predict(counts, bias=None, **decays, **keywords)
        point = prediction.explicit()
        features, labels, (weight,) = point["features"], point["labels"], point["weights"]
        outputs = features @ weight.T
        if "loss" in keywords:
            outputs = outputs + offsets
            each = np.log(np.exp(outputs).sum(axis=1)) - outputs[np.arange(60), labels]
        else:
            each = ((outputs - np.eye(3)[labels]) ** 2).sum(axis=1) / 2
        penalty = decays["weight_decay"] / 2 * (weight**2).sum() + decays["feature_decay"] / 2 * (features**2).sum()
        assert (weights[labels] * each).mean() + penalty == pytest.approx(prediction.loss, rel=1e-8)


def test_the_objects_beneath():
    decays = {"depth": 2, "weight_decay": 1e-3, "feature_decay": 1e-3}
    assert nc.Ufm([10, 10], **decays) == nc.predict([10, 10], **decays)
    assert nc.CrossEntropy([10] * 4, **decays) == nc.predict([10] * 4, loss="ce", **decays)
    peeled = nc.LayerPeeled([100, 100, 1, 1], weight_energy=1.0, feature_energy=1.0)
    assert peeled == nc.predict([100, 100, 1, 1], loss="layer-peeled", weight_energy=1.0, feature_energy=1.0)
    assert peeled.minority_collapsed in (True, False)
    seli = nc.Seli([40, 10, 10])
    assert seli == nc.predict("40,10x2", loss="uf-svm") and not seli.has_scale
    assert nc.predict([10, 10], weight_decay=[1e-3, 2e-3], feature_decay=1e-3).depth == 2
    curvature = nc.Ufm([10, 10], weight_decay=1e-3, feature_decay=1e-3).curvature()
    assert curvature["largest_step"] > 0 and len(curvature["eigenvalues"]) > 1


def test_directions_minimize_the_potential():
    prediction = nc.Ufm([200, 100, 50], depth=3, weight_decay=5e-4, feature_decay=5e-4)
    for direction in prediction.directions:
        expected = nc.Potential(3).minimizer(3 * direction["ratio"])["x"]
        assert direction["x"] == pytest.approx(expected, rel=1e-12)


def test_gram_matrices():
    prediction = nc.predict([10] * 4, bias="unregularized", weight_decay=1e-3, feature_decay=1e-3)
    assert prediction.geometry == "simplex_etf"
    etf = nc.simplex_etf(4)
    assert np.allclose((etf @ etf.T)[0, 1], -1 / 3)
    assert prediction.trailing_gram().distance(etf @ etf.T) < 1e-14
    assert prediction.trailing_gram().distance_to_gram(etf) < 1e-14
    gram = prediction.class_means_gram()
    dense = np.asarray(gram)
    assert dense.shape == (4, 4) and gram.get(1, 2) == dense[1, 2]
    assert gram.cosine(0, 1) == pytest.approx(-1 / 3)
    assert nc.ClassMatrix.simplex_etf(4).distance(dense) < 1e-14
    frame = nc.general_orthogonal_frame([1.0, 2.0])
    assert nc.ClassMatrix.diagonal([1.0, 4.0]).distance(frame @ frame.T) < 1e-15
    order = nc.ClassMatrix(np.diag([1.0, 2.0, 3.0])).matching(np.diag([3.0, 1.0, 2.0]))
    assert order == [1, 2, 0]


def test_the_potential():
    potential = nc.Potential(3)
    x = potential.minimizer(0.1)
    grid = np.linspace(0, 5, 2001)
    assert potential.values(grid, 0.1).min() >= x["value"] - 1e-15
    assert potential.value(x["x"], 0.1) == x["value"]
    assert abs(potential.derivative(x["x"], 0.1)) < 1e-14
    for slope, alive in ((0.999, True), (1.001, False)):
        assert (potential.minimizer(slope * potential.slope_threshold)["x"] > 0) == alive
    assert potential.slope_threshold == pytest.approx(3 * potential.threshold) and potential.fold > potential.slope_threshold
    assert nc.critical_imbalance_ratio(5, 5, 100, weight_decay=1e-3, feature_decay=1e-3) == pytest.approx(19.0)


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        (["--loss", "mse", "--depth", "3"], {"loss": "mse", "depth": 3}),
        (["--loss", "mse", "--depth", "1", "--bias", "unregularized"], {"loss": "mse", "bias": "unregularized"}),
        (["--loss", "ce", "--depth", "1"], {"loss": "ce"}),
        (["--loss", "ce", "--bias", "1e-3", "--depth", "2"], {"loss": "ce", "bias": 1e-3, "depth": 2}),
    ],
)
def test_the_program_says_the_same(arguments, keywords):
    decays = ["--weight-decay", "1e-3", "--feature-decay", "2e-4"]
    expected = program("predict", "--counts", "30x5", *decays, *arguments)
    found = nc.predict([30] * 5, weight_decay=1e-3, feature_decay=2e-4, **keywords).to_dict()
    for key in found:
        if key != "classes":
            assert_same(found[key], expected[key], where=key)
    for row, other in zip(found["classes"], expected["classes"], strict=True):
        assert_same(row, {name: other[name] for name in row})


def test_predictions_can_be_pickled():
    for prediction in (
        nc.predict([30, 20, 10], depth=2, weight_decay=1e-3, feature_decay=1e-3, widths=[8, 8]),
        nc.predict([10] * 5, loss="ce", depth=2, weight_decay=1e-3, feature_decay=1e-3, starts=2, seed=3),
        nc.LayerPeeled([10, 5], weight_energy=1.0, feature_energy=2.0),
        nc.Seli([10, 5]),
    ):
        read = pickle.loads(pickle.dumps(prediction))
        assert type(read) is type(prediction) and read == prediction and read.loss == prediction.loss


def test_what_is_shown():
    prediction = nc.predict([200, 100, 50, 50], depth=3, weight_decay=5e-4, feature_decay=5e-4)
    assert repr(prediction).startswith("Ufm(geometry='general_orthogonal_frame', K=4, M=3, loss=1.2218")
    html = prediction._repr_html_()
    assert "<table>" in html and "<td>2–3</td>" in html and "Theorem" in html
    assert prediction.training_objective["penalized"]["loss_function"] == "mse"


def test_only_a_proved_minimum_is_called_f_star():
    """In the tables, whatever the model."""
    decays = {"weight_decay": 5e-3, "feature_decay": 5e-3}
    proofs = set()
    for counts, keywords in (
        ([6, 4, 2], {"depth": 2, **decays}),
        ([100] * 6, {"loss": "ce", **decays}),
        ([6, 4, 2], {"loss": "ce", **decays}),
        ([10] * 6, {"loss": "ce", "depth": 2, "weight_decay": 1e-3, "feature_decay": 1e-4, "bias": 0.1}),
    ):
        prediction = nc.predict(counts, **keywords)
        html = prediction._repr_html_()
        assert ("f*" in html) == (prediction.proof == "proved"), html
        assert ("loss of the best known point" in html) == (prediction.proof != "proved"), html
        proofs.add(prediction.proof)
    assert proofs == {"proved", "proved_within_gap", "best_known"}
