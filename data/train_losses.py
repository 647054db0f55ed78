"""Train and check the files of the other losses: cross-entropy with unequal classes, label
smoothing and features that are not negative.

    pip install -r requirements.txt
    python train_losses.py                        # re-train and check everything
    python train_losses.py --only digits_ce_m1    # one run (may be repeated)
    python train_losses.py --check                # only check the files that are there

Every run minimises, for M linear layers on features H (d x N) and smoothed labels
y' = (1 - delta) e_y + delta/K,

    f = 1/N sum_i CE(W_M ... W_1 h_i + b, y'_i) + lambda_W/2 sum_m ||W_m||^2 + lambda_H/2 ||H||^2,

with a bias b that is absent or free of any penalty, and in the runs with "nonnegative" or
"relu" in their name with H >= 0. The "direct" runs treat H itself as a variable (L-BFGS); the
"digits" runs let a network produce H from images (Adam). NumPy and SciPy are all they need.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save as serialize
from scipy.optimize import brentq, minimize
from threadpoolctl import threadpool_limits
from train import (
    digits_split,
    one_hot,
    sorted_labels,
    squared_norm,
    tensors,
    with_sorted_metadata,
)

Array = NDArray[np.floating]

FOLDER = Path(__file__).resolve().parent

# Largest relative distance of the loss from what theory says, and largest NC1. Where theory says a bound, that is as
# far below as gradients are from zero, much further than the loss from its minimum.
GAP_DIRECT, NC1_DIRECT = 1e-7, 1e-9
GAP_NETWORK, NC1_NETWORK = 1e-2, 1e-4


@dataclass(frozen=True)
class Run:
    name: str
    about: str
    counts: tuple[int, ...]
    width: int
    lambda_w: float  # for every layer
    lambda_h: float
    depth: int = 1
    bias: bool = False
    smoothing: float = 0.0
    nonnegative: bool = False
    # Sizes of the hidden layers of a network; None where features are free.
    hidden: tuple[int, ...] | None = None
    seed: int = 0
    rate: float = 1e-3
    iterations: int = 20_000
    loss_function: str = "cross_entropy"


FREE = "Features and {layers} by L-BFGS: cross-entropy, "
DIGITS = "Features and one linear layer of a network on a few handwritten digits: cross-entropy, "
UNEQUAL = (200, 100, 50, 50)
DIGIT_COUNTS = (60, 60, 48, 48, 36, 36, 24, 24, 12, 12)

RUNS = [
    Run(
        name="direct_ce_unequal_m1",
        about=FREE.format(layers="one linear layer") + "imbalanced classes, no bias.",
        counts=UNEQUAL,
        width=8,
        lambda_w=2e-3,
        lambda_h=5e-4,
    ),
    Run(
        name="direct_ce_unequal_bias_m1",
        about=FREE.format(layers="one linear layer")
        + "imbalanced classes, unregularized bias.",
        counts=UNEQUAL,
        width=8,
        lambda_w=2e-3,
        lambda_h=5e-4,
        bias=True,
    ),
    Run(
        name="direct_ce_smoothing_m2",
        about=FREE.format(layers="two linear layers") + "label smoothing 0.1, balanced classes.",
        counts=(10,) * 6,
        width=8,
        lambda_w=1e-4,
        lambda_h=1e-4,
        depth=2,
        smoothing=0.1,
    ),
    Run(
        name="direct_ce_nonnegative_m1",
        about=FREE.format(layers="one linear layer")
        + "imbalanced classes, features that are not negative, no bias.",
        counts=UNEQUAL,
        width=8,
        lambda_w=2e-3,
        lambda_h=5e-4,
        nonnegative=True,
        # From seed 0 a descent ends where features of a class are all zero, above the minimum.
        seed=1,
    ),
    Run(
        name="digits_ce_m1",
        about=DIGITS + "imbalanced classes.",
        counts=DIGIT_COUNTS,
        width=16,
        lambda_w=5e-3,
        lambda_h=2e-4,
        hidden=(256, 256),
    ),
    Run(
        name="digits_ce_relu_m1",
        about=DIGITS + "imbalanced classes, a ReLU on the features.",
        counts=DIGIT_COUNTS,
        width=16,
        lambda_w=5e-3,
        lambda_h=2e-4,
        hidden=(256, 256),
        nonnegative=True,
    ),
]


# --------------------------------------------------------------------------
# The objective


@dataclass
class Point:
    """Weights (out x in), features (d x N) and bias (K), or their slopes."""

    weights: list[Array]
    features: Array
    bias: Array | None

    def packed(self) -> Array:
        parts = [*self.weights, self.features, *([] if self.bias is None else [self.bias])]
        return np.concatenate([part.ravel() for part in parts])

    def unpacked(self, numbers: Array) -> Point:
        parts = [*self.weights, self.features, *([] if self.bias is None else [self.bias])]
        arrays, start = [], 0
        for part in parts:
            arrays.append(numbers[start : start + part.size].reshape(part.shape))
            start += part.size
        depth = len(self.weights)
        return Point(arrays[:depth], arrays[depth], arrays[-1] if self.bias is not None else None)


def targets(run: Run) -> Array:
    classes = len(run.counts)
    return (1 - run.smoothing) * one_hot(sorted_labels(run.counts)) + run.smoothing / classes


def product(weights: list[Array]) -> Array:
    whole = weights[0]
    for weight in weights[1:]:
        whole = weight @ whole
    return whole


def softmax(outputs: Array) -> tuple[Array, Array]:
    """Probabilities and logarithms of the sums of exponentials, by column."""
    shift = outputs.max(axis=0)
    odds = np.exp(outputs - shift)
    sums = odds.sum(axis=0)
    return odds / sums, shift + np.log(sums)


def objective(run: Run, point: Point, labels: Array) -> tuple[float, Point]:
    """The value, and the slopes in weights, features and bias."""
    outputs = product(point.weights) @ point.features
    if point.bias is not None:
        outputs = outputs + point.bias[:, None]
    probabilities, logs = softmax(outputs)
    samples = labels.shape[1]
    value = float(logs.sum() - np.sum(labels * outputs)) / samples
    value += run.lambda_h / 2 * squared_norm(point.features)
    value += run.lambda_w / 2 * sum(squared_norm(weight) for weight in point.weights)
    error = (probabilities - labels) / samples
    slopes = []
    for m, weight in enumerate(point.weights):
        above = product(point.weights[m + 1 :]) if m + 1 < len(point.weights) else None
        below = product(point.weights[:m]) @ point.features if m else point.features
        pulled = error if above is None else above.T @ error
        slopes.append(pulled @ below.T + run.lambda_w * weight)
    of_features = product(point.weights).T @ error + run.lambda_h * point.features
    of_bias = None if point.bias is None else error.sum(axis=1)
    return value, Point(slopes, of_features, of_bias)


# --------------------------------------------------------------------------
# Training


def start(run: Run, rng: np.random.Generator, features: Array) -> Point:
    classes = len(run.counts)
    outs = [run.width] * (run.depth - 1) + [classes]
    weights = [0.3 * rng.standard_normal((out, run.width)) for out in outs]
    return Point(weights, features, np.zeros(classes) if run.bias else None)


def train_direct(run: Run) -> Point:
    rng = np.random.default_rng(run.seed)
    features = 0.3 * rng.standard_normal((run.width, sum(run.counts)))
    point = start(run, rng, np.abs(features) if run.nonnegative else features)
    labels = targets(run)

    def of_numbers(numbers: Array) -> tuple[float, Array]:
        value, slopes = objective(run, point.unpacked(numbers), labels)
        return value, slopes.packed()

    free = [(None, None)]
    bounds = [(0, None)] if run.nonnegative else free
    limits = (
        free * sum(weight.size for weight in point.weights)
        + bounds * point.features.size
        + free * (0 if point.bias is None else point.bias.size)
    )
    numbers = point.packed()
    # Started again where a line search gives up, until nothing moves any more.
    for _ in range(20):
        settings = {"maxcor": 40, "maxiter": 20_000, "maxfun": 40_000, "ftol": 0.0, "gtol": 1e-13}
        result = minimize(
            of_numbers, numbers, jac=True, method="L-BFGS-B", bounds=limits, options=settings
        )
        moved = np.abs(result.x - numbers).max()
        numbers = result.x
        if moved < 1e-13:
            break
    return point.unpacked(numbers)


def train_digits(run: Run) -> Point:
    """Full-batch Adam, with a rate that falls to 0 along a cosine."""
    images, _, _ = digits_split(run)
    labels = targets(run)
    rng = np.random.default_rng(run.seed)
    sizes = (images.shape[1], *run.hidden, run.width)
    layers = [
        np.sqrt(2 / fan_in) * rng.standard_normal((fan_out, fan_in))
        for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True)
    ]
    shifts = [np.zeros((layer.shape[0], 1)) for layer in layers]
    head = start(run, rng, np.zeros((run.width, 0)))
    variables = [*layers, *shifts, *head.weights]
    means, squares = ([np.zeros_like(v) for v in variables] for _ in range(2))
    count = len(layers)
    for step in range(1, run.iterations + 1):
        inputs, active = [images.T], []
        for index, (layer, shift) in enumerate(zip(layers, shifts, strict=True)):
            raw = layer @ inputs[-1] + shift
            bent = index + 1 < count or run.nonnegative
            active.append(raw > 0 if bent else None)
            inputs.append(np.maximum(raw, 0) if bent else raw)
        point = Point(head.weights, inputs[-1], None)
        value, slopes = objective(run, point, labels)
        if step % 2000 == 1:
            print(f"  {step:6d}  {value:.12f}", flush=True)
        of_layers, of_shifts, slope = [], [], slopes.features
        for index in reversed(range(count)):
            if active[index] is not None:
                slope = slope * active[index]
            of_layers.insert(0, slope @ inputs[index].T)
            of_shifts.insert(0, slope.sum(axis=1, keepdims=True))
            slope = layers[index].T @ slope
        rate = run.rate * 0.5 * (1 + np.cos(np.pi * step / run.iterations))
        gradients = [*of_layers, *of_shifts, *slopes.weights]
        for variable, gradient, mean, square in zip(
            variables, gradients, means, squares, strict=True
        ):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            scale = np.sqrt(square / (1 - 0.999**step)) + 1e-8
            variable -= rate * mean / (1 - 0.9**step) / scale
    return point


# --------------------------------------------------------------------------
# What theory says


def lower_bound(run: Run, point: Point) -> float:
    """For one layer and free features: what no value of the objective is below.

    Convex duality at the logits Z of the class means: with the gradient G of the data term by
    X = Z diag(sqrt n), kappa = sqrt(lambda_W lambda_H) and s = min(1, kappa/||G||), the mixtures
    y + s (p - y) of labels and probabilities have at least that mean entropy.
    """
    counts = np.array(run.counts, dtype=float)
    classes = len(counts)
    labels = (1 - run.smoothing) * np.eye(classes) + run.smoothing / classes
    logits = product(point.weights) @ class_means(run, point)
    bias = np.zeros(classes)
    shares = counts / counts.sum()
    price = np.sqrt(run.lambda_w * run.lambda_h)
    if run.bias:
        bias = best_bias(logits, labels, shares)
    probabilities, _ = softmax(logits + bias[:, None])
    change = probabilities - labels
    if run.bias:
        change -= (change @ shares)[:, None]
    steepness = np.linalg.norm(change * shares / np.sqrt(counts), 2)
    mixed = labels + min(1.0, price / steepness) * change
    assert mixed.min() > -1e-15
    mixed = np.maximum(mixed, 1e-300)
    return float(-np.sum(shares * (mixed * np.log(mixed)).sum(axis=0)))


def best_bias(logits: Array, labels: Array, shares: Array) -> Array:
    bias = np.zeros(len(logits))
    for _ in range(60):
        p, _ = softmax(logits + bias[:, None])
        slope = (p - labels) @ shares
        bend = np.diag(p @ shares) - (p * shares) @ p.T + np.ones((len(bias), len(bias)))
        bias -= np.linalg.solve(bend, slope)
    return bias


def simplex_loss(run: Run) -> float:
    """The best simplex ETF of balanced classes at any depth."""
    classes, depth, delta = len(run.counts), run.depth, run.smoothing
    price = (run.counts[0] * run.lambda_h * run.lambda_w**depth) ** (1 / (depth + 1))

    def slope(a: float) -> float:
        power = a ** (-(depth - 1) / (depth + 1))
        return delta / classes + price * power - 1 / (np.exp(a) + classes - 1)

    a = brentq(slope, 0.5, 60.0, xtol=1e-15, rtol=1e-15)
    fit = np.log1p((classes - 1) * np.exp(-a)) + delta * (classes - 1) * a / classes
    return float(fit + (depth + 1) / 2 * (classes - 1) * price * a ** (2 / (depth + 1)))


def nonnegative_loss(run: Run) -> float:
    """Orthogonal features with the best margin for each class."""
    counts, classes = np.array(run.counts, dtype=float), len(run.counts)
    total, price = counts.sum(), np.sqrt(run.lambda_w * run.lambda_h)
    missing = total * price / np.sqrt(counts * classes * (classes - 1)) + run.smoothing / classes
    margins = np.where(missing < 1 / classes, np.log(1 / missing - classes + 1), 0.0)
    fits = np.log1p((classes - 1) * np.exp(-margins)) + run.smoothing * margins * (1 - 1 / classes)
    norms = np.sqrt(counts * (classes - 1) / classes) * margins
    return float(counts @ fits / total + price * norms.sum())


def predicted_loss(run: Run, point: Point) -> float:
    if run.nonnegative:
        return nonnegative_loss(run)
    return simplex_loss(run) if run.depth > 1 else lower_bound(run, point)


# --------------------------------------------------------------------------
# Files and checks


def class_means(run: Run, point: Point) -> Array:
    labels = sorted_labels(run.counts)
    return point.features @ one_hot(labels).T / np.array(run.counts)


def nc1(run: Run, point: Point) -> float:
    """tr(S_W S_B^+)/K with S_B of rank K - 1."""
    means = class_means(run, point)
    within = point.features - means[:, sorted_labels(run.counts)]
    between = means - point.features.mean(axis=1, keepdims=True)
    axes, spread, _ = np.linalg.svd(between, full_matrices=False)
    rank = len(run.counts) - 1
    scaled = axes[:, :rank].T @ within / spread[:rank, None]
    return float(np.sum(scaled**2) / point.features.shape[1])


@dataclass(frozen=True)
class Stored:
    """What `tensors` of the other script writes."""

    features: Array
    labels: NDArray[np.int64]
    weights: list[Array]
    bias: Array | None


def save(run: Run, point: Point, folder: Path) -> None:
    kind = np.float64 if run.hidden is None else np.float32
    stored = Stored(
        features=point.features.T.astype(kind),
        labels=sorted_labels(run.counts),
        weights=[weight.astype(kind) for weight in point.weights],
        bias=None if point.bias is None else point.bias.astype(kind),
    )
    named = tensors(stored)
    value, _ = objective(run, point_of(named, run), targets(run))
    metadata = {
        "lambda_w": json.dumps([run.lambda_w] * run.depth),
        "lambda_h": repr(run.lambda_h),
        "bias": "unregularized" if run.bias else "none",
        "loss": f"{value:.17g}",
        "loss_function": run.loss_function,
        "description": run.about,
    }
    if run.smoothing:
        metadata["label_smoothing"] = repr(run.smoothing)
    if run.nonnegative:
        metadata["nonnegative_features"] = "true"
    path = folder / f"{run.name}.safetensors"
    path.write_bytes(with_sorted_metadata(serialize(named, metadata)))


def point_of(named: dict[str, Array], run: Run) -> Point:
    wide = {name: array.astype(np.float64) for name, array in named.items()}
    weights = [wide[f"classifier.{m + 1}.weight"] for m in range(run.depth)]
    return Point(weights, wide["features"].T, wide.get("classifier.bias"))


def check(run: Run, folder: Path) -> tuple[str, bool]:
    """A row of the table, and whether all is as it should be."""
    path = folder / f"{run.name}.safetensors"
    with safe_open(path, framework="numpy") as file:
        claimed = float(file.metadata()["loss"])
        named = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    point = point_of(named, run)
    value, slopes = objective(run, point, targets(run))
    expected = predicted_loss(run, point)
    gap, spread = value / expected - 1, nc1(run, point)
    largest_gap, largest_spread = GAP_DIRECT, NC1_DIRECT
    if run.hidden is not None:
        largest_gap, largest_spread = GAP_NETWORK, NC1_NETWORK
    sound = -1e-12 <= gap <= largest_gap and spread < largest_spread
    sound &= abs(value / claimed - 1) < 1e-13
    sound &= not run.nonnegative or bool(np.all(point.features >= 0))
    size = path.stat().st_size
    row = f"| `{path.name}` | {size} | {value:.12f} | {gap:.1e} | {spread:.1e} |"
    return f"{row} {'ok' if sound else 'FAULT'} |", sound


def main() -> int:
    parser = argparse.ArgumentParser(description="Train and check the files of other losses.")
    names = [run.name for run in RUNS]
    parser.add_argument("--only", action="append", choices=names, help="only this run")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the files")
    parser.add_argument("--check", action="store_true", help="train nothing")
    options = parser.parse_args()
    runs = [run for run in RUNS if options.only is None or run.name in options.only]
    options.out.mkdir(parents=True, exist_ok=True)
    # One thread: the matrices are small, and sums in a fixed order repeat exactly.
    with threadpool_limits(limits=1):
        for run in runs if not options.check else []:
            print(f"{run.name} ...", flush=True)
            save(run, train_direct(run) if run.hidden is None else train_digits(run), options.out)
        rows = [check(run, options.out) for run in runs]
    print("| file | bytes | loss | (loss − predicted)/predicted | NC1 | check |")
    print("|---|--:|--:|--:|--:|---|")
    print("\n".join(row for row, _ in rows))
    return 0 if all(sound for _, sound in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
