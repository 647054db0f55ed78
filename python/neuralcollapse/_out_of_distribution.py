"""Samples out of distribution beside those of a network."""

from __future__ import annotations

from typing import Any

from . import _arrays
from ._audit import number_of_classes
from ._core import FirstPass, Neco, detection, nc5, nc5_standard_error, nci_scores
from .errors import NeuralCollapseError

__all__ = ["out_of_distribution"]


def out_of_distribution(
    features: object,
    labels: object,
    outside: object,
    weights: object,
    bias: object = None,
    *,
    alpha: float = 0.0,
) -> dict[str, Any]:
    """What tells samples of no class from those of known classes.

    Parameters
    ----------
    features : (N, d), samples of known classes, one a row
    labels : (N,), their classes
    outside : (n, d), samples out of distribution
    weights : (K, d), or a list of layers; ``bias`` (K,) or None
    alpha : how much the length of features counts in NCI

    Returns a dictionary as the program's ``audit --out-of-distribution --json`` has it: ``nc5``, the mean cosine between
    class means and the mean of the others, with ``nc5_standard_error``; ``neco`` and ``nci``, each with the mean scores of
    both, ``auroc`` and ``standard_errors``; and ``reasons`` for what is None.

    Raises ShapeError, ArgumentError, EmptyClassError.

    Source: Ammar et al., NECO (ICLR 2024); Liu & Qin (CVPR 2025) for NCI.
    """
    known, others = _arrays.matrix(features, "features"), _arrays.matrix(outside, "outside")
    statistics = FirstPass(known.shape[1], number_of_classes(weights), energy=False)
    statistics.add(known, labels)
    of_others = FirstPass(others.shape[1], 1, energy=False)
    zeros = [0] * len(others)
    of_others.add(others, zeros)
    found: dict[str, Any] = {"nc5": None, "nc5_standard_error": None, "neco": None, "nci": None}
    reasons: dict[str, str] = {}
    nci = [nci_scores(samples, statistics, weights, bias, alpha=alpha) for samples in (known, others)]
    found["nci"] = detection(*nci)
    try:
        found["nc5"] = nc5(statistics.class_means, of_others.class_means[0])
    except NeuralCollapseError as error:
        reasons["nc5"] = str(error)
    else:
        found["nc5_standard_error"] = nc5_standard_error(known, labels, statistics, others, zeros)
    if found["nc5_standard_error"] is None:
        reasons["nc5_standard_error"] = "NC5 has no value, or a class has a single sample"
    try:
        neco = Neco(statistics)
        found["neco"] = detection(neco.scores(known), neco.scores(others))
    except NeuralCollapseError as error:
        reasons["neco"] = str(error)
    return found | {"reasons": reasons}
