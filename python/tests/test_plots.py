from collections import Counter

import numpy as np
import pytest
from conftest import DATA, network, read_safetensors

import neuralcollapse as nc
from neuralcollapse import errors

pytest.importorskip("matplotlib")

TITLES = {
    "classifier": "classifier",
    "class_means": "class means",
    "outputs": "outputs",
}
NORMS = {
    "classifier_norm_squared": ("squared norms of the classifier's rows", "‖wₖ‖²"),
    "feature_norm_squared": ("squared norms of the class means", "‖hₖ‖²"),
}


def drawn(figure, path):
    """The axes of a figure by their titles, of which two lines are the first; those of color bars have none."""
    figure.savefig(path, dpi=40)
    assert path.stat().st_size > 1000
    titled = [axes for axes in figure.axes if axes.get_title()]
    found = {axes.get_title().split("\n")[0]: axes for axes in titled}
    assert len(found) == len(titled)
    for axes in titled:
        if axes.axison:
            assert axes.get_xlabel()
            assert axes.get_ylabel() or axes.images
    return found


def points(axes, label):
    """The points of the lines or marks of this label."""
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return line.get_xydata()


def bar(axes):
    """What a matrix's color bar says."""
    return axes.images[0].colorbar.ax.get_ylabel()


def spread(values):
    return [value for value, number in values for _ in range(number)]


def imbalanced(**options):
    features, labels, weights, _ = network([40, 30, 30, 8], **options)
    prediction = nc.predict([40, 30, 30, 8], depth=len(weights), weight_decay=2e-2, feature_decay=1e-2)
    return features, labels, weights, prediction


def test_predictions(tmp_path):
    prediction = nc.predict([200, 100, 50, 50], depth=3, weight_decay=5e-4, feature_decay=5e-4)
    axes = drawn(prediction.plot(), tmp_path / "prediction.png")
    assert len(axes) == 12
    for index, (key, (title, symbol)) in enumerate(NORMS.items()):
        rows = {(row["count"], row[key]) for row in prediction.class_table()}
        assert set(map(tuple, points(axes[title], "predicted"))) == rows
        assert (axes[title].get_xlabel(), axes[title].get_ylabel()) == ("samples of the class, nₖ", symbol)
        for size, norm in points(axes[title], "predicted, all sizes")[::40]:
            assert norm == prediction.norms_of_size(size)[index]
    matrices = prediction.trailing_gram(), prediction.class_means_gram(), prediction.class_outputs()
    for name, matrix in zip(TITLES, matrices, strict=True):
        shown = axes[f"{TITLES[name]}, predicted"]
        assert np.allclose(shown.images[0].get_array(), matrix.to_numpy(), rtol=1e-13, atol=0)
        assert shown.get_xlabel() == "class, by falling size"
        assert bar(shown) == ("output for class mean" if name == "outputs" else "inner product")
        # Lines where smaller classes begin.
        assert sorted(line.get_ydata()[0] for line in shown.lines if line.get_xdata()[1] == 1)[-2:] == [0.5, 1.5]
    for name in ("rows of the classifier", "class means"):
        bars = axes[f"cosines between {name}"].patches
        assert [bar.get_height() for bar in bars if bar.get_height()] == [6]
    # All layers and the features have the same singular values here.
    spectra = axes["singular values"]
    assert [line.get_label() for line in spectra.lines] == ["W₁, W₂, W₃, H", "W₃⋯W₁"]
    assert points(spectra, "W₁, W₂, W₃, H")[:, 1].tolist() == spread(prediction.singular_values(1))
    assert points(spectra, "W₃⋯W₁")[:, 1].tolist() == spread(prediction.singular_values(1, 3))
    # Orthogonal vectors; the longest has length 1.
    tips = points(axes["vectors in the plane of the star"], "classifier's rows")
    assert np.hypot(*tips.T).max() == pytest.approx(1)


