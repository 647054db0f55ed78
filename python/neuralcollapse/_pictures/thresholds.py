"""Pictures of a minimum at other decays, class sizes and depths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import Potential, Prediction, Ufm
from ..errors import NoClosedFormError, NotAnsweredError
from .canvas import CURVE_POINTS, MEASURED, MUTED, Panel, from_zero, hollow_marks, whole_numbers

#: Curves of one picture of thresholds, and directions whose potential is drawn.
_MOST_CURVES, _MOST_DIRECTIONS = 6, 3

#: g(x; β) is 1 at x = 0, and lower where a direction survives; curves of steep slopes end here.
_HIGHEST_POTENTIAL = 1.6

#: Structures that have a color of their own.
_MOST_STRUCTURES = 7


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
                    color=f"C{index}" if own else MUTED,
                    alpha=0.75,
                    label=None if name in named else name,
                )
                named.add(name)
        _star(axes, diagram["depth"], diagram["strength"])
        axes.set(title="the structure with the lowest loss", xlabel="number of layers M")
        axes.set(ylabel="strength u = (n λ_H Πλₘ)^(1/(M+1))", ylim=(low, high))
        axes.set_yscale("log")
        whole_numbers(axes.xaxis)
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
            axes.axvline(ratio, color=MUTED, linestyle="--", label=label)
        axes.set(title="minority collapse", xlabel="largest class / smallest class", ylabel="‖wₖ‖²")
        axes.set_xscale("log")
        from_zero(axes)
        axes.legend(fontsize=8)

    return draw


def _potential(model: Ufm) -> Panel | None:
    """g(x; β) at the slopes of the directions, at the threshold and at the fold, with its stationary points."""
    directions = model.directions
    if not directions:
        return None
    potential = Potential(model.depth)
    slopes = [
        (f"β = {row['slope']:.4g} (σ² = {row['target_squared']:.4g})", row["slope"])
        for row in directions[:_MOST_DIRECTIONS]
    ]
    slopes.append(("threshold", potential.slope_threshold))
    if model.depth > 1:
        slopes.append(("fold", potential.fold))

    def draw(axes: Any) -> None:
        stationary = [potential.stationary_points(slope) for _, slope in slopes]
        end = 1.5 * max([1.0, *(points["local_minimum"] for points in stationary if points is not None)])
        x = np.linspace(0, end, 4 * CURVE_POINTS + 1)
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
            axes.plot(*np.array(marks).T, "D", **hollow_marks(0, label="stationary"))
        axes.plot(*np.array(minima).T, ".", color=MEASURED, markersize=9, label="global minimum")
        fold = f", fold β = {potential.fold:.4g}" if model.depth > 1 else ""
        axes.set_title(f"g(x; β), M = {model.depth}\n(threshold β = {potential.slope_threshold:.4g}{fold})")
        axes.set(xlabel="x", ylabel="g(x; β)", ylim=(0, _HIGHEST_POTENTIAL))
        axes.legend(fontsize=8)

    return draw


def elsewhere(model: Prediction) -> list[Panel]:
    """Phase diagram, minority collapse and potential, as far as the model has them."""
    panels = [_phases(model)]
    if isinstance(model, Ufm):
        panels += [_minority(model), _potential(model)]
    return [panel for panel in panels if panel is not None]
