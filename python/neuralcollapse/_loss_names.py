"""What a predicted loss and the gap to it are called."""

from __future__ import annotations

from typing import NamedTuple

from ._core import Prediction


class LossNames(NamedTuple):
    """f* is a proved global minimum; what no proof says to be that has another name, as in the tables of the program."""

    #: Of the loss of a prediction.
    loss: str
    #: Of the same beside a measured one.
    predicted: str
    #: Of the same where it is drawn beside a measured one.
    curve: str
    #: Of the distance to it, relative to it.
    gap: str


_BEST_KNOWN = "loss of the best known point"

_PROVED = LossNames("loss f*", "predicted f*", "f*, predicted", "(f − f*)/f*")
_NOT_PROVED = LossNames(
    _BEST_KNOWN, _BEST_KNOWN, "best known point, predicted", "loss gap to the best known point, relative"
)
_UNKNOWN = LossNames("loss", "predicted loss", "predicted loss", "loss gap, relative")


def loss_names(prediction: Prediction | None) -> LossNames:
    """The names for a prediction; without one they hold for every prediction."""
    if prediction is None:
        return _UNKNOWN
    return _PROVED if prediction.proof == "proved" else _NOT_PROVED
