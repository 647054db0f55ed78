"""The exact geometry of neural collapse: predict it, measure it, compare the two.

>>> import neuralcollapse as nc
>>> prediction = nc.predict([200, 100, 50, 50], depth=3, weight_decay=5e-4, feature_decay=5e-4)
>>> prediction.geometry
'general_orthogonal_frame'
>>> round(prediction.loss, 9)
0.0122184

``audit`` measures NC1 to NC4 of a network and compares it with a prediction; ``Tracker`` does so while a PyTorch model
trains; ``neuralcollapse.dask``, ``neuralcollapse.spark`` and ``neuralcollapse.torch`` do it on more than one machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors
from ._audit import audit
from ._core import (
    Audit,
    AuditPart,
    AuditSums,
    ClassMatrix,
    CrossEntropy,
    FirstPass,
    FixedHead,
    LayerPeeled,
    LogisticLaw,
    MultiLabel,
    Neco,
    Potential,
    Prediction,
    QuasiInterpolation,
    RegressionAudit,
    ReluCompetitor,
    Seli,
    SimplexPotential,
    SoftLabelAudit,
    SoftLabels,
    SparseLabels,
    SphericalCrossEntropy,
    SupervisedContrastive,
    Ufm,
    all_metrics,
    audit_regression,
    audit_soft_labels,
    balancedness,
    cdnv,
    confusion,
    critical_imbalance_ratio,
    decay_of_code,
    detection,
    duality_cosines,
    feature_decay_of_code,
    fitted_rate,
    general_orthogonal_frame,
    infer_decays,
    layers,
    least_squares_split,
    limit_threads,
    line_of_rate,
    margin_equalizing_weights,
    nc0,
    nc0_factor,
    nc1,
    nc1_trace_quotient,
    nc2,
    nc3,
    nc4,
    nc5,
    nci_scores,
    nrc1,
    nrc2,
    nrc3,
    objective,
    one_vs_rest_bound,
    one_vs_rest_distance,
    orthogonal_frame,
    phase_diagram,
    predict,
    predicted_gamma,
    self_duality,
    separation_law,
    shape,
    simplex_etf,
    simplex_margins,
    tag_average_residuals,
    unstructured_levels,
    with_imbalance,
    within_class_covariance,
)
from ._out_of_distribution import out_of_distribution

if TYPE_CHECKING:
    from .torch import Head, Tracker, from_torch

__version__ = "0.1.0"

__all__ = [
    "Audit",
    "AuditPart",
    "AuditSums",
    "ClassMatrix",
    "CrossEntropy",
    "FirstPass",
    "FixedHead",
    "Head",
    "LayerPeeled",
    "LogisticLaw",
    "MultiLabel",
    "Neco",
    "Potential",
    "Prediction",
    "QuasiInterpolation",
    "RegressionAudit",
    "ReluCompetitor",
    "Seli",
    "SimplexPotential",
    "SoftLabelAudit",
    "SoftLabels",
    "SparseLabels",
    "SphericalCrossEntropy",
    "SupervisedContrastive",
    "Tracker",
    "Ufm",
    "all_metrics",
    "audit",
    "audit_regression",
    "audit_soft_labels",
    "balancedness",
    "cdnv",
    "confusion",
    "critical_imbalance_ratio",
    "decay_of_code",
    "detection",
    "duality_cosines",
    "errors",
    "feature_decay_of_code",
    "fitted_rate",
    "from_torch",
    "general_orthogonal_frame",
    "infer_decays",
    "layers",
    "least_squares_split",
    "limit_threads",
    "line_of_rate",
    "margin_equalizing_weights",
    "nc0",
    "nc0_factor",
    "nc1",
    "nc1_trace_quotient",
    "nc2",
    "nc3",
    "nc4",
    "nc5",
    "nci_scores",
    "nrc1",
    "nrc2",
    "nrc3",
    "objective",
    "one_vs_rest_bound",
    "one_vs_rest_distance",
    "orthogonal_frame",
    "out_of_distribution",
    "phase_diagram",
    "predict",
    "predicted_gamma",
    "self_duality",
    "separation_law",
    "shape",
    "simplex_etf",
    "simplex_margins",
    "tag_average_residuals",
    "unstructured_levels",
    "with_imbalance",
    "within_class_covariance",
]


def __getattr__(name: str) -> Any:
    # PyTorch is optional, and takes seconds to import.
    if name in ("Head", "Tracker", "from_torch"):
        from . import torch

        return getattr(torch, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
