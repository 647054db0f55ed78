"""Figures, and what all pictures on them share."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import NotAnsweredError

Floats: TypeAlias = npt.NDArray[np.float64]

#: Draws one picture on its axes.
Panel: TypeAlias = Callable[[Any], None]

#: Pictures beside each other.
_COLUMNS = 3

#: More points than these are drawn small.
_MANY_POINTS = 50

#: Points of a predicted curve.
CURVE_POINTS = 120

MEASURED, PREDICTED, MUTED = "tab:blue", "tab:orange", "0.6"

#: More names than these do not fit beside a matrix.
MOST_NAMES = 12

MATRICES = {
    "classifier": "classifier",
    "class_means": "class means",
    "outputs": "outputs",
}

#: What the entries of these matrices are.
UNITS = {"classifier": "inner product", "class_means": "inner product", "outputs": "output for class mean"}


def _figure(rows: int, columns: int) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        message = "pictures need matplotlib: pip install matplotlib"
        raise ImportError(message) from error

    class NotebookFigure(Figure):
        def _repr_png_(self) -> bytes:
            written = io.BytesIO()
            self.savefig(written, format="png", dpi=80)
            return written.getvalue()

    return NotebookFigure(figsize=(4.5 * columns, 3.6 * rows), layout="constrained")


def figure(columns: int = 1) -> tuple[Any, Any]:
    """A matplotlib figure that notebooks show, and its axes in a row.

    Unlike those of pyplot it is not kept alive, needs no display, and is shown once. ``savefig`` writes it.
    """
    made = _figure(1, columns)
    return made, made.subplots(1, columns, squeeze=False)[0]


def sheet_of(rows: Sequence[Sequence[Panel]]) -> Any:
    """A figure of several rows of pictures, whose axes come in reading order."""
    made = _figure(len(rows), _COLUMNS)
    # Each row has a layout of its own, so that the legends of one do not narrow the others.
    for part, panels in zip(made.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        for column, panel in enumerate(panels, start=1):
            panel(part.add_subplot(1, _COLUMNS, column))
    return made


def in_rows(panels: Sequence[Panel]) -> list[Sequence[Panel]]:
    return [panels[first : first + _COLUMNS] for first in range(0, len(panels), _COLUMNS)]


def hollow_marks(number: int, color: str = PREDICTED, label: str = "predicted") -> dict[str, Any]:
    """How so many predicted points are drawn: hollow, so that measured ones are seen in them."""
    size = 8 if number <= _MANY_POINTS else 3
    return {"color": color, "markerfacecolor": "none", "markersize": size, "label": label}


def from_zero(axes: Any) -> None:
    """Heights from zero on, with room above the highest."""
    highest = axes.dataLim.y1
    axes.set_ylim(0, 1.1 * highest if np.isfinite(highest) and highest > 0 else 1.0)


def whole_numbers(axis: Any) -> None:
    """Ticks at whole numbers alone."""
    axis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def say_why_not(axes: Any, reason: str) -> None:
    axes.text(0.5, 0.5, textwrap.fill(reason, 32), ha="center", va="center", transform=axes.transAxes)
    axes.set_axis_off()


def note(axes: Any, text: str) -> None:
    axes.text(0.02, 0.02, textwrap.fill(text, 60), fontsize=7, transform=axes.transAxes)


def answered(question: Callable[[], Any]) -> Any:
    """What a prediction answers, or None."""
    try:
        return question()
    except NotAnsweredError:
        return None


def as_floats(values: Iterable[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def subscript(number: int) -> str:
    return "".join(chr(0x2080 + int(digit)) for digit in str(number))


def product_name(depth: int) -> str:
    return f"W{subscript(depth)}⋯W₁" if depth > 2 else "W₂W₁"
