"""Whatever the pieces, their order and the grouping of merges: the audit is that of the whole."""

import functools
import pickle

import numpy as np
from conftest import assert_same, exact, network
from hypothesis import given, settings
from hypothesis import strategies as st

import neuralcollapse as nc


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(2, 40), min_size=2, max_size=5),
    depth=st.integers(1, 2),
    cuts=st.lists(st.integers(0, 1000), max_size=6),
    order=st.randoms(use_true_random=False),
    seed=st.integers(0, 1000),
    all_metrics=st.booleans(),
)
def test_any_pieces_in_any_order(counts, depth, cuts, order, seed, all_metrics):
    features, labels, weights, bias = network(counts, depth=depth, bias=True, seed=seed)
    predict = functools.partial(
        nc.predict, depth=depth, bias="unregularized", weight_decay=1e-2, feature_decay=1e-3
    )
    whole = nc.audit(features, labels, weights, bias, predict, all_metrics=all_metrics)
    places = sorted({0, len(labels), *(cut % (len(labels) + 1) for cut in cuts)})
    pieces = [slice(first, last) for first, last in zip(places, places[1:], strict=False)] + [slice(0, 0)]
    order.shuffle(pieces)

    def tree(parts, merge):
        while len(parts) > 1:
            size = order.randint(2, 3)
            parts = [functools.reduce(merge, parts[i : i + size]) for i in range(0, len(parts), size)]
        return parts[0]

    def first_pass(piece):
        made = nc.FirstPass(features.shape[1], len(counts))
        made.add(features[piece], labels[piece])
        return pickle.loads(pickle.dumps(made))

    def merged(left, right):
        left.merge(right)
        return left

    first = tree([first_pass(piece) for piece in pieces], merged)
    prediction = predict(first.counts)
    empty = nc.AuditSums(first, weights, bias, prediction, all_metrics=all_metrics)

    def second_pass(piece):
        sums = empty.empty()
        sums.add(features[piece], labels[piece])
        return pickle.loads(pickle.dumps(sums))

    found = tree([second_pass(piece) for piece in pieces], merged).audit(prediction)
    assert_same(exact(found), exact(whole), 1e-9 if whole.nc1 is None or whole.nc1 > 1e6 else 1e-11)
    np.testing.assert_array_equal(found.counts, counts)