def test_thresholds_and_potential(tmp_path):
    prediction = nc.predict([200, 100, 50, 50], depth=3, weight_decay=5e-4, feature_decay=5e-4)
    axes = drawn(prediction.plot(), tmp_path / "prediction.png")
    shown = axes["which classes collapse"]
    limits = {limit["surviving"]: limit["points"] for limit in prediction.phase_diagram()["limits"]}
    names = {0: "none survives above", 1: "1 direction survives above", 2: "2 directions survive above"}
    assert set(limits) == set(names)
    for number, name in names.items():
        assert points(shown, name).tolist() == [list(point) for point in limits[number]]
    assert points(shown, "this problem").tolist() == [[4, 1]]
    assert (shown.get_xscale(), shown.get_yscale()) == ("log", "log")
    assert (shown.get_xlabel(), shown.get_ylabel()) == ("largest class / smallest class", "factor on all decays")
    shown, collapse = axes["minority collapse"], prediction.minority_collapse()
    for row in collapse["classes"]:
        curve = points(shown, f"class {row['class']} (now n = {row['count']})")
        assert curve.tolist() == [list(point) for point in row["points"]]
    lines = [line.get_xdata()[0] for line in shown.lines if line.get_linestyle() == "--"]
    assert lines == collapse["critical"]
    shown, potential = axes["g(x; β), M = 3"], nc.Potential(3)
    minima = points(shown, "global minimum")
    slopes = [row["slope"] for row in prediction.directions] + [potential.slope_threshold, potential.fold]
    assert minima.tolist() == [[found["x"], found["value"]] for found in map(potential.minimizer, slopes)]
    for x, b in ((curve[10], b) for curve, b in zip((line.get_xydata() for line in shown.lines), slopes, strict=False)):
        assert x[1] == potential.value(x[0], b)
    assert f"threshold β = {potential.slope_threshold:.4g}, fold β = {potential.fold:.4g}" in shown.get_title()
    # One layer, cross-entropy: what merges; several layers: structures.
    merging = nc.predict([200, 50, 50], loss="ce", weight_decay=1e-3, feature_decay=1e-3)
    axes = drawn(merging.plot(), tmp_path / "merging.png")
    shown, diagram = axes["which classes merge, cross-entropy, M = 1"], merging.phase_diagram()
    assert points(shown, "the smaller classes merge above").tolist() == [list(p) for p in diagram["limits"][0]["points"]]
    assert points(shown, "all weights are zero above").tolist() == [list(point) for point in diagram["zero"]]
    assert "minority collapse" not in axes and not [title for title in axes if title.startswith("g(x")]
    deep = nc.predict([10] * 4, depth=2, loss="ce", weight_decay=1e-3, feature_decay=1e-3, starts=0)
    shown = drawn(deep.plot(), tmp_path / "deep.png")["the structure with the lowest loss"]
    phases = [(column["depth"], phase) for column in deep.phase_diagram()["depths"] for phase in column["phases"]]
    assert len(shown.patches) == len(phases)
    found = {(patch.get_x() + 0.42, patch.get_y() + patch.get_height()) for patch in shown.patches}
    ends = [phase["to"] for _, phase in phases if np.isfinite(phase["to"])]
    for depth, phase in phases:
        top = min(phase["to"], 3 * max(ends))
        assert min(abs(x - depth) + abs(y / top - 1) for x, y in found) < 1e-9
    assert points(shown, "this problem").tolist() == [[2, deep.strength]]


def test_classes_by_size(tmp_path):
    prediction = nc.predict([50, 200, 100], weight_decay=5e-4, feature_decay=5e-4)
    shown = drawn(prediction.plot(), tmp_path / "order.png")["classifier, predicted"]
    norms = [row["classifier_norm_squared"] for row in prediction.class_table()]
    assert np.allclose(np.diag(shown.images[0].get_array()), [norms[1], norms[2], norms[0]])
    assert [label.get_text() for label in shown.get_xticklabels()] == ["1", "2", "0"]
    # Groups of neighbors where classes are many.
    many = nc.predict(range(1, 601), weight_decay=1e-6, feature_decay=1e-6)
    axes = drawn(many.plot(), tmp_path / "many.png")
    assert axes["classifier, predicted"].images[0].get_array().shape == (40, 40)
    assert axes["classifier, predicted"].get_xlabel() == "groups of classes, by falling size"
    assert not axes["vectors in the plane of the star"].axison


