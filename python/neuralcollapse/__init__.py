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
    LayerPeeled,
    Potential,
    Prediction,
    Seli,
    Ufm,
    all_metrics,
    cdnv,
    critical_imbalance_ratio,
    duality_cosines,
    general_orthogonal_frame,
    limit_threads,
    nc1,
    nc1_trace_quotient,
    nc2,
    nc3,
    nc4,
    orthogonal_frame,
    predict,
    self_duality,
    simplex_etf,
)

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
    "Head",
    "LayerPeeled",
    "Potential",
    "Prediction",
    "Seli",
    "Tracker",
    "Ufm",
    "all_metrics",
    "audit",
    "cdnv",
    "critical_imbalance_ratio",
    "duality_cosines",
    "errors",
    "from_torch",
    "general_orthogonal_frame",
    "limit_threads",
    "nc1",
    "nc1_trace_quotient",
    "nc2",
    "nc3",
    "nc4",
    "orthogonal_frame",
    "predict",
    "self_duality",
    "simplex_etf",
]


def __getattr__(name: str) -> Any:
    # PyTorch is optional, and takes seconds to import.
    if name in ("Head", "Tracker", "from_torch"):
        from . import torch

        return getattr(torch, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
