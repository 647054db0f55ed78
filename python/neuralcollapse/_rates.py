"""The rates of a training: those that are predicted for its minimum, and those that fit what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ._core import LogisticLaw, Prediction, Ufm, fitted_rate
from ._loss_names import loss_names
from .errors import NotAnsweredError

#: Points of the curve of a law.
_LAW_POINTS = 201


def column(rows: Sequence[dict[str, Any]], name: str) -> npt.NDArray[np.float64]:
    """A number of every row, NaN where there is none."""
    values = (row.get(name) for row in rows)
    return np.array([np.nan if value is None else value for value in values], np.float64)


@dataclass(frozen=True)
class Growth:
    """The logistic law of the largest or the smallest squared singular value of the head, from the first row on."""

    name: str
    law: LogisticLaw
    step: float
    epochs: npt.NDArray[np.float64]
    measured: npt.NDArray[np.float64]

    @property
    def rate(self) -> float:
        """Per epoch."""
        return self.law.rate * self.step

    def curve(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Epochs and s²; early ones are as dense as a logarithmic axis shows them."""
        later = self.epochs[self.epochs > 0]
        times = np.geomspace(later[0], later[-1], _LAW_POINTS) if len(later) > 0 else later
        first = self.epochs[0]
        times = np.concatenate([[first], times[times > first]])
        return times, self.law.squared_singular_values(self.step * (times - first))


def growth(prediction: Prediction | None, rows: Sequence[dict[str, Any]], step: float | None) -> list[Growth]:
    """The laws in the directions of the largest and of the smallest classes, where they are known: for one layer without a
    bias and equal decays."""
    if not isinstance(prediction, Ufm) or step is None:
        return []
    found = []
    epochs = column(rows, "epoch")
    for name, direction in (("largest", 0), ("smallest", len(prediction.directions) - 1)):
        squares = column(rows, f"{name}_singular_value") ** 2
        usable = np.flatnonzero(squares > 0)
        if len(usable) == 0:
            continue
        first = int(usable[0])
        try:
            law = prediction.logistic_law(direction, float(squares[first]))
        except NotAnsweredError:
            return []
        found.append(Growth(name, law, step, epochs[first:], squares[first:]))
    return found


def predicted(prediction: Prediction | None, step: float | None) -> dict[str, Any]:
    """As :meth:`Prediction.rates`, without any where none are known."""
    try:
        return {} if prediction is None else prediction.rates(step)
    except NotAnsweredError:
        return {}


def table(
    prediction: Prediction | None, rows: Sequence[dict[str, Any]], step: float | None
) -> list[dict[str, Any]]:
    """The rates of a training, one dictionary each: name, predicted, fitted."""
    rates = predicted(prediction, step)
    epochs = column(rows, "epoch")

    def fitted(values: npt.NDArray[np.float64], times: npt.NDArray[np.float64] = epochs) -> float | None:
        # Near its end a training falls at the rates of the minimum.
        known = np.isfinite(values)
        times, values = times[known], values[known]
        half = len(times) // 2
        return fitted_rate(times[half:], values[half:])

    found = [
        {"name": "NC1", "predicted": rates.get("nc1"), "fitted": fitted(column(rows, "nc1"))},
        {"name": "NC0", "predicted": rates.get("nc0"), "fitted": fitted(column(rows, "nc0"))},
        {"name": loss_names(prediction).gap, "predicted": None, "fitted": fitted(column(rows, "loss_gap_relative"))},
    ]
    for law in growth(prediction, rows, step):
        name = f"s² to its limit, {law.name} singular value (logistic law)"
        distance = np.abs(law.measured - law.law.limit)
        rate = law.rate if law.rate > 0 else None
        found.append({"name": name, "predicted": rate, "fitted": fitted(distance, law.epochs)})
    name = "largest stable step of gradient descent"
    return [*found, {"name": name, "predicted": rates.get("largest_step"), "fitted": None}]