@pytest.mark.parametrize(
    "prediction",
    [
        nc.Seli([40, 10, 10]),
        nc.predict([10] * 5, widths=[3], weight_decay=1e-3, feature_decay=1e-3),
        nc.SupervisedContrastive([5] * 4, temperature=0.5),
        nc.FixedHead([5] * 4, classifier_norm_squared=1.0, feature_decay=1e-3),
        nc.MultiLabel(4, {1: 5, 2: 5}, weight_decay=1e-3, feature_decay=1e-3),
        nc.SoftLabels([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]], [5] * 3, weight_decay=1e-2, feature_decay=1e-2),
        nc.Ufm.from_targets(np.eye(3)[[0, 0, 1, 2]], weight_decay=1e-2, feature_decay=1e-2),
        nc.predict([5, 5], weight_decay=1e3, feature_decay=1e3),
        nc.predict([5], weight_decay=1e-3, feature_decay=1e-3),
        nc.predict([5, 5], weight_decay=1e-3, feature_decay=1e-3, bias="unregularized"),
    ],
    ids=repr,
)
def test_every_model(prediction, tmp_path):
    axes = drawn(prediction.plot(), tmp_path / "prediction.png")
    try:
        gram = prediction.trailing_gram()
    except errors.NotAnsweredError:
        gram = None
    # A family has no picture of its matrices.
    assert bool(axes["classifier, predicted"].images) == (gram is not None and gram.is_unique)
    if not prediction.has_scale:
        assert bar(axes["classifier, predicted"]) == "inner product, up to a factor"


def test_norms_against_class_size(tmp_path):
    features, labels, weights, _ = imbalanced()
    prediction = nc.predict([40, 30, 30, 8], weight_decay=4e-2, feature_decay=3e-2)
    assert 8 < prediction.smallest_surviving_count < 30
    audit = nc.audit(features, labels, weights, prediction=prediction)
    axes = drawn(audit.plot(), tmp_path / "audit.png")
    for key, (title, symbol) in NORMS.items():
        shown, rows = axes[title], audit.class_table()
        assert points(shown, "measured").tolist() == [[row["count"], row[key]["measured"]] for row in rows]
        predicted = {(row["count"], row[key]["predicted"]) for row in rows}
        assert set(map(tuple, points(shown, "predicted"))) == predicted
        assert (shown.get_xlabel(), shown.get_ylabel()) == ("samples of the class, nₖ", symbol)
        threshold = points(shown, f"collapse below {prediction.smallest_surviving_count:.4g}")
        assert threshold[:, 0].tolist() == [prediction.smallest_surviving_count] * 2
        # Below the threshold the curve is zero, above it is not.
        curve = points(shown, "predicted, all sizes")
        assert ((curve[:, 1] > 0) == (curve[:, 0] > prediction.smallest_surviving_count)).all()
        assert (curve[:, 1] == 0).any() and (curve[:, 1] > 0).any()


def test_matrices_and_angles(tmp_path):
    features, labels, weights, prediction = imbalanced()
    audit = nc.audit(features, labels, weights, prediction=prediction)
    axes = drawn(audit.plot(), tmp_path / "audit.png")
    means = np.array([features[labels == k].mean(axis=0) for k in range(4)])
    matrices = weights[0] @ weights[0].T, means @ means.T, weights[0] @ means.T
    distances = audit.nc2[0], audit.nc2_class_means, audit.nc3
    for name, matrix, distance in zip(TITLES, matrices, distances, strict=True):
        maps = [axes[f"{TITLES[name]}, {kind}"] for kind in ("measured", "predicted", "difference")]
        measured, predicted, difference = (np.asarray(shown.images[0].get_array()) for shown in maps)
        assert np.allclose(measured, matrix / np.linalg.norm(matrix))
        assert np.allclose(difference, measured - predicted)
        assert np.linalg.norm(difference) == pytest.approx(distance)
        assert maps[0].images[0].get_clim() == maps[1].images[0].get_clim()
        assert bar(maps[0]) == "entry / Frobenius norm"
        assert "own scale" in bar(maps[2])
    for name, vectors in (("rows of the classifier", weights[0]), ("class means", means)):
        unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
        cosines = (unit @ unit.T)[np.triu_indices(4, 1)]
        shown = axes[f"cosines between {name}"]
        heights = np.histogram(cosines, 41, (-1, 1))[0]
        assert [patch.get_height() for patch in shown.patches] == heights.tolist()
        assert points(shown, "predicted")[:, 0].tolist() == [0, 0]  # an orthogonal frame
        assert (shown.get_xlabel(), shown.get_ylabel()) == ("cosine", "pairs of classes")


