"""Pictures with matplotlib, which is needed for nothing else."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ._core import Audit, ClassMatrix, Prediction
from .errors import NotAnsweredError

if TYPE_CHECKING:
    from .torch import Tracker

#: More classes than these have no picture of their angles.
_MOST_CLASSES = 400


def figure(columns: int = 1) -> tuple[Any, Any]:
    """A matplotlib figure that notebooks show, and its axes in a row.

    Unlike those of pyplot it is not kept alive, needs no display, and is shown once. ``savefig`` writes it.
    """
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

    made = NotebookFigure(figsize=(4.5 * columns, 3.6), layout="constrained")
    return made, made.subplots(1, columns, squeeze=False)[0]


def _cosines(gram: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cosines of a Gram matrix; none for vectors that are zero."""
    lengths = np.sqrt(np.clip(np.diag(gram), 0, None))
    lengths = np.where(lengths > 0, lengths, np.nan)
    return np.asarray(gram / lengths[:, None] / lengths[None, :], np.float64)


def _dense(prediction: Prediction, question: str) -> npt.NDArray[np.float64] | None:
    if prediction.classes > _MOST_CLASSES:
        return None
    try:
        matrix: ClassMatrix = getattr(prediction, question)()
    except NotAnsweredError:
        return None
    return matrix.to_numpy()


def _show_cosines(axes: Any, figure: Any, gram: npt.NDArray[np.float64] | None, title: str) -> None:
    axes.set_title(title)
    if gram is None:
        axes.text(0.5, 0.5, "not determined, or too many classes", ha="center", va="center")
        axes.set_axis_off()
        return
    image = axes.imshow(_cosines(gram), cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set(xlabel="class", ylabel="class")
    figure.colorbar(image, ax=axes, label="cosine")


def _norms(values: list[float | None]) -> npt.NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values])


def prediction(prediction: Prediction) -> Any:
    """Squared norms of classifier and class means, class by class, the angles between class means, and the singular values of
    every layer."""
    drawn, (left, right, spectrum) = figure(3)
    angles = ("class_means_gram", "angles between class means, predicted")
    if prediction.counts is not None:
        table = prediction.class_table()
        classifier = _norms([row["classifier_norm_squared"] for row in table])
        left.plot(classifier, "o", label="‖w‖²")
        left.plot(_norms([row["feature_norm_squared"] for row in table]), "x", label="‖h‖²")
    else:  # labels that are no classes leave the classifier
        angles = ("trailing_gram", "angles between classifiers, predicted")
        gram = _dense(prediction, "trailing_gram")
        left.plot([] if gram is None else np.diag(gram), "o", label="‖w‖²")
    left.set(title=f"{prediction.geometry.replace('_', ' ')}, f* = {prediction.loss:.4g}", xlabel="class")
    left.set_ylim(bottom=0)
    left.legend()
    question, title = angles
    _show_cosines(right, drawn, _dense(prediction, question), title)
    _show_spectrum(spectrum, prediction)
    return drawn


def _show_spectrum(axes: Any, prediction: Prediction) -> None:
    axes.set_title("singular values")
    try:
        layers = [prediction.singular_values(layer) for layer in range(1, prediction.depth + 1)]
    except NotAnsweredError:
        layers = []
    if not layers:  # nor has a loss without a classifier any
        axes.text(0.5, 0.5, "not determined", ha="center", va="center")
        axes.set_axis_off()
        return
    for layer, values in enumerate(layers, start=1):
        spread = np.repeat([value for value, _ in values], [number for _, number in values])
        axes.plot(np.arange(1, len(spread) + 1), spread, ".-", label=f"W, m = {layer}")
    axes.set(xlabel="number", ylim=(0, None))
    axes.legend()


def audit(audit: Audit) -> Any:
    """Measured norms beside predicted ones, and the angles between class means: measured, and predicted if known."""
    model = audit.prediction
    drawn, axes = figure(3 if model is not None else 2)
    table = audit.class_table()
    classes = np.arange(len(table))
    for name, label, color in (
        ("classifier_norm_squared", "‖w‖²", "tab:blue"),
        ("feature_norm_squared", "‖h‖²", "tab:orange"),
    ):
        axes[0].plot(classes, _norms([row[name]["measured"] for row in table]), "o", color=color, label=label)
        predicted = _norms([row[name]["predicted"] for row in table])
        if not np.isnan(predicted).all():
            axes[0].plot(classes, predicted, "_", color=color, markersize=14, label=f"{label} predicted")
    axes[0].set(title="squared norms", xlabel="class")
    axes[0].set_ylim(bottom=0)
    axes[0].legend()
    means = audit.class_means
    few = len(means) <= _MOST_CLASSES
    _show_cosines(axes[1], drawn, means @ means.T if few else None, "angles between class means, measured")
    if model is not None:
        gram = _dense(model, "class_means_gram")
        if gram is not None and audit.matching is not None:
            # Entry i of the matching is the measured class that stands for class i of the prediction.
            order = np.argsort(audit.matching)
            gram = gram[np.ix_(order, order)]
        _show_cosines(axes[2], drawn, gram, "predicted")
    return drawn


def tracker(tracker: Tracker) -> Any:
    """NC1 to NC3 over the epochs, the loss beside the predicted one, and accuracy with NC4."""
    drawn, (left, middle, right) = figure(3)
    rows = tracker.rows
    epochs = [row["epoch"] for row in rows]

    def column(name: str) -> npt.NDArray[np.float64]:
        return _norms([row.get(name) for row in rows])

    names = ["nc1", *(name for name in (rows[0] if rows else {}) if name.startswith("nc2_")), "nc3"]
    for name in names:
        left.plot(epochs, column(name), label=name.upper().replace("_", ", m = "))
    left.set(title="distance from collapse", xlabel="epoch", yscale="log")
    left.legend()
    middle.plot(epochs, column("loss"), label="f, measured")
    optimum = column("loss_optimum")
    if not np.isnan(optimum).all():
        middle.plot(epochs, optimum, "--", label="f*, predicted")
    middle.set(title="training objective", xlabel="epoch", yscale="log")
    middle.legend()
    right.plot(epochs, column("accuracy"), label="accuracy")
    right.plot(epochs, column("nc4"), label="NC4")
    right.set(title="decisions", xlabel="epoch")
    right.legend()
    return drawn
