"""Phase diagrams, minority collapse and the questions when classes collapse, merge and die: answers are checked by predictions on
both sides of every limit."""

import itertools

import numpy as np
import pytest

import neuralcollapse as nc
from neuralcollapse import errors

DECAY = 1e-3


def at_factor(counts, factor, **options):
    return nc.predict(counts, weight_decay=DECAY * factor, feature_decay=DECAY * factor, **options)


def survivors(counts, factor):
    return sum(not row["collapsed"] for row in at_factor(counts, factor).class_table())


def test_survival():
    counts = [200, 100, 50]
    diagram = at_factor(counts, 1.0).phase_diagram()
    assert diagram["kind"] == "survival" and diagram["imbalance"] == 4
    assert [limit["surviving"] for limit in diagram["limits"]] == [2, 1, 0]
    # At every imbalance the limits are those of the class sizes that it stands for; here of the own one.
    for limit in diagram["limits"]:
        imbalances, factors = np.array(limit["points"]).T
        assert imbalances[0] < 1.1 and (np.diff(imbalances) > 0).all() and (factors > 0).all()
    own = [np.interp(4.0, *np.array(limit["points"]).T) for limit in diagram["limits"]]
    assert own == pytest.approx([factor for factor, _ in at_factor(counts, 1.0).collapse_factors], rel=3e-3)
    for (factor, _), left in zip(at_factor(counts, 1.0).collapse_factors, (2, 1, 0), strict=True):
        assert survivors(counts, factor * 0.999) == left + 1 and survivors(counts, factor * 1.001) == left
    with pytest.raises(errors.NotAnsweredError):
        nc.Seli([4, 4]).phase_diagram()


def test_merging():
    prediction = at_factor([200, 50, 50], 1.0, loss="ce")
    diagram = prediction.phase_diagram()
    assert diagram["kind"] == "merging" and diagram["imbalance"] == 4
    (limit,) = diagram["limits"]  # the two smaller classes
    assert (limit["class"], limit["count"], limit["is_smaller"]) == (1, 50, True)
    merging = float(np.interp(4.0, *np.array(limit["points"]).T))
    zero = float(np.interp(4.0, *np.array(diagram["zero"]).T))
    assert zero == pytest.approx(prediction.collapse_factor(), rel=3e-3)
    exact = np.sqrt(50 / prediction.merging_count())
    assert merging == pytest.approx(exact, rel=3e-3) and 1 < exact < zero

    def outputs(factor):
        return np.asarray(at_factor([200, 50, 50], factor, loss="ce").class_outputs())

    apart, merged = outputs(exact * 0.99), outputs(exact * 1.01)
    assert apart[1, 1] > apart[1, 2] + 1e-6 and merged[1, 1] == pytest.approx(merged[1, 2], abs=1e-12)
    factor = prediction.collapse_factor()
    assert np.abs(outputs(factor * 1.001)).max() == 0 < np.abs(outputs(factor * 0.999)).max()
    # The gap of probabilities at a sample of class 1, by the softmax of the prediction's outputs.
    logits = np.asarray(prediction.class_outputs())[:, 1]
    softmax = np.exp(logits - logits.max())
    softmax /= softmax.sum()
    assert prediction.probability_gap(1) == pytest.approx(softmax[1] - softmax[2], abs=1e-9)
    assert prediction.probability_gap(3) is None