def test_singular_values(tmp_path):
    features, labels, weights, prediction = imbalanced(depth=2)
    axes = drawn(nc.audit(features, labels, weights, prediction=prediction).plot(), tmp_path / "audit.png")
    means = np.array([features[labels == k].mean(axis=0) for k in range(4)])
    expected = {
        "W₁": (weights[0], prediction.singular_values(1)),
        "W₂": (weights[1], prediction.singular_values(2)),
        "W₂W₁": (weights[1] @ weights[0], prediction.singular_values(1, 2)),
        "the class means, √nₖ hₖ": (
            means * np.sqrt([[40], [30], [30], [8]]),
            prediction.feature_singular_values(),
        ),
    }
    for name, (matrix, predicted) in expected.items():
        shown = axes[f"singular values of {name}"]
        measured = points(shown, "measured")
        assert np.allclose(measured[:, 1], np.linalg.svd(matrix, compute_uv=False))
        assert measured[:, 0].tolist() == list(range(1, len(measured) + 1))
        assert points(shown, "predicted")[:, 1].tolist() == spread(predicted)
        assert (shown.get_xlabel(), shown.get_ylabel()) == ("number, by falling size", "singular value")


def test_class_means_in_space(tmp_path):
    point = nc.predict([40, 30, 30], weight_decay=1e-3, feature_decay=1e-3)
    explicit = point.explicit(seed=3)
    audit = nc.audit(explicit["features"], explicit["labels"], explicit["weights"], prediction=point)
    axes = drawn(audit.plot(explicit["features"], explicit["labels"]), tmp_path / "minimum.png")
    for title in ("leading directions", "plane of the star"):
        shown = axes[f"class means in the {title}"]
        # At the minimum the predicted frame lies on the class means, turned as they are, and on all samples.
        assert np.allclose(points(shown, "measured"), points(shown, "predicted"), atol=1e-9)
        assert points(shown, "samples").shape == (100, 2)
        assert [text.get_text() for text in shown.texts if text.get_text()]
    # The leading directions hold what the two largest singular values do.
    features, labels, weights, prediction = imbalanced()
    audit = nc.audit(features, labels, weights, prediction=prediction)
    shown = drawn(audit.plot(), tmp_path / "audit.png")["class means in the leading directions"]
    values = np.linalg.svd(audit.class_means, compute_uv=False)
    assert np.linalg.norm(points(shown, "measured")) == pytest.approx(np.hypot(*values[:2]))
    share = 100 * (values[:2] ** 2).sum() / (values**2).sum()
    assert shown.get_title().endswith(f"({share:.1f} % of their squared lengths)")
    assert "samples" not in [line.get_label() for line in shown.lines]
    # The third direction, where it holds more than a hundredth.
    shown = drawn(audit.plot(), tmp_path / "third.png")["class means in the first and third directions"]
    assert np.linalg.norm(points(shown, "measured")) == pytest.approx(np.hypot(values[0], values[2]))
    assert (shown.get_xlabel(), shown.get_ylabel()) == ("first direction", "third direction")
    # No room for the predicted vectors.
    features, labels, weights, _ = network([20] * 4, dimension=2)
    narrow = nc.audit(features, labels, weights, prediction=nc.predict([20] * 4, weight_decay=1e-3, feature_decay=1e-3))
    shown = drawn(narrow.plot(), tmp_path / "narrow.png")["class means in the leading directions"]
    assert any("no predicted vectors" in text.get_text() for text in shown.texts)


def test_decisions(tmp_path):
    features, labels, weights, bias = network([30, 20, 20], bias=True, noise=1.0)
    audit = nc.audit(features, labels, weights, bias)
    assert "head against label" not in drawn(audit.plot(), tmp_path / "alone.png")
    axes = drawn(audit.plot(features[::-1], labels[::-1]), tmp_path / "audit.png")
    head = (features @ weights[0].T + bias).argmax(axis=1)
    means = np.array([features[labels == k].mean(axis=0) for k in range(3)])
    nearest = np.linalg.norm(features[:, None] - means, axis=2).argmin(axis=1)
    pairs = (("head against label", "label", labels), ("head against nearest class mean (NC4)", "nearest class mean", nearest))
    for title, axis, other in pairs:
        shown = axes[title]
        expected = Counter(zip(other.tolist(), head.tolist(), strict=True))
        found = {}
        for marks in shown.collections:
            for place, area in zip(marks.get_offsets(), marks.get_sizes(), strict=True):
                found[tuple(int(number) for number in place)] = area
        assert set(found) == set(expected)
        assert Counter(found).most_common(1)[0][1] == pytest.approx(144)
        largest = max(expected.values())
        for pair, number in expected.items():
            assert found[pair] == pytest.approx(max(144 * number / largest, 4))
        assert f"({(other != head).sum()} of 70 samples differ)" in shown.get_title()
        assert (shown.get_xlabel(), shown.get_ylabel()) == (axis, "class with the largest output")


