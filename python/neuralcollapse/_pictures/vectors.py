"""Pictures of vectors in the plane, and of decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _arrays
from .._core import Audit, ClassMatrix, FirstPass, Prediction, confusion, plane
from ..errors import ArgumentError, MismatchError, NeuralCollapseError
from .canvas import (
    MEASURED,
    MOST_NAMES,
    MUTED,
    PREDICTED,
    Floats,
    Panel,
    answered,
    hollow_marks,
    note,
    say_why_not,
)

#: More classes than these have no picture of their vectors.
_MOST_VECTORS = 200

#: More vectors than these get no names.
_MOST_NAMED_VECTORS = 24

#: A third direction with a smaller share of the squared lengths is not shown.
_WORTH_SEEING = 0.01


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
    axes.plot(*tips.T, "D", **hollow_marks(len(tips), color, label))


def _finish_plane(axes: Any, unit: str, names: tuple[str, str] = ("first axis", "second axis")) -> None:
    axes.set(xlabel=f"{names[0]}{unit}", ylabel=f"{names[1]}{unit}")
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12)
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), fontsize=8)


def _aligned(model: Prediction | None, means: Floats) -> tuple[Floats | None, str | None]:
    """The predicted class means turned onto the measured ones, or why there are none."""
    if model is None or not model.has_scale:
        return None, None
    gram: ClassMatrix | None = answered(model.class_means_gram)
    if gram is None:
        return None, None
    try:
        return gram.aligned_with(means), None
    except NeuralCollapseError as error:
        return None, f"no predicted vectors: {error}"


def measured_planes(audit: Audit, order: Sequence[int], samples: Floats | None) -> list[Panel]:
    """Class means in the leading directions, in the plane of the star, and, if the third direction is worth seeing, in the
    first and third directions."""
    means = audit.class_means[list(order)]

    def refused(axes: Any) -> None:
        axes.set_title("class means in the leading directions")
        say_why_not(axes, f"{len(means)} classes are more than are drawn one by one ({_MOST_VECTORS})")

    if len(means) > _MOST_VECTORS:
        return [refused]
    predicted, reason = _aligned(audit.prediction, means)

    def panel(title: str, directions: Floats, share: str, unit: tuple[str, str]) -> Panel:
        def draw(axes: Any) -> None:
            axes.set_title(f"class means in {title}\n({share} of their squared lengths)")
            if len(directions) < 2:
                say_why_not(axes, "they lie on one line")
                return
            if samples is not None:
                axes.plot(*(samples @ directions.T).T, ".", color=MUTED, markersize=2, label="samples")
            if predicted is not None:
                _arrows(axes, predicted @ directions.T, PREDICTED, "predicted")
            elif reason is not None:
                note(axes, reason)
            tips = means @ directions.T
            axes.plot(*tips.T, "o", color=MEASURED, markersize=4, label="measured")
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


def predicted_vectors(model: Prediction) -> Panel:
    """Rows of the classifier and class means, each in its plane of the star and relative to the longest."""
    kinds = {
        "classifier's rows": answered(model.trailing_gram),
        "class means": answered(model.class_means_gram) if model.counts is not None else None,
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
            say_why_not(axes, f"{model.classes} classes are more than are drawn one by one ({_MOST_VECTORS})")
            return
        drawn = {name: found for name, gram in kinds.items() if gram is not None and (found := tips(gram)) is not None}
        if not drawn:
            say_why_not(axes, "not determined, or on one line")
            return
        styles = [(PREDICTED, "-"), ("tab:green", "--")]
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
    kinds = [("the same class", MEASURED, True), ("another class", PREDICTED, False)]

    def draw(axes: Any) -> None:
        for label, color, same in kinds:
            shown = [(one, other, number) for (one, other), number in pairs.items() if (one == other) == same]
            if shown:
                first, second, numbers = np.array(shown).T
                areas = np.maximum(side**2 * numbers / most, 4)
                axes.scatter(first, second, s=areas, c=color, marker="s", label=label)
        axes.set(title=f"{title}\n({differ} of {total} samples differ)", xlabel=axis)
        axes.set(ylabel="class with the largest output", xlim=(-1, classes), ylim=(-1, classes))
        step = -(-classes // MOST_NAMES)
        axes.set_xticks(range(0, classes, step))
        axes.tick_params("x", rotation=90 if classes > 100 else 0)
        axes.set_yticks(range(0, classes, step))
        axes.set_aspect("equal")
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), title="area: samples")

    return draw


def samples_of(audit: Audit, features: object, labels: object) -> tuple[Any, Any, FirstPass]:
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


def decision_panels(audit: Audit, samples: Any, targets: Any, first_pass: FirstPass) -> list[Panel]:
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
