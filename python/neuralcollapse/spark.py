"""Audits of a Spark DataFrame of features and labels.

Each task adds up the samples of its partition (``mapInPandas``), and only sums travel to the driver, as bytes: 2dK
numbers a partition after the first pass, about dK (with ``balance`` d²/2 more) after the second. A task that is retried
starts from nothing, so that no sample counts twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays
from ._audit import PredictionLike, number_of_classes, resolved
from ._core import Audit, AuditPart, AuditSums, FirstPass

__all__ = ["audit"]


def _stacked(column: Any, dimension: int) -> npt.NDArray[Any]:
    """Features of a batch, one array for each row."""
    rows = [np.asarray(row) for row in column]
    return np.stack(rows) if rows else np.zeros((0, dimension))


def _columns(data: Any, features: str, labels: str) -> Any:
    """The two columns; vectors of pyspark.ml as arrays, as pandas has no vectors."""
    column = data[features]
    # By its name, so that frames of plain arrays do not import pyspark.ml.
    if type(data.schema[features].dataType).__name__ == "VectorUDT":
        from pyspark.ml.functions import vector_to_array

        column = vector_to_array(column)
    return data.select(column.alias(features), labels)


def _first(dimension: int, classes: int, features: str, labels: str) -> Callable[[Iterator[Any]], Iterator[Any]]:
    def pieces(batches: Iterator[Any]) -> Iterator[Any]:
        import pandas

        piece = FirstPass(dimension, classes)
        for batch in batches:
            if len(batch) > 0:
                piece.add(_stacked(batch[features], dimension), batch[labels].to_numpy(np.int64))
        yield pandas.DataFrame({"piece": [piece.to_bytes()]})

    return pieces


@lru_cache(maxsize=1)
def _shared(written: bytes) -> AuditSums:
    """The sums that all tasks of a worker start from: made once, as directions are computed for them."""
    return AuditSums.from_bytes(written)


def _second(shared: Any, features: str, labels: str, dimension: int) -> Callable[[Iterator[Any]], Iterator[Any]]:
    def pieces(batches: Iterator[Any]) -> Iterator[Any]:
        import pandas

        sums = _shared(shared.value).empty()
        for batch in batches:
            if len(batch) > 0:
                sums.add(_stacked(batch[features], dimension), batch[labels].to_numpy(np.int64))
        yield pandas.DataFrame({"piece": [sums.part().to_bytes()]})

    return pieces


def _merged_first(left: bytes, right: bytes) -> bytes:
    whole = FirstPass.from_bytes(left)
    whole.merge(FirstPass.from_bytes(right))
    return whole.to_bytes()


def _merged_parts(shared: Any) -> Callable[[bytes, bytes], bytes]:
    def merged(left: bytes, right: bytes) -> bytes:
        whole = _shared(shared.value).empty()
        whole.merge(AuditPart.from_bytes(left))
        whole.merge(AuditPart.from_bytes(right))
        return whole.part().to_bytes()

    return merged


def _reduced(data: Any, pieces: Callable[[Iterator[Any]], Iterator[Any]], merge: Callable[[bytes, bytes], bytes]) -> bytes:
    """The pieces of all partitions, merged in a tree on the workers."""
    rows = data.mapInPandas(pieces, "piece binary")
    return bytes(rows.rdd.map(lambda row: bytes(row[0])).treeReduce(merge))


def audit(
    data: Any,
    weights: object,
    bias: object = None,
    prediction: PredictionLike = None,
    *,
    features: str = "features",
    labels: str = "label",
    dtype: str = "float64",
    **options: Any,
) -> Audit:
    """Audit a Spark DataFrame with a column of features (arrays of numbers, or vectors of pyspark.ml) and one of labels.

    ``features`` and ``labels`` name the columns; other arguments are those of :func:`neuralcollapse.audit`. The class
    counts need not be known: ``prediction`` may be a function of them. Partitions may be of any sizes, and empty.
    ``dtype`` "float32" is for features of single precision.

    The DataFrame is read twice; one that is expensive to make is better cached first.
    """
    classes = number_of_classes(weights)
    dimension = int(_arrays.double_matrix(_arrays.layers(weights)[0], "weights").shape[1])
    columns = _columns(data, features, labels)
    first = _reduced(columns, _first(dimension, classes, features, labels), _merged_first)
    first_pass = FirstPass.from_bytes(first)
    model, reason = resolved(prediction, first_pass)
    empty = AuditSums(first_pass, weights, bias, model, dtype=dtype, **options)
    shared = data.sparkSession.sparkContext.broadcast(empty.to_bytes())
    try:
        second = _second(shared, features, labels, dimension)
        part = _reduced(columns, second, _merged_parts(shared))
    finally:
        shared.unpersist()
    empty.merge(AuditPart.from_bytes(part))
    return empty.audit(model, reason)