def test_norms_of_any_size():
    prediction = nc.predict([40, 30], weight_decay=1e-3, feature_decay=1e-3)
    row = prediction.class_table()[1]
    assert prediction.norms_of_size(30) == pytest.approx((row["classifier_norm_squared"], row["feature_norm_squared"]))
    assert prediction.norms_of_size(0.5 * prediction.smallest_surviving_count) == (0, 0)
    with pytest.raises(errors.ArgumentError):
        prediction.norms_of_size(0)
    # Beside a bias classes depend on each other.
    biased = nc.predict([40, 30], weight_decay=1e-3, feature_decay=1e-3, bias="unregularized")
    targets = nc.Ufm.from_targets(np.eye(2), weight_decay=1e-3, feature_decay=1e-3)
    for other in (biased, targets):
        with pytest.raises(errors.NotAnsweredError):
            other.norms_of_size(30)


def test_samples_of_another_audit_are_refused():
    features, labels, weights, _ = network([20, 20, 20])
    audit = nc.audit(features, labels, weights)
    with pytest.raises(errors.MismatchError):
        audit.plot(features + 1, labels)
    with pytest.raises(errors.MismatchError):
        audit.plot(features[1:], labels[1:])
    with pytest.raises(errors.ArgumentError) as error:
        audit.plot(features)
    assert error.value.argument == "labels"
    for call in (lambda: audit.compared("bias"), lambda: audit.cosines("outputs")):
        with pytest.raises(errors.ArgumentError):
            call()


def test_matched_classes(tmp_path):
    """Classes stand in the order of the structure that they were matched to."""
    tensors = read_safetensors(DATA / "direct_ce_octahedron_m2.safetensors")
    weights = [tensors[f"classifier.{layer}.weight"] for layer in (1, 2)]
    prediction = nc.predict([10] * 6, depth=2, loss="ce", bias="unregularized", weight_decay=1e-3, feature_decay=1e-4)
    bias = tensors["classifier.bias"]
    audit = nc.audit(tensors["features"], tensors["labels"], weights, bias, prediction)
    order = audit.matching
    assert order is not None
    axes = drawn(audit.plot(tensors["features"], tensors["labels"]), tmp_path / "octahedron.png")
    means = audit.class_means[order]
    gram = means @ means.T
    shown = axes["class means, measured"]
    assert np.allclose(shown.images[0].get_array(), gram / np.linalg.norm(gram))
    assert [label.get_text() for label in shown.get_xticklabels()] == [str(number) for number in order]
    assert np.allclose(shown.images[0].get_array(), axes["class means, predicted"].images[0].get_array(), atol=1e-6)


def test_alone(tmp_path):
    features, labels, weights, _ = network([20, 20, 20])
    axes = drawn(nc.audit(features, labels, weights).plot(), tmp_path / "alone.png")
    assert len(axes) == 3 + 3 + 3 + 3
    gram = weights[0] @ weights[0].T
    assert np.allclose(axes["classifier, measured"].images[0].get_array(), gram)
    assert bar(axes["classifier, measured"]) == "inner product"
    for shown in axes.values():
        assert not [line for line in shown.lines if str(line.get_label()).startswith("predicted")]


