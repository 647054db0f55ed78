"""Networks to measure."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
from typing import Any, NamedTuple

import numpy as np
import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]
DATA = REPOSITORY / "data"


class Network(NamedTuple):
    features: np.ndarray
    labels: np.ndarray
    weights: list[np.ndarray]
    bias: np.ndarray | None


def network(
    counts: list[int], dimension: int = 7, depth: int = 1, bias: bool = False, seed: int = 0, noise: float = 0.3
) -> Network:
    """Classes around means of their own, in random order, and random layers."""
    rng = np.random.default_rng(seed)
    classes = len(counts)
    labels = rng.permutation(np.repeat(np.arange(classes), counts))
    means = rng.normal(size=(classes, dimension))
    features = means[labels] + noise * rng.normal(size=(len(labels), dimension))
    widths = [dimension] * depth + [classes]
    weights = [rng.normal(size=(widths[m + 1], widths[m])) for m in range(depth)]
    return Network(features, labels, weights, rng.normal(size=classes) if bias else None)


def read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a file, by its published format."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    kinds = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4", "U8": "u1"}
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            part = raw[8 + length + first : 8 + length + last]
            found[name] = np.frombuffer(part, kinds[entry["dtype"]]).reshape(entry["shape"])
    return found


def program(*arguments: str) -> dict[str, Any]:
    """What the command-line program prints as JSON; skipped where it is not built."""
    places = [os.environ.get("NEURAL_COLLAPSE_PROGRAM", "")]
    target = pathlib.Path(os.environ.get("NEURAL_COLLAPSE_TARGET", REPOSITORY / "target"))
    places += [str(target / kind / "neural-collapse") for kind in ("release", "debug")]
    found = next((place for place in places if place and shutil.which(place)), None)
    if found is None:
        pytest.skip("the program neural-collapse is not built (NEURAL_COLLAPSE_PROGRAM names it)")
    done = subprocess.run([found, *arguments, "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def exact(audit: Any) -> dict[str, Any]:
    """The numbers of an audit that do not depend on the order of the samples: all but the estimates from a division of
    the samples into parts, which another order divides in another way. That these are there is compared all the same."""
    numbers = audit.to_dict()
    levels = numbers.get("levels") or {}
    numbers["levels"] = {key: value is None if key == "collapsed" else value for key, value in levels.items()}
    numbers["standard_errors"] = numbers.get("standard_errors") is None
    reasons = numbers.get("reasons") or {}
    numbers["reasons"] = {key: value for key, value in reasons.items() if not key.startswith("standard_errors.")}
    return numbers


def assert_same(found: Any, expected: Any, tolerance: float = 1e-12, where: str = "") -> None:
    """Plain data with equal keys and numbers."""
    if isinstance(expected, dict):
        assert set(found) == set(expected), where
        for key in expected:
            assert_same(found[key], expected[key], tolerance, f"{where}.{key}")
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), where
        for index, pair in enumerate(zip(found, expected, strict=True)):
            assert_same(*pair, tolerance, f"{where}[{index}]")
    elif isinstance(expected, float) and not isinstance(found, bool) and isinstance(found, (int, float)):
        assert found == pytest.approx(expected, rel=tolerance, abs=1e-15), where
    elif isinstance(expected, str) and any(letter.isdigit() for letter in expected):
        assert (found is None) == (expected is None), where  # a sentence with rounded numbers
    else:
        assert found == expected, where
