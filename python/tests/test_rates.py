"""How training comes near a minimum, beside gradient descent in NumPy."""

import numpy as np
import pytest

import neuralcollapse as nc
from neuralcollapse import errors


def descended(counts, decay, step, epochs, weights, features):
    """Plain gradient descent on the squared loss with decays of one layer; the states after each step."""
    labels = np.repeat(np.arange(len(counts)), counts)
    targets, samples = np.eye(len(counts))[labels], len(labels)
    for _ in range(epochs):
        yield weights, features
        residual = (features @ weights.T - targets) / samples
        weights, features = (
            weights - step * (residual.T @ features + decay * weights),
            features - step * (residual @ weights + decay * features),
        )


def test_the_logistic_law():
    counts, decay, step, start = [20, 20, 20], 1e-3, 5e-3, 0.05
    prediction = nc.predict(counts, weight_decay=decay, feature_decay=decay)
    law = prediction.logistic_law(0, start**2)
    assert law.limit == pytest.approx(np.sqrt(20) - 60 * decay) and law.rate == pytest.approx(2 * law.limit / 60)
    labels = np.repeat(np.arange(3), counts)
    # In the singular directions of the target, the same singular values of both.
    weights, features = start * np.eye(3), start * np.eye(3)[labels] / np.sqrt(20)
    found = [w[0, 0] ** 2 for w, _ in descended(counts, decay, step, 30_000, weights, features)]
    expected = law.squared_singular_values(step * np.arange(30_000))
    assert found == pytest.approx(expected, rel=5e-3)
    # Near the end, where s² comes near its limit at the rate of the law.
    half = np.arange(22_000, 30_000)
    fitted = nc.fitted_rate(step * half, np.abs(np.array(found)[half] - law.limit))
    assert fitted == pytest.approx(law.rate, rel=1e-2)
    with pytest.raises(errors.NotAnsweredError):
        nc.predict(counts, depth=2, weight_decay=decay, feature_decay=decay).logistic_law(0, 1.0)
    with pytest.raises(errors.ArgumentError):
        law.squared_singular_values([-1.0])


def test_the_rate_of_nc1():
    counts, decay, step = [15, 15, 15], 5e-3, 0.1
    prediction = nc.predict(counts, weight_decay=decay, feature_decay=decay, widths=[3])
    rng = np.random.default_rng(0)
    point, labels = prediction.explicit(seed=1), np.repeat(np.arange(3), counts)
    weights = point["weights"][0] + 0.01 * rng.normal(size=(3, 3))
    features = point["features"] + 0.01 * rng.normal(size=(45, 3))
    series, distances = [], []
    for index, (w, h) in enumerate(descended(counts, decay, step, 1500, weights, features)):
        if index % 50 == 0:
            series.append((index, nc.nc1(h, labels)))
            means = np.array([h[labels == k].mean(axis=0) for k in range(3)])
            distances.append(prediction.nearest_distance(w, means))
    times, values = np.array(series).T
    rates = prediction.rates(step)
    assert nc.fitted_rate(times[10:], values[10:]) == pytest.approx(rates["nc1"], rel=0.02)
    assert rates["nc0"] is None and rates["largest_step"] > step and not rates["reasons"]
    assert prediction.rates()["nc1"] is None and prediction.rates()["largest_step"] == rates["largest_step"]
    line_times, line = nc.line_of_rate(times, values, rates["nc1"])
    assert line[-1] == values[-1] and line_times[-1] == times[-1] and (line <= values.max()).all()
    assert np.log(line[-2] / line[-1]) == pytest.approx(50 * rates["nc1"])
    # The nearest minimizer: no other rotation of it is nearer, and descent comes near it.
    assert (np.diff([max(pair) for pair in distances[:10]]) < 0).all() and max(distances[-1]) < 0.5 * max(distances[0])
    means = np.array([features[labels == k].mean(axis=0) for k in range(3)])
    nearest = prediction.nearest_minimizer(weights, means)
    assert np.allclose(nearest["weights"] @ nearest["weights"].T, np.asarray(prediction.trailing_gram()), atol=1e-12)
    assert distances[0] == pytest.approx(
        (
            np.linalg.norm(weights - nearest["weights"]) / np.linalg.norm(nearest["weights"]),
            np.linalg.norm(means - nearest["class_means"]) / np.linalg.norm(nearest["class_means"]),
        )
    )

    def squared(w, h):
        return decay * ((w - weights) ** 2).sum() + 15 * decay * ((h - means) ** 2).sum()

    best = squared(nearest["weights"], nearest["class_means"])
    for seed in range(50):
        turn, _ = np.linalg.qr(np.eye(3) + 0.1 * np.random.default_rng(seed).normal(size=(3, 3)))
        assert squared(nearest["weights"] @ turn, nearest["class_means"] @ turn) >= best - 1e-12
    with pytest.raises(errors.ShapeError):
        prediction.nearest_distance(np.ones((3, 5)), np.ones((3, 5)))
    with pytest.raises(errors.NotAnsweredError):
        nc.MultiLabel(3, {1: 5}, weight_decay=1e-3, feature_decay=1e-3).rates()


