"""Anything that has numbers, as the NumPy arrays that the compiled part takes.

C-contiguous arrays of float32 or float64 come out as they are, without a copy. Half precision becomes float32 and whole
numbers float64, both exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ArgumentError, ShapeError

FloatArray = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def as_numpy(data: object, name: str) -> npt.NDArray[Any]:
    """An array of what has ``__array__`` or DLPack, of torch tensors on any device, and of lists."""
    if isinstance(data, np.ndarray):
        if np.ma.is_masked(data):  # what lies under the mask would count as measured
            message = f"`{name}` has masked entries, but must have all of them"
            raise ArgumentError(message, argument=name, expected="an array without masked entries")
        return data
    detach = getattr(data, "detach", None)
    if callable(detach):  # a torch tensor, perhaps with a gradient, of a type that NumPy lacks, on another device
        tensor: Any = detach()
        if str(getattr(tensor, "dtype", "")) == "torch.bfloat16":
            tensor = tensor.float()
        data = tensor.cpu()
    elif not hasattr(data, "__array__") and hasattr(data, "__dlpack__"):
        exchanged: Any = data
        try:
            return np.from_dlpack(exchanged)
        except (BufferError, RuntimeError) as error:  # on another device
            message = f"`{name}` is {type(data).__name__} that NumPy cannot read: {error}"
            raise ArgumentError(message, argument=name, expected="an array in the memory of the host") from error
    get = getattr(data, "get", None)
    if callable(get) and hasattr(data, "__cuda_array_interface__"):  # CuPy
        data = get()
    try:
        return np.asarray(data)
    except (TypeError, ValueError) as error:
        message = f"`{name}` is {type(data).__name__}, but must be an array: {error}"
        raise ArgumentError(message, argument=name, expected="an array") from error


def _floats(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    kind = array.dtype
    if kind.kind == "f" and kind.itemsize in (4, 8):
        return array.astype(kind.newbyteorder("="), copy=False)
    if kind == np.float16 or kind.name == "bfloat16":  # the latter is of ml_dtypes, as JAX has it
        return array.astype(np.float32)
    if kind.kind in "iu":
        return array.astype(np.float64)
    message = f"`{name}` is an array of {kind}, but must be one of float32 or float64"
    raise ArgumentError(message, argument=name, expected="an array of float32 or float64")


def _of_dimensions(array: npt.NDArray[Any], dimensions: int, name: str) -> None:
    if array.ndim != dimensions:
        shape = "×".join(map(str, array.shape)) or "of a single number"
        wanted = {1: "one dimension", 2: "two dimensions, one row for each sample or class"}
        message = f"`{name}` has shape {shape}, but must have {wanted[dimensions]}"
        raise ShapeError(message, argument=name, expected=wanted[dimensions])


def matrix(data: object, name: str) -> FloatArray:
    """N×d numbers, float32 or float64, C-contiguous; copied only if they are not."""
    array = as_numpy(data, name)
    _of_dimensions(array, 2, name)
    return np.require(_floats(array, name), requirements=["C", "A"])


def double_matrix(data: object, name: str) -> npt.NDArray[np.float64]:
    """A matrix in double precision."""
    array = as_numpy(data, name)
    _of_dimensions(array, 2, name)
    return np.require(_floats(array, name), np.float64, ["C", "A"])


def double_vector(data: object, name: str) -> npt.NDArray[np.float64]:
    """A list of numbers in double precision."""
    array = as_numpy(data, name)
    _of_dimensions(array, 1, name)
    return np.require(_floats(array, name), np.float64, ["C", "A"])


def labels(data: object, name: str) -> npt.NDArray[np.int64]:
    """Whole numbers; nothing else is rounded to them."""
    array = as_numpy(data, name)
    _of_dimensions(array, 1, name)
    if array.dtype.kind not in "iu" and array.size > 0:
        message = f"`{name}` is an array of {array.dtype}, but must be one of whole numbers"
        raise ArgumentError(message, argument=name, expected="whole numbers from 0 to K−1")
    if array.dtype == np.uint64 and array.size > 0 and int(array.max()) > np.iinfo(np.int64).max:
        message = f"`{name}` has {int(array.max())}, but must be below the number of classes"
        raise ArgumentError(message, argument=name, expected="whole numbers from 0 to K−1")
    return np.require(array, np.int64, ["C", "A"])


def counts(data: object, name: str) -> list[int]:
    """Numbers of samples, such as of each class."""
    array = labels(data, name)
    negative = np.flatnonzero(array < 0)
    if negative.size > 0:
        place = int(negative[0])
        message = f"`{name}[{place}]` is {int(array[place])}, but must be positive"
        raise ArgumentError(message, name, (place,), float(array[place]), "positive")
    return [int(count) for count in array]


def layers(weights: object) -> Sequence[object]:
    """The layers W_1, …, W_M from one matrix or several."""
    if isinstance(weights, (list, tuple)):
        first = weights[0] if weights else None
        is_array = isinstance(first, Iterable) or hasattr(first, "__array__") or hasattr(first, "__dlpack__")
        if is_array and np.ndim(as_numpy(first, "weights")) == 2:
            return list(weights)
        if not weights:
            return []
    elif not hasattr(weights, "__array__") and not hasattr(weights, "__dlpack__"):
        if isinstance(weights, Iterable):
            return list(weights)
    return [weights]
