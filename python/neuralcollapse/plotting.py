"""Pictures with matplotlib, which is needed for nothing else: the figures of the program's report.

All numbers are dimensionless.
"""

from __future__ import annotations

import functools
import io
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _arrays, _rates
from ._core import (
    Audit,
    ClassMatrix,
    FirstPass,
    Potential,
    Prediction,
    Ufm,
    class_groups,
    confusion,
    line_of_rate,
    plane,
)
from .errors import (
    ArgumentError,
    MismatchError,
    NeuralCollapseError,
    NoClosedFormError,
    NotAnsweredError,
    RangeError,
)

if TYPE_CHECKING:
    from .torch import Tracker

Floats: TypeAlias = npt.NDArray[np.float64]

#: Draws one picture on its axes.
Panel: TypeAlias = Callable[[Any], None]

#: Pictures beside each other.
_COLUMNS = 3

#: More classes than these have no picture of their vectors.
_MOST_VECTORS = 200

#: More names than these do not fit beside a matrix.
_MOST_NAMES = 12

#: More vectors than these get no names.
_MOST_NAMED_VECTORS = 24

#: Layers that have a picture of their singular values.
_MOST_LAYERS = 5

#: Singular values of one picture, and those that are always there.
_MOST_VALUES, _FIRST_VALUES = 400, 12

#: More different cosines than these are not marked.
_MOST_MARKS = 12

#: Points of a predicted curve, measured classes beside it, and samples beside the class means.
_CURVE_POINTS, _MOST_POINTS, _MOST_SAMPLES = 120, 1000, 400

#: Curves of one picture of thresholds, and directions whose potential is drawn.
_MOST_CURVES, _MOST_DIRECTIONS = 6, 3

#: A third direction with a smaller share of the squared lengths is not shown.
_WORTH_SEEING = 0.01

#: g(x; b) is 1 at x = 0, and lower where a direction survives; curves of steep slopes end here.
_HIGHEST_POTENTIAL = 1.6

#: Structures that have a color of their own.
_MOST_STRUCTURES = 7

_MEASURED, _PREDICTED, _MUTED = "tab:blue", "tab:orange", "0.6"

#: More points than these are drawn small.
_MANY_POINTS = 50

#: More lines between classes of different sizes than these would cover a matrix.
_MOST_LINES = 20

_MATRICES = {
    "classifier": "classifier",
    "class_means": "class means",
    "outputs": "outputs",
}

#: What the entries of these matrices are.
_UNITS = {"classifier": "inner product", "class_means": "inner product", "outputs": "output for class mean"}


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


