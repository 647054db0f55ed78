"""The two passes of an audit, wherever the samples are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from . import _arrays
from ._core import Audit, AuditSums, FirstPass, Prediction
from .errors import ArgumentError, NoClosedFormError, RangeError

Progress: TypeAlias = Callable[[str, int, "int | None"], object]

#: A prediction, how to make one from the class counts that were measured, or none.
PredictionLike: TypeAlias = (
    "Prediction | Callable[[npt.NDArray[np.uint64]], Prediction] | None"
)


def resolved(prediction: PredictionLike, first_pass: FirstPass) -> tuple[Prediction | None, str | None]:
    """The prediction for the counts of a first pass, or why there is none."""
    if prediction is None or isinstance(prediction, Prediction):
        return prediction, None
    if not callable(prediction):
        found = type(prediction).__name__
        message = f"`prediction` is of type {found}, but must be a Prediction or make one from class counts"
        raise ArgumentError(message, argument="prediction", expected="a Prediction or a function of counts")
    try:
        return prediction(first_pass.counts), None
    except (NoClosedFormError, RangeError) as error:
        return None, str(error)


def number_of_classes(weights: object) -> int:
    """K, the outputs of the last layer."""
    layers = _arrays.layers(weights)
    if not layers:
        raise ArgumentError("`weights` is empty", argument="weights")
    return int(_arrays.double_matrix(layers[-1], "weights").shape[0])


def audit(
    features: object,
    labels: object,
    weights: object,
    bias: object = None,
    prediction: PredictionLike = None,
    *,
    all_metrics: bool = False,
    balance: bool = True,
    center: str = "samples",
    rank_cutoff: float = 1e-6,
    divide_by_classes: bool = True,
    progress: Progress | None = None,
) -> Audit:
    """Measure NC1 to NC4 of a network, and compare it with a prediction.

    Parameters
    ----------
    features : (N, d), the inputs of the classifier on the training set, one sample per row; float32 or float64
        C-contiguous arrays are not copied
    labels : (N,), whole numbers from 0 to K−1
    weights : (K, d), or a list of arrays (outputs, inputs) from the features to the output for several linear layers
    bias : (K,) or None
    prediction : a :class:`Prediction` for these class counts, a function that makes one from them (such as
        ``functools.partial(nc.predict, weight_decay=5e-4, feature_decay=1e-5, loss="ce")``), or None: then distances
        are those to the frames that need no decays. Where no model has the objective, ``no_prediction`` says so
    all_metrics : whether every metric of docs/metrics.md is wanted, in ``metrics``, with standard errors and levels in
        ``to_dict()``
    balance : whether the balance of the layers is wanted, which takes d² numbers
    center, rank_cutoff, divide_by_classes : conventions of NC1 (see :func:`nc1`)
    progress : called as ``progress(stage, done, total)``

    Returns an :class:`Audit`. All numbers are dimensionless.

    Raises
    ------
    ShapeError, ArgumentError, EmptyClassError, MismatchError, RangeError : subclasses of ValueError that say which
        argument, where in it, and what is expected

    Source: the measurements of Dang et al. (ICML 2023), appendix C, beside its theorems.
    """
    samples = _arrays.matrix(features, "features")
    targets = _arrays.labels(labels, "labels")
    first_pass = FirstPass(samples.shape[1], number_of_classes(weights))
    first_pass.add(samples, targets, progress)
    model, reason = resolved(prediction, first_pass)
    sums = AuditSums(
        first_pass,
        weights,
        bias,
        model,
        all_metrics=all_metrics,
        balance=balance,
        center=center,
        rank_cutoff=rank_cutoff,
        divide_by_classes=divide_by_classes,
        dtype=samples.dtype.name,
    )
    sums.add(samples, targets, progress)
    return sums.audit(model, reason, progress)
