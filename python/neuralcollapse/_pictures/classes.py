"""Pictures of classes: norms, matrices, cosines and singular values."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import Audit, Prediction, Ufm, class_groups
from ..errors import NotAnsweredError, RangeError
from .canvas import (
    CURVE_POINTS,
    MATRICES,
    MEASURED,
    MOST_NAMES,
    MUTED,
    PREDICTED,
    UNITS,
    Floats,
    Panel,
    answered,
    from_zero,
    hollow_marks,
    product_name,
    say_why_not,
    subscript,
    whole_numbers,
)

#: Layers that have a picture of their singular values.
_MOST_LAYERS = 5

#: Singular values of one picture, and those that are always there.
_MOST_VALUES, _FIRST_VALUES = 400, 12

#: More different cosines than these are not marked.
_MOST_MARKS = 12

#: More lines between classes of different sizes than these would cover a matrix.
_MOST_LINES = 20

#: Measured classes beside a predicted curve.
_MOST_POINTS = 1000


def _curve(model: Prediction | None, sizes: Floats) -> tuple[Floats, Floats]:
    """Class sizes, and the pairs of norms of classes of that size where all lie on one curve."""
    points: list[tuple[float, float]] = []
    known: list[float] = []
    if isinstance(model, Ufm) and len(sizes) > 0:
        for size in np.linspace(0.8 * sizes.min(), 1.05 * sizes.max(), CURVE_POINTS + 1):
            try:
                points.append(model.norms_of_size(float(size)))
            except NotAnsweredError:
                break
            except RangeError:
                continue
            known.append(float(size))
    return np.array(known), np.array(points).reshape(-1, 2)


def norms_by_size(
    model: Prediction | None, sizes: Floats, measured: dict[str, Floats], predicted: dict[str, Floats]
) -> list[Panel]:
    """‖w_k‖² and ‖h_k‖² against the number of samples of the class."""
    curve_sizes, curves = _curve(model, sizes)
    threshold = model.smallest_surviving_count if isinstance(model, Ufm) else None
    # Far from all classes it would squeeze them.
    if threshold is not None and not 0.2 * sizes.min() < threshold < 5 * sizes.max():
        threshold = None

    def panel(index: int, key: str, symbol: str, name: str) -> Panel:
        def draw(axes: Any) -> None:
            is_known = not np.isnan(predicted[key]).all()  # of a family the members differ
            if is_known and len(curve_sizes) > 0:
                axes.plot(curve_sizes, curves[:, index], color=PREDICTED, label="predicted, all sizes")
            if is_known:
                points = np.unique(np.column_stack([sizes, predicted[key]]), axis=0)
                axes.plot(*points.T, "D", **hollow_marks(len(points)))
            if key in measured:
                step = -(-len(sizes) // _MOST_POINTS)
                axes.plot(sizes[::step], measured[key][::step], ".", color=MEASURED, label="measured")
            if threshold is not None:
                label = f"collapse below {threshold:.4g}"
                axes.axvline(threshold, color=MUTED, linestyle="--", label=label)
            axes.set(title=f"squared norms of {name}", xlabel="samples of the class, nₖ", ylabel=symbol)
            from_zero(axes)
            whole_numbers(axes.xaxis)
            if axes.get_legend_handles_labels()[0]:
                axes.legend()
            else:
                say_why_not(axes, "not determined")

        return draw

    return [
        panel(0, "classifier_norm_squared", "‖wₖ‖²", "the classifier's rows"),
        panel(1, "feature_norm_squared", "‖hₖ‖²", "the class means"),
    ]


def norms_by_class(values: Floats) -> Panel:
    def draw(axes: Any) -> None:
        axes.plot(values, "D", **hollow_marks(len(values)))
        axes.set(title="squared norms of the classifier's rows", xlabel="class", ylabel="‖wₖ‖²")
        from_zero(axes)
        whole_numbers(axes.xaxis)
        axes.legend()

    return draw


# Matrices over the classes.


class Grid:
    """The rows and columns of matrices over the classes."""

    def __init__(self, counts: Sequence[int], names: Sequence[int], axis: str = "by falling size") -> None:
        groups, self.boundaries = class_groups(counts)
        self.single = len(groups) == len(counts)
        self.names = [str(names[group[0]]) + ("" if self.single else "…") for group in groups]
        self.axis = ("class" if self.single else "groups of classes") + (f", {axis}" if axis else "")


def heat_map(title: str, matrix: Floats | None, grid: Grid, unit: str, end: float | None = None) -> Panel:
    """Colors from −end to end, the palest is zero; lines where smaller classes begin."""

    def draw(axes: Any) -> None:
        axes.set_title(title)
        if matrix is None:
            say_why_not(axes, "not determined")
            return
        highest = float(np.abs(matrix).max()) if end is None else end
        highest = highest if highest > 0 else 1.0
        image = axes.imshow(matrix, cmap="RdBu_r", vmin=-highest, vmax=highest)
        for boundary in grid.boundaries if len(grid.boundaries) <= _MOST_LINES else []:
            axes.axhline(boundary - 0.5, color="0.4", linewidth=0.8)
            axes.axvline(boundary - 0.5, color="0.4", linewidth=0.8)
        shown = range(0, len(grid.names), -(-len(grid.names) // MOST_NAMES))
        names = [grid.names[index] for index in shown]
        turned = 90 if max(map(len, names)) > 2 else 0
        axes.set_xticks(shown, names, rotation=turned)
        axes.set_yticks(shown, names)
        axes.set_xlabel(grid.axis)
        axes.figure.colorbar(image, ax=axes, label=unit)

    return draw


def compared_matrices(audit: Audit, grid: Grid) -> list[Sequence[Panel]]:
    """Gram matrices and outputs: a row each of measured, predicted and difference, or one row without a prediction."""
    pairs = {name: audit.compared(name) for name in MATRICES}
    unit = "entry / Frobenius norm"
    rows: list[Sequence[Panel]] = []
    alone: list[Panel] = []
    for name, pair in pairs.items():
        title = MATRICES[name]
        measured, predicted, difference = pair["measured"], pair["predicted"], pair["difference"]
        if measured is None or predicted is None or difference is None:
            alone.append(heat_map(f"{title}, measured", measured, grid, UNITS[name]))
            continue
        end = float(max(np.abs(measured).max(), np.abs(predicted).max()))
        rows.append(
            [
                heat_map(f"{title}, measured", measured, grid, unit, end),
                heat_map(f"{title}, predicted", predicted, grid, unit, end),
                heat_map(f"{title}, difference", difference, grid, f"{unit} (own scale)"),
            ]
        )
    return rows + ([alone] if alone else [])


# Angles.


def cosine_panel(name: str, measured: Floats | None, predicted: Floats) -> Panel:
    """Bars of what is measured and marks of what is predicted; without measurements bars of what is predicted."""

    def draw(axes: Any) -> None:
        axes.set_title(f"cosines between {name}")
        bars = predicted if measured is None else measured
        if len(bars) == 0:
            say_why_not(axes, "not determined")
            return
        label, color = ("predicted", PREDICTED) if measured is None else ("measured", MEASURED)
        axes.hist(np.clip(bars, -1, 1), bins=41, range=(-1, 1), color=color, label=label)
        marks = np.unique(np.round(predicted, 3))
        if measured is not None and len(marks) <= _MOST_MARKS:
            for index, mark in enumerate(marks):
                axes.axvline(mark, color=PREDICTED, linestyle="--", label=None if index else "predicted")
        axes.set(xlabel="cosine", ylabel="pairs of classes", xlim=(-1.05, 1.05))
        whole_numbers(axes.yaxis)
        axes.legend()

    return draw


# Singular values.


def _spread(values: Sequence[tuple[float, int]] | None) -> Floats:
    """One number for each singular vector."""
    pairs = values or []
    return np.repeat([value for value, _ in pairs], [number for _, number in pairs]).astype(np.float64)


def _numbered(values: Floats, most: int) -> tuple[Any, Floats]:
    shown = values[:most]
    return np.arange(1, len(shown) + 1), shown


def _spectrum(name: str, measured: Floats, predicted: Floats) -> Panel:
    # Beyond twice those predicted there is little but zeros.
    most = min(max(2 * len(predicted) or _MOST_VALUES, _FIRST_VALUES), _MOST_VALUES)

    def draw(axes: Any) -> None:
        if len(predicted) > 0:
            axes.plot(*_numbered(predicted, most), "D", **hollow_marks(len(predicted)))
        axes.plot(*_numbered(measured, most), ".-", color=MEASURED, linewidth=0.8, label="measured")
        rest = measured[most:]
        if len(rest) > 0:
            axes.plot([], [], " ", label=f"{len(rest)} more ≤ {rest[0]:.2g}")
        axes.set(title=f"singular values of {name}", xlabel="number, by falling size", ylabel="singular value")
        from_zero(axes)
        whole_numbers(axes.xaxis)
        axes.legend()

    return draw


def measured_spectra(audit: Audit) -> list[Panel]:
    model = audit.prediction if audit.prediction is not None and audit.prediction.has_scale else None
    depth = len(audit.weights)

    def predicted(first: int, last: int) -> Floats:
        question = None if model is None else functools.partial(model.singular_values, first, last)
        return _spread(None if question is None else answered(question))

    layers = [(f"W{subscript(layer)}", layer, layer) for layer in range(1, min(depth, _MOST_LAYERS) + 1)]
    if depth > 1:
        layers.append((product_name(depth), 1, depth))
    panels = [
        _spectrum(name, audit.singular_values(first, last), predicted(first, last)) for name, first, last in layers
    ]
    of_features = answered(model.feature_singular_values) if model is not None else None
    name = "the class means, √nₖ hₖ"
    return [*panels, _spectrum(name, audit.feature_singular_values(), _spread(of_features))]


def predicted_spectra(model: Prediction) -> Panel:
    depth = model.depth

    def layer(first: int, last: int) -> Floats:
        return _spread(answered(lambda: model.singular_values(first, last)))

    curves = [(f"W{subscript(number)}", layer(number, number)) for number in range(1, min(depth, _MOST_LAYERS) + 1)]
    if depth > 1:
        curves.append((product_name(depth), layer(1, depth)))
    curves.append(("H", _spread(answered(model.feature_singular_values))))
    # Layers with the same values share a line.
    named: list[tuple[list[str], Floats]] = []
    for name, values in curves:
        if len(values) == 0:
            continue
        for names, others in named:
            if len(others) == len(values) and np.allclose(others, values, rtol=1e-9, atol=0):
                names.append(name)
                break
        else:
            named.append(([name], values))

    def draw(axes: Any) -> None:
        title = "singular values" + (f", first {_MOST_LAYERS} of {depth} layers" if depth > _MOST_LAYERS else "")
        axes.set_title(title)
        if not named:  # nor has a loss without a classifier any
            say_why_not(axes, "not determined")
            return
        for names, values in named:
            axes.plot(*_numbered(values, _MOST_VALUES), ".-", label=", ".join(names))
        axes.set(xlabel="number, by falling size", ylabel="singular value")
        from_zero(axes)
        whole_numbers(axes.xaxis)
        axes.legend()

    return draw
