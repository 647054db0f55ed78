"""What can be wrong with an input, as exceptions that carry the argument's name, place and value.

All are subclasses of ``ValueError``.
"""

from __future__ import annotations

__all__ = [
    "ArgumentError",
    "CancelledError",
    "ConvergenceError",
    "EmptyClassError",
    "MismatchError",
    "NeuralCollapseError",
    "NoClosedFormError",
    "NotAnsweredError",
    "RangeError",
    "ShapeError",
]


class NeuralCollapseError(ValueError):
    """Any error of this package.

    Attributes
    ----------
    argument : name of the argument, or None
    place : indices in it, such as ``(layer,)``, ``(sample, feature)`` or ``(row, column)``, or None
    value : the number found, or None
    expected : what is allowed, in words, or None
    """

    argument: str | None
    place: tuple[int, ...] | None
    value: float | None
    expected: str | None

    def __init__(
        self,
        message: str = "",
        argument: str | None = None,
        place: tuple[int, ...] | None = None,
        value: float | None = None,
        expected: str | None = None,
    ) -> None:
        super().__init__(message)
        self.argument = argument
        self.place = place
        self.value = value
        self.expected = expected


class ArgumentError(NeuralCollapseError):
    """An argument has a value that is not allowed."""


class ShapeError(ArgumentError):
    """An argument does not have the shape that the others ask for."""


class EmptyClassError(NeuralCollapseError):
    """A class has no sample, or its vector is zero; ``place`` has its number."""


class MismatchError(NeuralCollapseError):
    """Pieces of a data set, or a prediction and a measurement, do not belong together."""


class NoClosedFormError(NeuralCollapseError):
    """The problem is well posed, but no model of this package has its minimum."""


class NotAnsweredError(NeuralCollapseError):
    """A prediction has no answer to a question."""


class ConvergenceError(NeuralCollapseError):
    """An iterative method did not converge."""


class RangeError(NeuralCollapseError):
    """A result is out of the range of floating-point numbers."""


class CancelledError(NeuralCollapseError):
    """Long work was ended."""
