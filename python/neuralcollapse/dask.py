"""Audits on the workers of a Dask cluster.

Each worker adds up its own samples; pieces are merged in a tree on the workers, and only sums travel: 2dK numbers a
worker after the first pass, about dK (with ``balance`` d²/2 more) after the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import dask.array
import dask.bag
import numpy as np
import numpy.typing as npt
from dask.base import compute
from dask.delayed import delayed

from . import _arrays
from ._audit import PredictionLike, number_of_classes, resolved
from ._core import Audit, AuditPart, AuditSums, FirstPass
from .errors import ArgumentError

__all__ = ["audit"]

#: How many pieces are merged at once.
_FAN_IN = 8


def _first(dimension: int, classes: int, features: Any, labels: Any) -> FirstPass:
    piece = FirstPass(dimension, classes)
    if len(labels) > 0:
        piece.add(features, labels)
    return piece


def _second(empty: AuditSums, features: Any, labels: Any) -> AuditPart:
    sums = empty.empty()
    if len(labels) > 0:
        sums.add(features, labels)
    return sums.part()


def _merge_first(pieces: Sequence[FirstPass]) -> FirstPass:
    # A retried task must find its inputs as they were.
    whole = FirstPass.from_bytes(pieces[0].to_bytes())
    for piece in pieces[1:]:
        whole.merge(piece)
    return whole


def _merge_parts(empty: AuditSums, parts: Sequence[AuditPart]) -> AuditPart:
    whole = empty.empty()
    for part in parts:
        whole.merge(part)
    return whole.part()


def _tree(pieces: list[Any], merge: Any) -> Any:
    while len(pieces) > 1:
        pieces = [merge(pieces[i : i + _FAN_IN]) for i in range(0, len(pieces), _FAN_IN)]
    return pieces[0]


def _is_array(data: Any) -> bool:
    return isinstance(data, dask.array.Array)


def _pieces(features: Any, labels: Any) -> list[tuple[Any, Any]]:
    """Delayed pairs of features and labels."""
    if isinstance(features, dask.bag.Bag):
        _without(labels)
        return [(pair[0], pair[1]) for pair in map(_joined, features.to_delayed())]
    if _is_array(features):
        if labels is None:
            raise ArgumentError("`labels` is missing", argument="labels", expected="a dask array as long as features")
        if features.ndim != 2 or np.ndim(labels) != 1:
            message = "`features` and `labels` must have two dimensions and one"
            raise ArgumentError(message, argument="features", expected="(N, d) features and (N,) labels")
        if not _is_array(labels):
            labels = dask.array.from_array(labels, chunks=features.chunks[0])
        rows = features.rechunk({1: -1})
        if np.isnan(sum(map(float, rows.chunks[0]))) or np.isnan(sum(map(float, labels.chunks[0]))):
            # Chunks of unknown length, as after a filter, fit if there are as many.
            if len(rows.chunks[0]) != len(labels.chunks[0]):
                message = "`labels` has other chunks than `features`, and their lengths are not known"
                raise ArgumentError(message, argument="labels", expected="the chunks of features")
        else:
            labels = labels.rechunk({0: rows.chunks[0]})
        return list(zip(rows.to_delayed()[:, 0], labels.to_delayed(), strict=True))
    _without(labels)
    return [(pair[0], pair[1]) for pair in features]


def _without(labels: Any) -> None:
    if labels is not None:
        message = "`labels` must be left out where `features` has them with it"
        raise ArgumentError(message, argument="labels", expected="None")


@delayed(nout=2)  # type: ignore[untyped-decorator,unused-ignore]
def _joined(pairs: Iterable[tuple[Any, Any]]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The items of a bag's partition: (features of one sample or several, label or labels)."""
    items = list(pairs)
    if not items:
        return np.zeros((0, 1)), np.zeros(0, np.int64)
    features = np.concatenate([np.atleast_2d(_arrays.as_numpy(item[0], "features")) for item in items])
    return features, np.concatenate([np.atleast_1d(_arrays.as_numpy(item[1], "labels")) for item in items])


def audit(
    features: Any,
    labels: Any,
    weights: object,
    bias: object = None,
    prediction: PredictionLike = None,
    *,
    dtype: str | None = None,
    **options: Any,
) -> Audit:
    """Audit features on a Dask cluster (or Dask's local scheduler).

    ``features`` is a ``dask.array`` (N, d) with ``labels`` (N,), a ``dask.bag`` of pairs (features, label), or a list of
    delayed pairs (features, labels), each with ``labels=None``. Partitions may be of any sizes, and empty. Other
    arguments are those of :func:`neuralcollapse.audit`; the class counts need not be known: ``prediction`` may be a
    function of them. ``dtype`` is that of a dask array, else "float64". Tasks can be retried: no piece is changed once
    it is made.

    Computes twice on the cluster; features that are expensive to make are better persisted first.
    """
    pieces = _pieces(features, labels)
    if dtype is None:
        dtype = "float32" if getattr(features, "dtype", None) in (np.float32, np.float16) else "float64"
    classes = number_of_classes(weights)
    dimension = int(_arrays.double_matrix(_arrays.layers(weights)[0], "weights").shape[1])
    if not pieces:
        raise ArgumentError("`features` has no partition", argument="features", expected="at least one")
    first, second = delayed(_first), delayed(_second)
    merge_first, merge_parts = delayed(_merge_first), delayed(_merge_parts)
    firsts = [first(dimension, classes, *piece) for piece in pieces]
    (first_pass,) = compute(_tree(firsts, merge_first))
    model, reason = resolved(prediction, first_pass)
    empty = AuditSums(first_pass, weights, bias, model, dtype=dtype, **options)
    # What all workers share is one node of the graph, and not a part of every task.
    shared = delayed(empty, pure=True, traverse=False)
    parts = [second(shared, *piece) for piece in pieces]
    (part,) = compute(_tree(parts, lambda some: merge_parts(shared, some)))
    empty.merge(part)
    return empty.audit(model, reason)