def _sheet(rows: Sequence[Sequence[Panel]]) -> Any:
    """A figure of several rows of pictures, whose axes come in reading order."""
    made = _figure(len(rows), _COLUMNS)
    # Each row has a layout of its own, so that the legends of one do not narrow the others.
    for part, panels in zip(made.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        for column, panel in enumerate(panels, start=1):
            panel(part.add_subplot(1, _COLUMNS, column))
    return made


def _in_rows(panels: Sequence[Panel]) -> list[Sequence[Panel]]:
    return [panels[first : first + _COLUMNS] for first in range(0, len(panels), _COLUMNS)]


def _hollow(number: int, color: str = _PREDICTED, label: str = "predicted") -> dict[str, Any]:
    """How so many predicted points are drawn: hollow, so that measured ones are seen in them."""
    size = 8 if number <= _MANY_POINTS else 3
    return {"color": color, "markerfacecolor": "none", "markersize": size, "label": label}


def _from_zero(axes: Any) -> None:
    """Heights from zero on, with room above the highest."""
    highest = axes.dataLim.y1
    axes.set_ylim(0, 1.1 * highest if np.isfinite(highest) and highest > 0 else 1.0)


def _whole(axis: Any) -> None:
    """Ticks at whole numbers alone."""
    axis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def _nothing(axes: Any, reason: str) -> None:
    axes.text(0.5, 0.5, textwrap.fill(reason, 32), ha="center", va="center", transform=axes.transAxes)
    axes.set_axis_off()


def _note(axes: Any, text: str) -> None:
    axes.text(0.02, 0.02, textwrap.fill(text, 60), fontsize=7, transform=axes.transAxes)


def _answer(question: Callable[[], Any]) -> Any:
    """What a prediction answers, or None."""
    try:
        return question()
    except NotAnsweredError:
        return None


def _numbers(values: Iterable[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _subscript(number: int) -> str:
    return "".join(chr(0x2080 + int(digit)) for digit in str(number))


def _product_name(depth: int) -> str:
    return f"W{_subscript(depth)}⋯W₁" if depth > 2 else "W₂W₁"


# Norms against class sizes.


def _curve(model: Prediction | None, sizes: Floats) -> tuple[Floats, Floats]:
    """Class sizes, and the pairs of norms of classes of that size where all lie on one curve."""
    points: list[tuple[float, float]] = []
    known: list[float] = []
    if isinstance(model, Ufm) and len(sizes) > 0:
        for size in np.linspace(0.8 * sizes.min(), 1.05 * sizes.max(), _CURVE_POINTS + 1):
            try:
                points.append(model.norms_of_size(float(size)))
            except NotAnsweredError:
                break
            except RangeError:
                continue
            known.append(float(size))
    return np.array(known), np.array(points).reshape(-1, 2)


def _norms(
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
                axes.plot(curve_sizes, curves[:, index], color=_PREDICTED, label="predicted, all sizes")
            if is_known:
                points = np.unique(np.column_stack([sizes, predicted[key]]), axis=0)
                axes.plot(*points.T, "D", **_hollow(len(points)))
            if key in measured:
                step = -(-len(sizes) // _MOST_POINTS)
                axes.plot(sizes[::step], measured[key][::step], ".", color=_MEASURED, label="measured")
            if threshold is not None:
                label = f"collapse below {threshold:.4g}"
                axes.axvline(threshold, color=_MUTED, linestyle="--", label=label)
            axes.set(title=f"squared norms of {name}", xlabel="samples of the class, nₖ", ylabel=symbol)
            _from_zero(axes)
            _whole(axes.xaxis)
            if axes.get_legend_handles_labels()[0]:
                axes.legend()
            else:
                _nothing(axes, "not determined")

        return draw

    return [
        panel(0, "classifier_norm_squared", "‖wₖ‖²", "the classifier's rows"),
        panel(1, "feature_norm_squared", "‖hₖ‖²", "the class means"),
    ]


def _norms_by_class(values: Floats) -> Panel:
    def draw(axes: Any) -> None:
        axes.plot(values, "D", **_hollow(len(values)))
        axes.set(title="squared norms of the classifier's rows", xlabel="class", ylabel="‖wₖ‖²")
        _from_zero(axes)
        _whole(axes.xaxis)
        axes.legend()

    return draw


# Matrices over the classes.


class _Grid:
    """The rows and columns of matrices over the classes."""

    def __init__(self, counts: Sequence[int], names: Sequence[int], axis: str = "by falling size") -> None:
        groups, self.boundaries = class_groups(counts)
        self.single = len(groups) == len(counts)
        self.names = [str(names[group[0]]) + ("" if self.single else "…") for group in groups]
        self.axis = ("class" if self.single else "groups of classes") + (f", {axis}" if axis else "")


def _heat_map(title: str, matrix: Floats | None, grid: _Grid, unit: str, end: float | None = None) -> Panel:
    """Colors from −end to end, the palest is zero; lines where smaller classes begin."""

    def draw(axes: Any) -> None:
        axes.set_title(title)
        if matrix is None:
            _nothing(axes, "not determined")
            return
        highest = float(np.abs(matrix).max()) if end is None else end
        highest = highest if highest > 0 else 1.0
        image = axes.imshow(matrix, cmap="RdBu_r", vmin=-highest, vmax=highest)
        for boundary in grid.boundaries if len(grid.boundaries) <= _MOST_LINES else []:
            axes.axhline(boundary - 0.5, color="0.4", linewidth=0.8)
            axes.axvline(boundary - 0.5, color="0.4", linewidth=0.8)
        shown = range(0, len(grid.names), -(-len(grid.names) // _MOST_NAMES))
        names = [grid.names[index] for index in shown]
        turned = 90 if max(map(len, names)) > 2 else 0
        axes.set_xticks(shown, names, rotation=turned)
        axes.set_yticks(shown, names)
        axes.set_xlabel(grid.axis)
        axes.figure.colorbar(image, ax=axes, label=unit)

    return draw


def _compared(audit: Audit, grid: _Grid) -> list[Sequence[Panel]]:
    """Gram matrices and outputs: a row each of measured, predicted and difference, or one row without a prediction."""
    pairs = {name: audit.compared(name) for name in _MATRICES}
    unit = "entry / Frobenius norm"
    rows: list[Sequence[Panel]] = []
    alone: list[Panel] = []
    for name, pair in pairs.items():
        title = _MATRICES[name]
        measured, predicted, difference = pair["measured"], pair["predicted"], pair["difference"]
        if measured is None or predicted is None or difference is None:
            alone.append(_heat_map(f"{title}, measured", measured, grid, _UNITS[name]))
            continue
        end = float(max(np.abs(measured).max(), np.abs(predicted).max()))
        rows.append(
            [
                _heat_map(f"{title}, measured", measured, grid, unit, end),
                _heat_map(f"{title}, predicted", predicted, grid, unit, end),
                _heat_map(f"{title}, difference", difference, grid, f"{unit} (own scale)"),
            ]
        )
    return rows + ([alone] if alone else [])


# Angles.


def _cosines(name: str, measured: Floats | None, predicted: Floats) -> Panel:
    """Bars of what is measured and marks of what is predicted; without measurements bars of what is predicted."""

    def draw(axes: Any) -> None:
        axes.set_title(f"cosines between {name}")
        bars = predicted if measured is None else measured
        if len(bars) == 0:
            _nothing(axes, "not determined")
            return
        label, color = ("predicted", _PREDICTED) if measured is None else ("measured", _MEASURED)
        axes.hist(np.clip(bars, -1, 1), bins=41, range=(-1, 1), color=color, label=label)
        marks = np.unique(np.round(predicted, 3))
        if measured is not None and len(marks) <= _MOST_MARKS:
            for index, mark in enumerate(marks):
                axes.axvline(mark, color=_PREDICTED, linestyle="--", label=None if index else "predicted")
        axes.set(xlabel="cosine", ylabel="pairs of classes", xlim=(-1.05, 1.05))
        _whole(axes.yaxis)
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
            axes.plot(*_numbered(predicted, most), "D", **_hollow(len(predicted)))
        axes.plot(*_numbered(measured, most), ".-", color=_MEASURED, linewidth=0.8, label="measured")
        rest = measured[most:]
        if len(rest) > 0:
            axes.plot([], [], " ", label=f"{len(rest)} more ≤ {rest[0]:.2g}")
        axes.set(title=f"singular values of {name}", xlabel="number, by falling size", ylabel="singular value")
        _from_zero(axes)
        _whole(axes.xaxis)
        axes.legend()

    return draw


def _measured_spectra(audit: Audit) -> list[Panel]:
    model = audit.prediction if audit.prediction is not None and audit.prediction.has_scale else None
    depth = len(audit.weights)

    def predicted(first: int, last: int) -> Floats:
        question = None if model is None else functools.partial(model.singular_values, first, last)
        return _spread(None if question is None else _answer(question))

    layers = [(f"W{_subscript(layer)}", layer, layer) for layer in range(1, min(depth, _MOST_LAYERS) + 1)]
    if depth > 1:
        layers.append((_product_name(depth), 1, depth))
    panels = [
        _spectrum(name, audit.singular_values(first, last), predicted(first, last)) for name, first, last in layers
    ]
    of_features = _answer(model.feature_singular_values) if model is not None else None
    name = "the class means, √nₖ hₖ"
    return [*panels, _spectrum(name, audit.feature_singular_values(), _spread(of_features))]


def _predicted_spectra(model: Prediction) -> Panel:
    depth = model.depth

    def layer(first: int, last: int) -> Floats:
        return _spread(_answer(lambda: model.singular_values(first, last)))

    curves = [(f"W{_subscript(number)}", layer(number, number)) for number in range(1, min(depth, _MOST_LAYERS) + 1)]
    if depth > 1:
        curves.append((_product_name(depth), layer(1, depth)))
    curves.append(("H", _spread(_answer(model.feature_singular_values))))
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
            _nothing(axes, "not determined")
            return
        for names, values in named:
            axes.plot(*_numbered(values, _MOST_VALUES), ".-", label=", ".join(names))
        axes.set(xlabel="number, by falling size", ylabel="singular value")
        _from_zero(axes)
        _whole(axes.xaxis)
        axes.legend()

    return draw


# What becomes of a prediction at other decays, class sizes and depths.


def _first_to_last(curves: Sequence[Any]) -> list[Any]:
    """Of many curves the first, the last and some between them."""
    step = -(-len(curves) // _MOST_CURVES) or 1
    return [curve for index, curve in enumerate(curves) if index % step == 0 or index == len(curves) - 1]


def _star(axes: Any, x: float, y: float) -> None:
    axes.plot([x], [y], "*", color="black", markersize=12, label="this problem", zorder=3)


def _thresholds(title: str, curves: Sequence[tuple[str, Any]], imbalance: float) -> Panel:
    """Factors on all decays against the imbalance."""

    def draw(axes: Any) -> None:
        for name, points in curves:
            axes.plot(*np.array(points, np.float64).reshape(-1, 2).T, label=name)
        _star(axes, imbalance, 1.0)
        axes.set(title=title, xlabel="largest class / smallest class", ylabel="factor on all decays")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(bottom=min(0.4, axes.get_ylim()[0]))  # room around the mark, which is at the factor 1
        axes.legend(fontsize=8)

    return draw


def _surviving(number: int) -> str:
    directions = {0: "none survives", 1: "1 direction survives"}.get(number, f"{number} directions survive")
    return f"{directions} above"


def _merging(limit: dict[str, Any]) -> str:
    kinds = {True: "the smaller classes", False: "the larger classes", None: f"classes of now n = {limit['count']}"}
    return f"{kinds[limit['is_smaller']]} merge above"


def _structures(diagram: dict[str, Any]) -> Panel:
    """The structures with the lowest loss over strength and depth."""
    columns = sorted(diagram["depths"], key=lambda column: (column["depth"] != diagram["depth"], column["depth"]))
    names: list[str] = ["simplex ETF", "zero"]
    for column in columns:
        names += [phase["structure"] for phase in column["phases"] if phase["structure"] not in names]
    ends = [phase["to"] for column in columns for phase in column["phases"] if np.isfinite(phase["to"])]
    low = 0.3 * min([*ends, diagram["strength"]])
    high = 3.0 * max([*ends, diagram["strength"]])

    def draw(axes: Any) -> None:
        named: set[str] = set()
        for column in columns:
            for phase in column["phases"]:
                index = names.index(phase["structure"])
                own = index < _MOST_STRUCTURES
                name = phase["structure"] if own else "another structure"
                bottom, top = max(phase["from"], low), min(phase["to"], high)
                axes.bar(
                    column["depth"],
                    top - bottom,
                    bottom=bottom,
                    width=0.84,
                    color=f"C{index}" if own else _MUTED,
                    alpha=0.75,
                    label=None if name in named else name,
                )
                named.add(name)
        _star(axes, diagram["depth"], diagram["strength"])
        axes.set(title="the structure with the lowest loss", xlabel="number of layers M")
        axes.set(ylabel="strength u = (n λ_H Πλₘ)^(1/(M+1))", ylim=(low, high))
        axes.set_yscale("log")
        _whole(axes.xaxis)
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), fontsize=8)

    return draw


def _phases(model: Prediction) -> Panel | None:
    """The phase diagram, if there is one."""
    try:
        diagram = model.phase_diagram()
    except (NotAnsweredError, NoClosedFormError):
        return None
    if diagram["kind"] == "structures":
        return _structures(diagram)
    limits = _first_to_last(diagram["limits"])
    if diagram["kind"] == "survival":
        curves = [(_surviving(limit["surviving"]), limit["points"]) for limit in limits]
        return _thresholds("which classes collapse", curves, diagram["imbalance"])
    curves = [(_merging(limit), limit["points"]) for limit in limits]
    curves.append(("all weights are zero above", diagram["zero"]))
    return _thresholds("which classes merge, cross-entropy, M = 1", curves, diagram["imbalance"])


def _minority(model: Ufm) -> Panel | None:
    """‖w_k‖² of classes against the ratio of the largest to the smallest class, if classes collapse one by one."""
    try:
        found = model.minority_collapse(_MOST_CURVES)
    except NotAnsweredError:
        return None
    counts = model.counts
    balanced = counts is not None and bool((counts == counts[0]).all())

    def draw(axes: Any) -> None:
        for row in found["classes"]:
            name = f"class {row['class']}" + ("" if balanced else f" (now n = {row['count']})")
            axes.plot(*np.array(row["points"], np.float64).reshape(-1, 2).T, label=name)
        for index, ratio in enumerate(found["critical"]):
            label = None if index else "a class collapses"
            axes.axvline(ratio, color=_MUTED, linestyle="--", label=label)
        axes.set(title="minority collapse", xlabel="largest class / smallest class", ylabel="‖wₖ‖²")
        axes.set_xscale("log")
        _from_zero(axes)
        axes.legend(fontsize=8)

    return draw


def _potential(model: Ufm) -> Panel | None:
    """g(x; b) at the slopes of the directions, at the threshold and at the fold, with its stationary points."""
    directions = model.directions
    if not directions:
        return None
    potential = Potential(model.depth)
    slopes = [
        (f"b = {row['slope']:.4g} (σ² = {row['target_squared']:.4g})", row["slope"])
        for row in directions[:_MOST_DIRECTIONS]
    ]
    slopes.append(("threshold", potential.slope_threshold))
    if model.depth > 1:
        slopes.append(("fold", potential.fold))

    def draw(axes: Any) -> None:
        stationary = [potential.stationary_points(slope) for _, slope in slopes]
        end = 1.5 * max([1.0, *(points["local_minimum"] for points in stationary if points is not None)])
        x = np.linspace(0, end, 4 * _CURVE_POINTS + 1)
        marks: list[tuple[float, float]] = []
        minima: list[tuple[float, float]] = []
        for (name, slope), points in zip(slopes, stationary, strict=True):
            values = potential.values(x, slope)
            seen = values <= _HIGHEST_POTENTIAL
            axes.plot(x[seen], values[seen], linewidth=1.2, label=name)
            least = potential.minimizer(slope)
            minima.append((least["x"], least["value"]))
            # At M = 1 and a slope above 1 the one beyond zero is none.
            places = [] if points is None else [points["local_maximum"], points["local_minimum"]]
            marks += [(place, potential.value(place, slope)) for place in places if place is not None and place > 0]
        if marks:
            axes.plot(*np.array(marks).T, "D", **_hollow(0, label="stationary"))
        axes.plot(*np.array(minima).T, ".", color=_MEASURED, markersize=9, label="global minimum")
        fold = f", fold b = {potential.fold:.4g}" if model.depth > 1 else ""
        axes.set_title(f"g(x; b), M = {model.depth}\n(threshold b = {potential.slope_threshold:.4g}{fold})")
        axes.set(xlabel="x", ylabel="g(x; b)", ylim=(0, _HIGHEST_POTENTIAL))
        axes.legend(fontsize=8)

    return draw


def _elsewhere(model: Prediction) -> list[Panel]:
    """Phase diagram, minority collapse and potential, as far as the model has them."""
    panels = [_phases(model)]
    if isinstance(model, Ufm):
        panels += [_minority(model), _potential(model)]
    return [panel for panel in panels if panel is not None]


# Vectors in a plane.


def _name_tips(axes: Any, tips: Floats, names: Sequence[object]) -> None:
    """Names beyond the ends of vectors that are not too short."""
    lengths = np.hypot(*tips.T)
    if len(names) > _MOST_NAMED_VECTORS or lengths.max(initial=0) == 0:
        return
    for tip, length, name in zip(tips, lengths, names, strict=True):
        if length > 0.08 * lengths.max():
            place = tip * (1 + 0.13 * lengths.max() / length)
            axes.text(*place, str(name), ha="center", va="center", fontsize=9)
            axes.update_datalim([place])


def _arrows(axes: Any, tips: Floats, color: str, label: str, style: str = "-") -> None:
    """Lines from the origin to hollow ends."""
    ends = np.zeros((3 * len(tips), 2))
    ends[1::3], ends[2::3] = tips, np.nan
    axes.plot(*ends.T, style, color=color, linewidth=1)
    axes.plot(*tips.T, "D", **_hollow(len(tips), color, label))


def _finish_plane(axes: Any, unit: str, names: tuple[str, str] = ("first axis", "second axis")) -> None:
    axes.set(xlabel=f"{names[0]}{unit}", ylabel=f"{names[1]}{unit}")
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12)
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), fontsize=8)


def _aligned(model: Prediction | None, means: Floats) -> tuple[Floats | None, str | None]:
    """The predicted class means turned onto the measured ones, or why there are none."""
    if model is None or not model.has_scale:
        return None, None
    gram: ClassMatrix | None = _answer(model.class_means_gram)
    if gram is None:
        return None, None
    try:
        return gram.aligned_with(means), None
    except NeuralCollapseError as error:
        return None, f"no predicted vectors: {error}"


def _measured_planes(audit: Audit, order: Sequence[int], samples: Floats | None) -> list[Panel]:
    """Class means in the leading directions, in the plane of the star, and, if the third direction is worth seeing, in the
    first and third directions."""
    means = audit.class_means[list(order)]

    def refused(axes: Any) -> None:
        axes.set_title("class means in the leading directions")
        _nothing(axes, f"{len(means)} classes are more than are drawn one by one ({_MOST_VECTORS})")

    if len(means) > _MOST_VECTORS:
        return [refused]
    predicted, reason = _aligned(audit.prediction, means)

    def panel(title: str, directions: Floats, share: str, unit: tuple[str, str]) -> Panel:
        def draw(axes: Any) -> None:
            axes.set_title(f"class means in {title}\n({share} of their squared lengths)")
            if len(directions) < 2:
                _nothing(axes, "they lie on one line")
                return
            if samples is not None:
                axes.plot(*(samples @ directions.T).T, ".", color=_MUTED, markersize=2, label="samples")
            if predicted is not None:
                _arrows(axes, predicted @ directions.T, _PREDICTED, "predicted")
            elif reason is not None:
                _note(axes, reason)
            tips = means @ directions.T
            axes.plot(*tips.T, "o", color=_MEASURED, markersize=4, label="measured")
            _name_tips(axes, tips, order)
            _finish_plane(axes, "", unit)

        return draw

    leading, in_plane = plane(means)
    star, in_star = plane(means, star=True)
    space, in_space = plane(means, dimensions=3)
    axes_of_plane, axes_of_star = ("first direction", "second direction"), ("first axis", "second axis")
    panels = [
        panel("the leading directions", leading, f"{100 * in_plane:.1f} %", axes_of_plane),
        panel("the plane of the star", star, f"{100 * in_star:.1f} %", axes_of_star),
    ]
    third = in_space - in_plane
    if len(space) == 3 and third > _WORTH_SEEING:
        share = f"{100 * third:.1f} % in the third"
        both = ("first direction", "third direction")
        panels.append(panel("the first and third directions", space[[0, 2]], share, both))
    return panels


def _predicted_vectors(model: Prediction) -> Panel:
    """Rows of the classifier and class means, each in its plane of the star and relative to the longest."""
    kinds = {
        "classifier's rows": _answer(model.trailing_gram),
        "class means": _answer(model.class_means_gram) if model.counts is not None else None,
    }

    def tips(gram: ClassMatrix) -> Floats | None:
        if not gram.is_unique:
            return None
        found = gram.aligned_with(np.eye(gram.classes))
        directions, _ = plane(found, True)
        seen = found @ directions.T
        longest = np.hypot(*seen.T).max() if len(directions) == 2 else 0
        return np.asarray(seen / longest, np.float64) if longest > 0 else None

    def draw(axes: Any) -> None:
        axes.set_title("vectors in the plane of the star")
        if model.classes > _MOST_VECTORS:
            _nothing(axes, f"{model.classes} classes are more than are drawn one by one ({_MOST_VECTORS})")
            return
        drawn = {name: found for name, gram in kinds.items() if gram is not None and (found := tips(gram)) is not None}
        if not drawn:
            _nothing(axes, "not determined, or on one line")
            return
        styles = [(_PREDICTED, "-"), ("tab:green", "--")]
        for (name, found), (color, style) in zip(drawn.items(), styles, strict=False):
            _arrows(axes, found, color, name, style)
        both = np.stack(list(drawn.values()))
        longest = np.hypot(both[..., 0], both[..., 1]).argmax(axis=0)
        _name_tips(axes, both[longest, np.arange(model.classes)], range(model.classes))
        _finish_plane(axes, ", relative to the longest")

    return draw


# Decisions.


def _decisions(title: str, axis: str, pairs: dict[tuple[int, int], int], classes: int) -> Panel:
    """Pairs of decisions as squares, their areas the numbers of samples."""
    most, total = max(pairs.values()), sum(pairs.values())
    differ = sum(number for (one, other), number in pairs.items() if one != other)
    # Squares of neighbors do not touch, and that of one sample can be seen.
    side = min(12.0, max(2.0, 180 / (classes + 1)))
    kinds = [("the same class", _MEASURED, True), ("another class", _PREDICTED, False)]

    def draw(axes: Any) -> None:
        for label, color, same in kinds:
            shown = [(one, other, number) for (one, other), number in pairs.items() if (one == other) == same]
            if shown:
                first, second, numbers = np.array(shown).T
                areas = np.maximum(side**2 * numbers / most, 4)
                axes.scatter(first, second, s=areas, c=color, marker="s", label=label)
        axes.set(title=f"{title}\n({differ} of {total} samples differ)", xlabel=axis)
        axes.set(ylabel="class with the largest output", xlim=(-1, classes), ylim=(-1, classes))
        step = -(-classes // _MOST_NAMES)
        axes.set_xticks(range(0, classes, step))
        axes.tick_params("x", rotation=90 if classes > 100 else 0)
        axes.set_yticks(range(0, classes, step))
        axes.set_aspect("equal")
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), title="area: samples")

    return draw


def _samples_of(audit: Audit, features: object, labels: object) -> tuple[Any, Any, FirstPass]:
    """The samples of an audit, which are checked to be its own."""
    for given, name in ((features, "features"), (labels, "labels")):
        if given is None:
            message = f"`{name}` is not given, but features and labels belong together"
            raise ArgumentError(message, argument=name, expected="the samples of the audit")
    samples, targets = _arrays.matrix(features, "features"), _arrays.labels(labels, "labels")
    first_pass = FirstPass(audit.class_means.shape[1], len(audit.counts))
    first_pass.add(samples, targets)
    means = audit.class_means
    same = np.array_equal(first_pass.counts, audit.counts) and np.allclose(
        first_pass.class_means, means, rtol=0, atol=1e-6 * float(np.abs(means).max(initial=0))
    )
    if not same:
        message = "`features` and `labels` have other class means than the audit, but must be its samples"
        raise MismatchError(message, argument="features", expected="the samples of the audit")
    return samples, targets, first_pass


def _decision_panels(audit: Audit, samples: Any, targets: Any, first_pass: FirstPass) -> list[Panel]:
    by_mean: dict[tuple[int, int], int] = {}
    by_label: dict[tuple[int, int], int] = {}
    for entry in confusion(samples, targets, audit.weights, audit.bias, statistics=first_pass):
        for pairs, other in ((by_mean, "nearest_mean"), (by_label, "label")):
            pair = entry[other], entry["head"]
            pairs[pair] = pairs.get(pair, 0) + entry["samples"]
    classes = len(audit.counts)
    return [
        _decisions("head against nearest class mean (NC4)", "nearest class mean", by_mean, classes),
        _decisions("head against label", "label", by_label, classes),
    ]


# Whole figures.


def prediction(prediction: Prediction) -> Any:
    """Squared norms against class size, vectors, Gram matrices and outputs, cosines, singular values, and, as far as the model
    has them, the phase diagram, minority collapse and the potential."""
    counts = prediction.counts
    classes = range(prediction.classes)
    vectors = _predicted_vectors(prediction)
    if counts is None:  # labels that are no classes leave the classifier
        gram: ClassMatrix | None = _answer(prediction.trailing_gram)
        grid = _Grid([1] * prediction.classes, classes, "")
        lengths = _numbers([] if gram is None else [gram.get(index, index) for index in classes])
        entries = None if gram is None else gram.grouped([1] * prediction.classes)
        cosines = np.empty(0) if gram is None else gram.cosines()
        return _sheet(
            [
                [_norms_by_class(lengths), vectors, _heat_map("classifier, predicted", entries, grid, "inner product")],
                [_cosines("rows of the classifier", None, cosines), _predicted_spectra(prediction)],
                *_in_rows(_elsewhere(prediction)),
            ]
        )
    table = prediction.class_table()
    predicted = {key: _numbers(row[key] for row in table) for key in ("classifier_norm_squared", "feature_norm_squared")}
    grid = _Grid(counts.tolist(), classes)
    matrices: dict[str, ClassMatrix | None] = {
        "classifier": _answer(prediction.trailing_gram),
        "class_means": _answer(prediction.class_means_gram),
        "outputs": _answer(prediction.class_outputs),
    }
    unknown = "" if prediction.has_scale else ", up to a factor"

    def cosines_of(matrix: ClassMatrix | None) -> Floats:
        return np.empty(0) if matrix is None else matrix.cosines()

    def map_of(name: str, matrix: ClassMatrix | None) -> Panel:
        entries = None if matrix is None else matrix.grouped(counts)
        return _heat_map(f"{_MATRICES[name]}, predicted", entries, grid, _UNITS[name] + unknown)

    maps = [map_of(name, matrix) for name, matrix in matrices.items()]
    rows: list[Sequence[Panel]] = [
        [*_norms(prediction, counts.astype(np.float64), {}, predicted), vectors],
        maps,
        [
            _cosines("rows of the classifier", None, cosines_of(matrices["classifier"])),
            _cosines("class means", None, cosines_of(matrices["class_means"])),
            _predicted_spectra(prediction),
        ],
        *_in_rows(_elsewhere(prediction)),
    ]
    drawn = _sheet(rows)
    drawn.suptitle(f"{prediction.geometry.replace('_', ' ')}, f* = {prediction.loss:.4g}")
    return drawn


def audit(audit: Audit, features: object = None, labels: object = None) -> Any:
    """What was measured beside what is predicted: squared norms against class size, class means in space, Gram matrices and
    outputs, cosines, and singular values; with the features and labels of the audit also some samples and the decisions."""
    samples = None if features is None and labels is None else _samples_of(audit, features, labels)
    some = None
    if samples is not None:
        step = max(1, -(-len(samples[0]) // _MOST_SAMPLES))
        some = samples[0][::step].astype(np.float64)
    table = audit.class_table()
    counts = audit.counts
    measured, predicted = (
        {
            key: _numbers(row[key][kind] for row in table)
            for key in ("classifier_norm_squared", "feature_norm_squared")
        }
        for kind in ("measured", "predicted")
    )
    # Entry i of the matching is the measured class that stands for class i of the prediction.
    order = list(range(len(counts))) if audit.matching is None else audit.matching
    planes = _measured_planes(audit, order, some)
    leading, star, third = planes[:1], planes[1:2], planes[2:]
    rows: list[Sequence[Panel]] = [
        [*_norms(audit.prediction, counts.astype(np.float64), measured, predicted), *leading],
        *_compared(audit, _Grid(counts.tolist(), order)),
        [
            _cosines("rows of the classifier", *audit.cosines("classifier")),
            _cosines("class means", *audit.cosines("class_means")),
            *star,
        ],
        *_in_rows([*third, *_measured_spectra(audit)]),
    ]
    if samples is not None:
        rows.append(_decision_panels(audit, *samples))
    drawn = _sheet(rows)
    if audit.prediction is not None:
        drawn.suptitle(textwrap.fill(audit.verdict_text, 150))
    return drawn


def _most_are_early(epochs: Floats) -> bool:
    """Whether half of the epochs are in the first tenth of the time, where a logarithmic axis shows them."""
    return len(epochs) > 4 and bool(epochs[len(epochs) // 2] < 0.1 * epochs[-1])


def _curves(
    title: str,
    label: str,
    epochs: Floats,
    curves: dict[str, Floats],
    scale: str = "log",
    lines: dict[str, tuple[Floats, Floats]] | None = None,
) -> Panel:
    """Numbers over the epochs, and predicted lines beside them; logarithmic axes leave out what is zero."""
    early = _most_are_early(epochs)

    def seen(values: Floats) -> bool:
        shown = np.isfinite(values) & (values > 0 if scale == "log" else True) & (epochs > 0 if early else True)
        return bool(shown.any())

    def draw(axes: Any) -> None:
        axes.set(title=title, xlabel="epoch", ylabel=label)
        drawn = {name: values for name, values in curves.items() if seen(values)}
        if not drawn:
            _nothing(axes, "not measured")
            return
        for name, values in drawn.items():
            axes.plot(epochs, values, "--" if "predicted" in name else ".-", label=name)
        for name, (times, values) in (lines or {}).items():
            if len(times) > 0:
                axes.plot(times, values, "--", label=name)
        axes.set_xscale("log" if early else "linear")
        axes.set_yscale(scale)
        axes.legend()

    return draw


def tracker(tracker: Tracker, step: float | None = None) -> Any:
    """Spread within classes, distances to the geometry, decisions, the loss beside the predicted one, the distance to the
    minimum and to the nearest minimizer, squared singular values, and NC0, over the epochs; with the sum of the step sizes of
    an epoch the predicted rates and the logistic law too."""
    rows = tracker.rows
    epochs = _rates.column(rows, "epoch")
    model = tracker.audits[-1].prediction if tracker.audits else None
    rates = _rates.predicted(model, step)

    def columns(**names: str) -> dict[str, Floats]:
        return {label: _rates.column(rows, name) for name, label in names.items()}

    def rate_of(name: str) -> dict[str, tuple[Floats, Floats]]:
        rate, values = rates.get(name), _rates.column(rows, name)
        known = np.isfinite(values)
        return {} if rate is None else {"predicted rate": line_of_rate(epochs[known], values[known], rate)}

    layers = {name: f"NC2, m = {name[4:]}" for name in (rows[0] if rows else {}) if name.startswith("nc2_")}
    squares = {name: _rates.column(rows, f"{name}_singular_value") ** 2 for name in ("largest", "smallest")}
    laws = {f"logistic law, {law.name}": law.curve() for law in _rates.growth(model, rows, step)}
    panels = [
        _curves(
            "spread within classes",
            "NC1 and variants",
            epochs,
            columns(nc1="NC1", nc1_trace_quotient="tr Σ_W/tr Σ_B", cdnv="CDNV"),
            lines=rate_of("nc1"),
        ),
        _curves(
            "distance to the geometry",
            "distance",
            epochs,
            columns(**layers, nc3="NC3", nc3_centered="NC3, centered"),
        ),
        _curves("decisions", "share of samples", epochs, columns(nc4="NC4", accuracy="accuracy"), "linear"),
        _curves("loss", "loss f", epochs, columns(loss="f, measured", loss_optimum="f*, predicted")),
        _curves(
            "distance to the minimum",
            "gap and gradient",
            epochs,
            columns(loss_gap_relative="(f − f*)/f*", gradient_norm="‖∇f‖"),
        ),
        _curves(
            "distance to the nearest minimizer",
            "relative distance",
            epochs,
            columns(weight_distance="‖W − W*‖/‖W*‖", feature_distance="‖H̄ − H̄*‖/‖H̄*‖"),
        ),
        _curves("squared singular values of the head", "squared singular value s²", epochs, squares, lines=laws),
        _curves(
            "sum of the classifier's rows",
            "NC0 = ‖1ᵀW‖²/K",
            epochs,
            columns(nc0="NC0"),
            lines=rate_of("nc0"),
        ),
    ]
    return _sheet(_in_rows(panels))