def test_trackers(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    features, labels, _, _ = network([20, 20, 20])
    data = torch.from_numpy(features).float(), torch.from_numpy(labels)
    tracker = nc.Tracker(torch.nn.Linear(7, 3), weight_decay=1e-2, feature_decay=1e-3, loss="ce")
    untrained = nc.Tracker(torch.nn.Linear(7, 3))
    for _ in range(2):
        tracker.update(data)
    axes = drawn(tracker.plot(), tmp_path / "tracker.png")
    curves = {
        "spread within classes": ("NC1 and variants", {"NC1": "nc1"}),
        "distance to the geometry": (
            "distance",
            {"NC2, m = 1": "nc2_1", "NC3": "nc3", "NC3, centered": "nc3_centered"},
        ),
        "decisions": ("share of samples", {"NC4": "nc4", "accuracy": "accuracy"}),
        "loss": ("loss f", {"f, measured": "loss", "f*, predicted": "loss_optimum"}),
        "distance to the minimum": (
            "gap and gradient",
            {"(f − f*)/f*": "loss_gap_relative", "‖∇f‖": "gradient_norm"},
        ),
        "distance to the nearest minimizer": ("relative distance", {}),
        "squared singular values of the head": ("squared singular value s²", {"largest": 0, "smallest": -1}),
        "sum of the classifier's rows": ("NC0 = ‖1ᵀW‖²/K", {"NC0": "nc0"}),
    }
    assert set(axes) == set(curves)
    for title, (label, names) in curves.items():
        shown = axes[title]
        assert (shown.get_xlabel(), shown.get_ylabel()) == ("epoch", label)
        assert {line.get_label() for line in shown.lines} == set(names)
        for curve, name in names.items():
            if isinstance(name, int):
                found = [audit.singular_values()[name] ** 2 for audit in tracker.audits]
                assert points(shown, curve)[:, 1].tolist() == pytest.approx(found)
                continue
            assert points(shown, curve).tolist() == [[row["epoch"], row[name]] for row in tracker.rows]
    # Without an epoch there is nothing to draw.
    assert not any(shown.axison for shown in drawn(untrained.plot(), tmp_path / "empty.png").values())
    # The distance to the nearest minimizer is not known for cross-entropy.
    assert not axes["distance to the nearest minimizer"].axison
    # Its audits take the tensors that it was given.
    assert "head against label" in drawn(tracker.audits[-1].plot(*data), tmp_path / "audit.png")


def test_rates_of_trackers(tmp_path):
    """Gradient descent in PyTorch beside the nearest minimizer, the rates and the logistic law."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    torch.set_num_threads(1)  # small layers in many threads take a hundred times as long on a busy machine
    decay, step = 1e-3, 0.4
    labels = torch.arange(3).repeat_interleave(20)
    # Features that are trained themselves, and nothing before them.
    noise = 0.02 * torch.from_numpy(np.random.default_rng(0).normal(size=(60, 3)))
    own = torch.eye(3, dtype=torch.float64)
    features = torch.nn.Parameter(0.3 / 20**0.5 * own[labels] + noise)
    head = torch.nn.Linear(3, 3, bias=False, dtype=torch.float64)
    with torch.no_grad():
        head.weight.copy_(0.3 * own)  # with the singular values of the features, but for the noise
    tracker = nc.Tracker(head, weight_decay=decay, feature_decay=decay, loss="mse")
    optimizer = torch.optim.SGD([head.weight, features], lr=step, weight_decay=decay)
    for epoch in range(0, 601):
        if epoch % 15 == 0:
            tracker.update((features.detach(), labels), epoch=epoch)
        optimizer.zero_grad()
        ((head(features) - own[labels]) ** 2).sum().div(120).backward()
        optimizer.step()
    for row, audit in zip(tracker.rows, tracker.audits, strict=True):
        pair = audit.prediction.nearest_distance(audit.weights, audit.class_means)
        assert (row["weight_distance"], row["feature_distance"]) == audit.nearest_distance == pair
    assert tracker.rows[-1]["weight_distance"] < 0.05 < 0.5 < tracker.rows[0]["weight_distance"]
    rates = {row["name"]: row for row in tracker.rates(step)}
    assert rates["NC1"]["fitted"] == pytest.approx(rates["NC1"]["predicted"], rel=0.05)
    assert rates["largest stable step of gradient descent"]["predicted"] > step
    laws = [row for name, row in rates.items() if "logistic law" in name]
    assert [row["predicted"] == pytest.approx(laws[0]["predicted"]) for row in laws] == [True, True]
    assert all(row["predicted"] is None or "step" in row["name"] for row in tracker.rates())
    axes = drawn(tracker.plot(step), tmp_path / "rates.png")
    assert points(axes["spread within classes"], "predicted rate")[-1, 1] == tracker.rows[-1]["nc1"]
    shown = axes["distance to the nearest minimizer"]
    assert points(shown, "‖W − W*‖/‖W*‖")[:, 1].tolist() == [row["weight_distance"] for row in tracker.rows]
    for name in ("largest", "smallest"):
        law = points(axes["squared singular values of the head"], f"logistic law, {name}")
        assert law[0, 1] == pytest.approx(tracker.rows[0][f"{name}_singular_value"] ** 2)
        measured = np.array([row[f"{name}_singular_value"] ** 2 for row in tracker.rows])
        assert measured == pytest.approx(np.interp([row["epoch"] for row in tracker.rows], *law.T), rel=0.15)
        assert law[-1, 1] == pytest.approx(measured[-1], rel=0.02)
    without = drawn(tracker.plot(), tmp_path / "without.png")["spread within classes"]
    assert "predicted rate" not in [line.get_label() for line in without.lines]