def test_the_rate_of_nc0():
    rates = nc.predict([10] * 3, loss="ce", weight_decay=1e-2, feature_decay=1e-3).rates(0.5)
    assert rates["nc0"] == pytest.approx(-np.log(nc.nc0_factor(0.5, 1e-2))) and rates["nc1"] is None
    assert "squared loss" in rates["reasons"]["curvature"]
    with pytest.raises(errors.ArgumentError):
        nc.predict([10] * 3, loss="ce", weight_decay=1e-2, feature_decay=1e-3).rates(-1.0)
    assert nc.fitted_rate([1.0], [1.0]) is None
    with pytest.raises(errors.ShapeError):
        nc.fitted_rate([1.0, 2.0], [1.0])


def test_the_distance_of_outputs_is_bounded_by_the_loss():
    counts, decay = [12, 6], 1e-2
    prediction = nc.predict(counts, weight_decay=decay, feature_decay=decay, widths=[2])
    point, rng = prediction.explicit(), np.random.default_rng(0)
    labels = np.repeat([0, 1], counts)
    predicted = point["features"] @ point["weights"][0].T
    for size in (1e-3, 0.1, 1.0):
        weights = point["weights"][0] + size * rng.normal(size=(2, 2))
        features = point["features"] + size * rng.normal(size=(18, 2))
        loss = nc.objective(features, labels, weights, prediction=prediction)["loss"]
        bound = prediction.output_distance_bound(loss)
        assert np.linalg.norm(features @ weights.T - predicted) <= bound


def test_quasi_interpolation():
    gap = nc.QuasiInterpolation(10, 0.05)
    decay = gap.decay(3, 600)
    minimum = nc.predict([60] * 10, depth=3, weight_decay=decay, feature_decay=decay, bias="unregularized")
    assert minimum.quasi_interpolation.gap == pytest.approx(0.05)
    outputs = np.asarray(minimum.class_outputs()) + minimum.bias[:, None]
    assert np.allclose(outputs, np.asarray(gap.class_outputs()))
    assert outputs[0, 0] - outputs[1, 0] == pytest.approx(gap.margin)
    assert nc.predict([60, 50], weight_decay=decay, feature_decay=decay).quasi_interpolation is None
    assert gap == nc.QuasiInterpolation(10, 0.05) != nc.QuasiInterpolation(10, 0.06)
    with pytest.raises(errors.ArgumentError):
        nc.QuasiInterpolation(10, 1.0)


def relu(array):
    return np.maximum(array, 0)


def test_relu():
    decay = 1e-4
    minimum = nc.predict([50] * 10, depth=3, weight_decay=decay, feature_decay=decay)
    competitor = minimum.relu_competitor()
    assert competitor.loss < 0.94 * minimum.loss == pytest.approx(0.94 * competitor.linear_loss)
    assert (competitor.vertices, competitor.unit_size) == (5, 3)
    assert minimum.relu_proof()[0] == "proved_not_global"
    labels = np.repeat(np.arange(10), 50)

    def loss(point):
        hidden = point["features"]
        for weights in point["weights"][:-1]:
            hidden = relu(hidden @ weights.T)
        outputs = hidden @ point["weights"][-1].T
        squares = sum((array**2).sum() for array in [*point["weights"], point["features"]])
        return ((outputs - np.eye(10)[labels]) ** 2).sum() / 1000 + decay / 2 * squares

    assert loss(competitor.explicit()) == pytest.approx(competitor.loss)
    assert [weights.shape[1] for weights in competitor.explicit()["weights"]] == competitor.widths
    own = minimum.nonnegative_minimizer()
    assert loss(own) == pytest.approx(minimum.loss) and all((array >= 0).all() for array in own["weights"])
    assert nc.predict([50] * 3, weight_decay=decay, feature_decay=decay).relu_competitor() is None


def test_searches_say_what_they_found():
    found = nc.predict([20, 10, 5], depth=2, loss="ce", weight_decay=1e-2, feature_decay=1e-2, starts=5)
    search = found.search
    assert search["loss"] == found.loss and 1 <= search["hits"] <= search["starts"]
    assert search["gradient"] < 1e-6 and len(search["orbits"]) == 3
    landscape = nc.predict([10] * 4, depth=2, loss="ce", weight_decay=1e-2, feature_decay=1e-2, starts=5)
    assert landscape.search["loss"] >= landscape.loss * (1 - 1e-12)
    assert nc.predict([10] * 4, weight_decay=1e-2, feature_decay=1e-2).search is None