def test_structures():
    prediction = nc.predict([10] * 4, depth=2, loss="ce", weight_decay=DECAY, feature_decay=DECAY, starts=0)
    diagram = prediction.phase_diagram()
    assert diagram["kind"] == "structures" and (diagram["depth"], diagram["strength"]) == (2, prediction.strength)
    assert [column["depth"] for column in diagram["depths"]] == [1, 2, 3, 4, 5, 6]
    own = diagram["depths"][1]["phases"]
    assert own == nc.phase_diagram(4, 2)
    assert [phase["structure"] for phase in own] == ["simplex ETF", "2 × pair", "path", "zero"]
    for one, other in itertools.pairwise(own):
        assert one["to"] == other["from"]
        assert one["decay_products"][1] == pytest.approx(one["to"] ** 3, rel=1e-12)
    # The structure of a prediction is that of the phase of its strength.
    for phase in own:
        high = min(phase["to"], 2 * phase["from"] + 0.1)
        strength = np.sqrt(max(phase["from"], 1e-2) * high)
        decay = strength / 10 ** (1 / 3)
        found = nc.predict([10] * 4, depth=2, loss="ce", weight_decay=decay, feature_decay=decay, starts=0)
        name = {"zero": "collapsed"}.get(phase["structure"], phase["structure"])
        assert found.strength == pytest.approx(strength) and found.geometry == name
    assert prediction.collapse_factor() * prediction.strength == pytest.approx(nc.SimplexPotential(4, 2).threshold)
    heard = []
    searched = nc.phase_diagram(3, 2, starts=2, progress=lambda *progress: heard.append(progress))
    assert searched[0]["structure"] == "simplex ETF" and searched[-1]["to"] == np.inf

    def interrupt(*_progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nc.phase_diagram(10, 4, progress=interrupt)
    with pytest.raises(errors.ArgumentError):
        nc.phase_diagram(1, 2)
    with pytest.raises(errors.NotAnsweredError):
        prediction.merging_count()


def test_minority_collapse():
    prediction = nc.predict([100] * 3 + [50] * 3, weight_decay=2e-3, feature_decay=2e-3)
    found = prediction.minority_collapse()
    assert [(row["class"], row["count"]) for row in found["classes"]] == [(0, 100), (3, 50)]
    (critical,) = found["critical"]
    assert critical == prediction.critical_imbalance_ratio
    assert critical == pytest.approx(nc.critical_imbalance_ratio(3, 3, 50, weight_decay=2e-3, feature_decay=2e-3))
    for row, collapses in zip(found["classes"], (False, True), strict=True):
        imbalances, norms = np.array(row["points"]).T
        assert ((norms == 0) == (collapses & (imbalances > critical))).all()
    # The curve of the smaller classes at whole numbers of samples.
    smaller = np.array(found["classes"][1]["points"])
    at_double = nc.predict([100] * 3 + [50] * 3, weight_decay=2e-3, feature_decay=2e-3).class_table()[3]
    assert np.interp(2.0, *smaller.T) == pytest.approx(at_double["classifier_norm_squared"], rel=1e-2)
    assert len(nc.predict([10] * 9, weight_decay=1e-3, feature_decay=1e-3).minority_collapse(4)["classes"]) == 4
    biased = nc.predict([40, 30], weight_decay=1e-3, feature_decay=1e-3, bias="unregularized")
    with pytest.raises(errors.NotAnsweredError):
        biased.minority_collapse()
    assert biased.critical_imbalance_ratio is None


def test_deaths_after_a_relu():
    options = {"loss": "ce", "nonnegative_features": True}
    prediction = at_factor([400, 100, 25], 1.0, **options)
    factor = prediction.largest_decay_factor()
    assert (at_factor([400, 100, 25], factor * 0.999, **options).margins() > 0).all()
    dead = at_factor([400, 100, 25], factor * 1.001, **options)
    assert (dead.margins() > 0).tolist() == [True, True, False]
    assert 25 == pytest.approx(dead.smallest_surviving_count(), rel=1e-2)
    weights = nc.margin_equalizing_weights([400, 100, 25])
    assert weights[1] / weights[0] == pytest.approx(2) and weights @ [400, 100, 25] == pytest.approx(525)
    equal = at_factor([400, 100, 25], 1.0, class_weights=weights, **options).margins()
    assert np.ptp(equal) < 1e-12 < np.ptp(prediction.margins())
    for question in (prediction.merging_count, at_factor([5, 5], 1.0, loss="ce").largest_decay_factor):
        with pytest.raises(errors.NotAnsweredError):
            question()


def test_potentials():
    potential = nc.SimplexPotential(5, 3)
    for strength in (0.3 * potential.threshold, 0.9 * potential.threshold, 1.1 * potential.threshold):
        least = potential.minimizer(strength)
        values = [potential.value(alpha, strength) for alpha in np.linspace(0, 30, 301)]
        assert potential.value(least["alpha"], strength) <= min(values) + 1e-12
        assert least["regime"] == ("positive" if strength < potential.threshold else "zero")
    local = potential.local_minimum(potential.threshold * 0.9)
    assert potential.derivative(local, potential.threshold * 0.9) == pytest.approx(0, abs=1e-12)
    assert potential.local_minimum(potential.fold * 1.01) is None
    assert potential.proved_simplex <= potential.threshold <= potential.proved_collapse
    assert nc.SimplexPotential(5, 3, 0.1).label_smoothing == 0.1
    g = nc.Potential(3)
    found = g.stationary_points(0.9 * g.fold)
    for place in found.values():
        assert g.derivative(place, 0.9 * g.fold) == pytest.approx(0, abs=1e-12)
    assert found["local_maximum"] < found["local_minimum"] and g.stationary_points(1.01 * g.fold) is None


def test_families_of_class_matrices():
    family = nc.ClassMatrix.low_rank_simplex_etf(5, 2)
    rng = np.random.default_rng(0)
    measured = rng.normal(size=(5, 3))
    gram = measured @ measured.T
    nearest = family.nearest_member(gram)
    assert np.allclose(nearest @ nearest, nearest) and np.trace(nearest) == pytest.approx(2)
    assert np.abs(nearest.sum(axis=0)).max() < 1e-12
    distance = np.linalg.norm(gram / np.linalg.norm(gram) - nearest / np.linalg.norm(nearest))
    assert family.distance(gram) == pytest.approx(distance)
    assert family.affine_rank() == 2 and nc.ClassMatrix.simplex_etf(5).affine_rank() == 4
    assert nc.ClassMatrix.low_rank_orthogonal_frame(4, 4).is_unique
    # Classes of one size alone are exchanged.
    target = nc.ClassMatrix(np.diag([3.0, 2.0, 1.0]))
    found = np.diag([1.0, 3.0, 2.0])
    assert target.matching(found) == [1, 2, 0]
    assert target.matching(found, kinds=[5, 5, 9]) == [1, 0, 2]
    prediction = nc.predict([10] * 5, widths=[2], weight_decay=1e-3, feature_decay=1e-3)
    assert prediction.class_mean_rank() in (1, 2) or prediction.class_means_gram().affine_rank() is None


def test_with_imbalance():
    assert nc.with_imbalance([700] * 3, 4.0).tolist() == [1200, 600, 300]
    with pytest.raises(errors.ArgumentError):
        nc.with_imbalance([5, 5], 0.5)
