"""Tables for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from ._core import Audit, Prediction, RegressionAudit, SoftLabelAudit
from ._loss_names import loss_names

#: Classes that are shown one by one.
_MOST_ROWS = 20


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(entry) for entry in value)
    return escape(str(value))


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """An HTML table."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _shown(rows: list[list[object]]) -> list[list[object]]:
    """Equal neighbors as one row, numbered by their classes, and no more than fit."""
    merged: list[list[object]] = []
    for number, row in enumerate(rows):
        if merged and merged[-1][1:] == row:
            merged[-1][0] = f"{str(merged[-1][0]).split('–')[0]}–{number}"
        else:
            merged.append([str(number), *row])
    if len(merged) > _MOST_ROWS:
        left = len(merged) - _MOST_ROWS
        return [*merged[:_MOST_ROWS], [f"… {left} more rows"]]
    return merged


def prediction(prediction: Prediction) -> str:
    """A prediction: what it is for, what it says, and its classes."""
    facts: list[list[object]] = [
        ["loss function", prediction.loss_function],
        ["classes K", prediction.classes],
        ["linear layers M", prediction.depth],
        ["geometry", prediction.geometry],
        ["proof", prediction.proof.replace("_", " ")],
        [loss_names(prediction).loss, prediction.loss],
    ]
    text = f"<p>{escape(prediction.statement)}</p>"
    counts = prediction.counts
    if counts is None:  # labels that are no classes
        return table(["prediction", ""], facts) + text
    facts.insert(1, ["samples N", int(counts.sum())])
    columns = ("count", "classifier_norm_squared", "feature_norm_squared", "collapsed")
    classes = _shown([[row[name] for name in columns] for row in prediction.class_table()])
    return (
        table(["prediction", ""], facts)
        + table(["class", "samples", "‖w‖²", "‖h‖²", "collapsed"], classes)
        + text
    )


def audit(audit: Audit) -> str:
    """An audit: the measures, the loss beside the predicted one, the verdict and the classes."""
    names = loss_names(audit.prediction)
    facts: list[list[object]] = [
        ["NC1", audit.nc1],
        [f"NC2, m = 1, …, {len(audit.nc2)}", audit.nc2],
        ["NC3", audit.nc3],
        ["NC4", audit.nc4],
        ["accuracy", audit.accuracy],
        ["measured to", audit.nc2_target],
        ["loss f", audit.loss],
        [names.predicted, audit.loss_optimum],
        [names.gap, audit.loss_gap_relative],
        ["‖∇f‖", audit.gradient_norm],
    ]
    rows: list[list[object]] = []
    for row in audit.class_table():
        cells: list[object] = [row["count"]]
        for name in ("classifier_norm_squared", "feature_norm_squared"):
            cells += [row[name]["measured"], row[name]["predicted"]]
        rows.append(cells)
    headings = ["class", "samples", "‖w‖²", "predicted", "‖h‖²", "predicted"]
    notes = [audit.verdict_text, *(f"{key}: {reason}" for key, reason in audit.reasons.items())]
    return (
        table(["audit", ""], facts)
        + table(headings, _shown(rows))
        + "".join(f"<p>{escape(note)}</p>" for note in notes)
    )


def regression(audit: RegressionAudit) -> str:
    """An audit of a network for regression."""
    facts: list[list[object]] = [
        ["NRC1", audit.nrc1],
        ["NRC2", audit.nrc2],
        ["NRC3", audit.nrc3],
        [f"Gram matrices, m = 1, …, {len(audit.gram_distances)}", audit.gram_distances],
        ["outputs", audit.output_distance],
        ["R²", audit.fit],
        ["predicted R²", audit.fit_predicted],
        ["loss f", audit.loss],
        [loss_names(None).predicted, audit.loss_optimum],
    ]
    notes = [f"<p>{escape(f'{key}: {reason}')}</p>" for key, reason in audit.reasons.items()]
    return table(["regression", ""], facts) + "".join(notes)


def soft_labels(audit: SoftLabelAudit) -> str:
    """An audit of a network that was trained with soft labels."""
    facts: list[list[object]] = [
        ["NC1", audit.nc1],
        ["NC2", audit.nc2],
        ["features", audit.features],
        ["NC3", audit.nc3],
        ["loss f", audit.loss],
        [loss_names(None).predicted, audit.loss_optimum],
        ["‖∇f‖", audit.gradient_norm],
    ]
    return table(["soft labels", ""], facts) + f"<p>{escape(audit.verdict_text)}</p>"


def numbers(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Some columns of rows."""
    return table(names, [[row.get(name) for name in names] for row in rows])
