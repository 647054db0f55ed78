"""Writes the .npz files of the tests with NumPy itself: python make_npz.py (numpy 2.x, ml_dtypes)."""

import ml_dtypes
import numpy as np

features = np.arange(12).reshape(4, 3) / 8 - 0.5
labels = np.array([0, 1, 1, 0])
first = np.array([[1.0, -2.0, 0.5], [0.25, 4.0, -8.0]])
second = np.array([[3.0, 0.125], [-1.5, 2.0]])

np.savez(
    "stored.npz",
    features=features.astype("<f4"),
    labels=labels.astype("<i8"),
    **{"classifier.1.weight": first, "classifier.2.weight": second.astype("<f4"), "classifier.bias": np.array([0.5, -0.5])},
)
np.savez_compressed(
    "deflated_fortran_big_endian.npz",
    features=np.asfortranarray(features.astype(">f8")),
    labels=labels.astype("|u1"),
    **{"classifier.1.weight": np.asfortranarray(first.astype("<f2")), "classifier.2.weight": second.astype(ml_dtypes.bfloat16)},
)
