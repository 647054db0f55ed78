"""Pictures with matplotlib, which is needed for nothing else: the figures of the program's report.

All numbers are dimensionless.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _rates
from ._core import Audit, ClassMatrix, Prediction, line_of_rate
from ._loss_names import loss_names
from ._pictures.canvas import (
    MATRICES,
    UNITS,
    Floats,
    Panel,
    answered,
    as_floats,
    figure,
    in_rows,
    say_why_not,
    sheet_of,
)
from ._pictures.classes import (
    Grid,
    compared_matrices,
    cosine_panel,
    heat_map,
    measured_spectra,
    norms_by_class,
    norms_by_size,
    predicted_spectra,
)
from ._pictures.thresholds import elsewhere
from ._pictures.vectors import decision_panels, measured_planes, predicted_vectors, samples_of

if TYPE_CHECKING:
    from .torch import Tracker

__all__ = ["audit", "figure", "prediction", "tracker"]

#: Samples beside the class means.
_MOST_SAMPLES = 400


def prediction(prediction: Prediction) -> Any:
    """Squared norms against class size, vectors, Gram matrices and outputs, cosines, singular values, and, as far as the model
    has them, the phase diagram, minority collapse and the potential."""
    counts = prediction.counts
    classes = range(prediction.classes)
    vectors = predicted_vectors(prediction)
    if counts is None:  # labels that are no classes leave the classifier
        gram: ClassMatrix | None = answered(prediction.trailing_gram)
        grid = Grid([1] * prediction.classes, classes, "")
        lengths = as_floats([] if gram is None else [gram.get(index, index) for index in classes])
        entries = None if gram is None else gram.grouped([1] * prediction.classes)
        cosines = np.empty(0) if gram is None else gram.cosines()
        return sheet_of(
            [
                [norms_by_class(lengths), vectors, heat_map("classifier, predicted", entries, grid, "inner product")],
                [cosine_panel("rows of the classifier", None, cosines), predicted_spectra(prediction)],
                *in_rows(elsewhere(prediction)),
            ]
        )
    table = prediction.class_table()
    predicted = {key: as_floats(row[key] for row in table) for key in ("classifier_norm_squared", "feature_norm_squared")}
    grid = Grid(counts.tolist(), classes)
    matrices: dict[str, ClassMatrix | None] = {
        "classifier": answered(prediction.trailing_gram),
        "class_means": answered(prediction.class_means_gram),
        "outputs": answered(prediction.class_outputs),
    }
    unknown = "" if prediction.has_scale else ", up to a factor"

    def cosines_of(matrix: ClassMatrix | None) -> Floats:
        return np.empty(0) if matrix is None else matrix.cosines()

    def map_of(name: str, matrix: ClassMatrix | None) -> Panel:
        entries = None if matrix is None else matrix.grouped(counts)
        return heat_map(f"{MATRICES[name]}, predicted", entries, grid, UNITS[name] + unknown)

    maps = [map_of(name, matrix) for name, matrix in matrices.items()]
    rows: list[Sequence[Panel]] = [
        [*norms_by_size(prediction, counts.astype(np.float64), {}, predicted), vectors],
        maps,
        [
            cosine_panel("rows of the classifier", None, cosines_of(matrices["classifier"])),
            cosine_panel("class means", None, cosines_of(matrices["class_means"])),
            predicted_spectra(prediction),
        ],
        *in_rows(elsewhere(prediction)),
    ]
    drawn = sheet_of(rows)
    name = loss_names(prediction).loss
    drawn.suptitle(f"{prediction.geometry.replace('_', ' ')}, {name} = {prediction.loss:.4g}")
    return drawn


def audit(audit: Audit, features: object = None, labels: object = None) -> Any:
    """What was measured beside what is predicted: squared norms against class size, class means in space, Gram matrices and
    outputs, cosines, and singular values; with the features and labels of the audit also some samples and the decisions."""
    samples = None if features is None and labels is None else samples_of(audit, features, labels)
    some = None
    if samples is not None:
        step = max(1, -(-len(samples[0]) // _MOST_SAMPLES))
        some = samples[0][::step].astype(np.float64)
    table = audit.class_table()
    counts = audit.counts
    measured, predicted = (
        {
            key: as_floats(row[key][kind] for row in table)
            for key in ("classifier_norm_squared", "feature_norm_squared")
        }
        for kind in ("measured", "predicted")
    )
    # Entry i of the matching is the measured class that stands for class i of the prediction.
    order = list(range(len(counts))) if audit.matching is None else audit.matching
    planes = measured_planes(audit, order, some)
    leading, star, third = planes[:1], planes[1:2], planes[2:]
    rows: list[Sequence[Panel]] = [
        [*norms_by_size(audit.prediction, counts.astype(np.float64), measured, predicted), *leading],
        *compared_matrices(audit, Grid(counts.tolist(), order)),
        [
            cosine_panel("rows of the classifier", *audit.cosines("classifier")),
            cosine_panel("class means", *audit.cosines("class_means")),
            *star,
        ],
        *in_rows([*third, *measured_spectra(audit)]),
    ]
    if samples is not None:
        rows.append(decision_panels(audit, *samples))
    drawn = sheet_of(rows)
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
            say_why_not(axes, "not measured")
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
    names = loss_names(model)

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
        _curves("loss", "loss f", epochs, columns(loss="f, measured", loss_optimum=names.curve)),
        _curves(
            "distance to the minimum",
            "gap and gradient",
            epochs,
            columns(loss_gap_relative=names.gap, gradient_norm="‖∇f‖"),
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
    return sheet_of(in_rows(panels))
