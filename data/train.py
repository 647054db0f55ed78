"""Train and check the small weight files that lie next to this script.

    pip install -r requirements.txt
    python train.py                       # re-train and check everything
    python train.py --only direct_of_m3   # one run (may be repeated)
    python train.py --check               # only check the files that are there

Every run minimises one objective, for M linear layers on features H (d x N):

    f = fit + lambda_W/2 sum_m ||W_m||_F^2 + lambda_H/2 ||H||_F^2

The fit of the outputs Z = W_M ... W_1 H + b 1^T to the one-hot targets Y (K x N) is
1/(2N) ||Z - Y||_F^2 or, in the runs with "ce" in their name, the cross-entropy
averaged over the samples. W_1 is the layer next to the features, and the bias b is
either absent or free of any penalty. The "direct" runs treat H itself as a
variable; the "digits" runs let a network produce H from images.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save as serialize
from threadpoolctl import threadpool_limits

Array = NDArray[np.floating]

FOLDER = Path(__file__).resolve().parent

# Tolerances of the checks.
GAP_FLOOR = -1e-12  # below the optimum only by rounding
GAP_DIRECT = 1e-9
NC_DIRECT = 1e-3
NC_NETWORK = 0.02
NC1_NETWORK = 1e-2
VANISHED = 1e-6


# --------------------------------------------------------------------------
# How the outputs are fitted to the labels


@dataclass(frozen=True)
class Fit:
    """A data term and its slope, of the K x N outputs and one-hot targets."""

    value: Callable[[Array, Array], float]
    slope: Callable[[Array, Array], Array]


def half_mean_square(outputs: Array, targets: Array) -> float:
    return squared_norm(outputs - targets) / (2 * targets.shape[1])


def half_mean_square_slope(outputs: Array, targets: Array) -> Array:
    return (outputs - targets) / targets.shape[1]


def cross_entropy(outputs: Array, targets: Array) -> float:
    shifted = outputs - outputs.max(axis=0)
    logs = np.log(np.exp(shifted).sum(axis=0))
    return float(logs.sum() - np.sum(shifted * targets)) / targets.shape[1]


def cross_entropy_slope(outputs: Array, targets: Array) -> Array:
    odds = np.exp(outputs - outputs.max(axis=0))
    return (odds / odds.sum(axis=0) - targets) / targets.shape[1]


FITS = {
    "mse": Fit(half_mean_square, half_mean_square_slope),
    "cross_entropy": Fit(cross_entropy, cross_entropy_slope),
}


# --------------------------------------------------------------------------
# What is trained


@dataclass(frozen=True)
class DirectRun:
    """Gradient descent with heavy-ball momentum on the W's and H themselves."""

    name: str
    about: str
    counts: tuple[int, ...]
    depth: int
    width: int
    lambda_w: float  # for every layer
    lambda_h: float
    bias: bool = False
    loss_function: str = "mse"
    # What cross-entropy is to end in: one of SHAPES.
    shape: str = "simplex"
    # From depth 2 on a class that is 0 in every factor stays there: the penalty is
    # quadratic, the fit of higher order. Seed 0 ends in the global minimum in all
    # the runs here or, with cross-entropy, in the lowest shape known; a seed that loses
    # a class or ends elsewhere fails the check and must be replaced.
    seed: int = 0
    init_scale: float = 0.1
    step: float = 0.1
    momentum: float = 0.9
    iterations: int = 30_000


@dataclass(frozen=True)
class DigitsRun:
    """Full-batch Adam on an MLP with a linear head, on handwritten digits."""

    name: str
    about: str
    depth: int
    counts: tuple[int, ...] = (150, 150, 120, 120, 90, 90, 60, 60, 30, 30)
    hidden: tuple[int, ...] = (256, 256)
    width: int = 64
    lam: float = 1e-4  # for every layer and for the features
    seed: int = 0
    rate: float = 1e-3
    iterations: int = 10_000
    npz: bool = False  # also write the arrays as a NumPy archive

    # As in a direct run, but the same for every network.
    bias: ClassVar[bool] = False
    loss_function: ClassVar[str] = "mse"

    @property
    def lambda_w(self) -> float:
        return self.lam

    @property
    def lambda_h(self) -> float:
        return self.lam


Run = DirectRun | DigitsRun


def direct_runs() -> list[DirectRun]:
    """The three settings at three depths: 4 classes, width 64, lambda 5e-4."""
    settings = [
        ("of", "balanced classes, no bias", (100, 100, 100, 100), False),
        ("etf", "balanced classes, unregularized bias", (100, 100, 100, 100), True),
        ("gof", "imbalanced classes, no bias", (200, 100, 50, 50), False),
    ]
    return [
        DirectRun(
            name=f"direct_{short}_m{depth}",
            about=f"Gradient descent on free features and {layers(depth)}: {about}.",
            counts=counts,
            depth=depth,
            width=64,
            lambda_w=5e-4,
            lambda_h=5e-4,
            bias=bias,
        )
        for short, about, counts, bias in settings
        for depth in (1, 3, 6)
    ]


def cross_entropy_runs() -> list[DirectRun]:
    """The setting above at two depths, then one where the simplex is not the lowest."""
    layer = DirectRun(
        name="direct_ce_m1",
        about=(
            f"Gradient descent on free features and {layers(1)}: "
            "cross-entropy, balanced classes, unregularized bias."
        ),
        counts=(100, 100, 100, 100),
        depth=1,
        width=16,
        lambda_w=5e-4,
        lambda_h=5e-4,
        bias=True,
        loss_function="cross_entropy",
        step=0.02,
        iterations=250_000,
    )
    two_layers = replace(
        layer, name="direct_ce_m2", about=layer.about.replace(layers(1), layers(2)), depth=2
    )
    octahedron = replace(
        two_layers,
        name="direct_ce_octahedron_m2",
        about=(
            f"Gradient descent on free features and {layers(2)}: cross-entropy, balanced "
            "classes, unregularized bias, an octahedron below the simplex ETF."
        ),
        counts=(10, 10, 10, 10, 10, 10),
        lambda_w=1e-3,
        lambda_h=1e-4,
        shape="orthoplex",
        step=0.1,
    )
    return [layer, two_layers, octahedron]


def digits_run(depth: int, npz: bool) -> DigitsRun:
    return DigitsRun(
        name=f"digits_m{depth}",
        about=(
            f"Training features and {layers(depth)} of a ReLU network "
            "on an imbalanced subset of handwritten digits."
        ),
        depth=depth,
        npz=npz,
    )


def layers(depth: int) -> str:
    return "one linear layer" if depth == 1 else f"{depth} linear layers"


RUNS: list[Run] = [
    *direct_runs(),
    DirectRun(
        name="minority_collapse_m1",
        about=(
            "Gradient descent on free features and one linear layer: "
            "the smallest class is below the threshold and vanishes."
        ),
        counts=(2000, 495, 495, 10),
        depth=1,
        width=16,
        lambda_w=3e-3,
        lambda_h=3e-3,
    ),
    *cross_entropy_runs(),
    digits_run(depth=1, npz=True),
    digits_run(depth=3, npz=False),
]


# --------------------------------------------------------------------------
# The trained arrays and their file


@dataclass(frozen=True)
class Model:
    """What one file holds."""

    features: Array  # N x d, a row per sample
    labels: NDArray[np.int64]  # N, from 0
    weights: list[Array]  # W_1 ... W_M, each out x in
    bias: Array | None
    lambda_w: list[float]
    lambda_h: float
    loss_function: str
    description: str

    @property
    def counts(self) -> NDArray[np.int64]:
        return np.bincount(self.labels)

    def product(self) -> Array:
        """W_M ... W_1 in float64."""
        product = self.weights[0].astype(np.float64)
        for weight in self.weights[1:]:
            product = weight.astype(np.float64) @ product
        return product

    def outputs(self) -> Array:
        """The K x N outputs in float64."""
        outputs = self.product() @ self.features.T.astype(np.float64)
        return outputs if self.bias is None else outputs + self.bias[:, None]

    def loss(self) -> float:
        """The objective in float64, whatever the arrays are stored as."""
        fit = FITS[self.loss_function].value(self.outputs(), one_hot(self.labels))
        penalty = self.lambda_h * squared_norm(self.features)
        for lam, weight in zip(self.lambda_w, self.weights, strict=True):
            penalty += lam * squared_norm(weight)
        return fit + penalty / 2


def squared_norm(array: Array) -> float:
    return float(np.sum(array.astype(np.float64) ** 2))


def one_hot(labels: NDArray[np.int64]) -> Array:
    return np.eye(labels.max() + 1)[:, labels]


def sorted_labels(counts: tuple[int, ...]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(counts), dtype=np.int64), counts)


def tensors(model: Model) -> dict[str, NDArray]:
    named: dict[str, NDArray] = {"features": model.features, "labels": model.labels}
    for m, weight in enumerate(model.weights, start=1):
        named[f"classifier.{m}.weight"] = weight
    if model.bias is not None:
        named["classifier.bias"] = model.bias
    # The writer copies the raw buffer, so a transposed view must be laid out first.
    return {name: np.ascontiguousarray(array) for name, array in named.items()}


def save(model: Model, path: Path) -> None:
    metadata = {
        "lambda_w": json.dumps(model.lambda_w),
        "lambda_h": repr(model.lambda_h),
        "bias": "none" if model.bias is None else "unregularized",
        "loss": f"{model.loss():.17g}",
        "loss_function": model.loss_function,
        "description": model.description,
    }
    path.write_bytes(with_sorted_metadata(serialize(tensors(model), metadata)))


def with_sorted_metadata(raw: bytes) -> bytes:
    """The same safetensors file with its metadata in alphabetical order.

    The library writes them in an order that changes from run to run, and
    re-training is meant to give the same bytes.
    """
    end = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # keeps the tensors aligned
    return len(text).to_bytes(8, "little") + text + raw[end:]


def load(path: Path) -> tuple[Model, float]:
    """The model in a file, and the loss that the file claims for it."""
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        named = {name: file.get_tensor(name) for name in file.keys()}
    lambda_w = json.loads(metadata["lambda_w"])
    bias = named.pop("classifier.bias", None)
    if metadata["bias"] != ("none" if bias is None else "unregularized"):
        raise ValueError(f"{path.name}: metadata and tensors disagree on the bias")
    model = Model(
        features=named.pop("features"),
        labels=named.pop("labels"),
        weights=[named.pop(f"classifier.{m + 1}.weight") for m in range(len(lambda_w))],
        bias=bias,
        lambda_w=lambda_w,
        lambda_h=float(metadata["lambda_h"]),
        loss_function=metadata.get("loss_function", "mse"),
        description=metadata["description"],
    )
    if named:
        raise ValueError(f"{path.name}: unexpected tensors {sorted(named)}")
    return model, float(metadata["loss"])


# --------------------------------------------------------------------------
# Training: free features


def train_direct(run: DirectRun) -> Model:
    rng = np.random.default_rng(run.seed)
    labels = sorted_labels(run.counts)
    classes = len(run.counts)

    def normal(rows: int, columns: int) -> Array:
        return run.init_scale * rng.standard_normal((rows, columns))

    outs = [run.width] * (run.depth - 1) + [classes]
    variables = [normal(out, run.width) for out in outs]
    variables.append(normal(run.width, len(labels)))
    if run.bias:
        variables.append(np.zeros((classes, 1)))

    targets = one_hot(labels)
    descend(variables, lambda v: gradients(v, targets, run), run)
    return Model(
        features=variables[run.depth].T,
        labels=labels,
        weights=variables[: run.depth],
        bias=variables[-1][:, 0] if run.bias else None,
        lambda_w=[run.lambda_w] * run.depth,
        lambda_h=run.lambda_h,
        loss_function=run.loss_function,
        description=run.about,
    )


def descend(
    variables: list[Array],
    gradients_at: Callable[[list[Array]], list[Array]],
    run: DirectRun,
) -> None:
    """Heavy-ball descent in place: v <- momentum v + gradient, x <- x - step v."""
    velocities = [np.zeros_like(variable) for variable in variables]
    for _ in range(run.iterations):
        slopes = gradients_at(variables)
        for variable, velocity, slope in zip(variables, velocities, slopes, strict=True):
            velocity *= run.momentum
            velocity += slope
            variable -= run.step * velocity


def gradients(variables: list[Array], targets: Array, run: DirectRun) -> list[Array]:
    """Gradients in the order of the variables: W_1 ... W_M, H and the bias, if any."""
    weights, features = variables[: run.depth], variables[run.depth]

    # above[m] = W_M ... W_{m+1}: K rows only, so every product here is cheap.
    above = [np.eye(len(targets))]
    for weight in reversed(weights):
        above.insert(0, above[0] @ weight)

    outputs = above[0] @ features
    if run.bias:
        outputs += variables[-1]
    error = FITS[run.loss_function].slope(outputs, targets)

    slopes = []
    # below = error H^T W_1^T ... W_{m-1}^T, again with K rows only.
    below = error @ features.T
    for m, weight in enumerate(weights, start=1):
        slopes.append(above[m].T @ below + run.lambda_w * weight)
        below = below @ weight.T
    slopes.append(above[0].T @ error + run.lambda_h * features)
    if run.bias:
        slopes.append(error.sum(axis=1, keepdims=True))
    return slopes


# --------------------------------------------------------------------------
# Training: a network on digits


def digits_split(run: DigitsRun) -> tuple[Array, Array, NDArray[np.int64]]:
    """Training images sorted by class, then the images and labels left over."""
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    images = images / 16 - 0.5  # the pixels are 0 ... 16
    rng = np.random.default_rng(run.seed)
    chosen = np.concatenate(
        [
            rng.permutation(np.flatnonzero(digits == digit))[:count]
            for digit, count in enumerate(run.counts)
        ]
    )
    rest = np.setdiff1d(np.arange(len(digits)), chosen)
    return images[chosen], images[rest], digits[rest]


def train_digits(run: DigitsRun) -> Model:
    # Imported here, since all the other runs do without PyTorch.
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(run.seed)

    train_images, rest_images, rest_digits = digits_split(run)
    labels = sorted_labels(run.counts)
    inputs = torch.from_numpy(train_images)
    targets = torch.from_numpy(one_hot(labels).T.copy())

    # The last layer before the head is linear, so features of either sign are possible.
    sizes = (inputs.shape[1], *run.hidden)
    blocks: list[nn.Module] = []
    for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
        blocks += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    backbone = nn.Sequential(*blocks, nn.Linear(sizes[-1], run.width))
    outs = [run.width] * (run.depth - 1) + [len(run.counts)]
    head = nn.Sequential(*(nn.Linear(run.width, out, bias=False) for out in outs))

    # Adam sees the objective itself: the penalty is on the features and on the
    # head, not on the weights of the backbone, so it can't be a weight decay.
    optimizer = torch.optim.Adam([*backbone.parameters(), *head.parameters()], lr=run.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=run.iterations)
    for iteration in range(run.iterations):
        features = backbone(inputs)
        fit = (head(features) - targets).square().sum() / len(labels)
        penalty = features.square().sum() + sum(w.square().sum() for w in head.parameters())
        loss = (fit + run.lam * penalty) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if iteration % 1000 == 0:
            print(f"  iteration {iteration:6d}  loss {loss.item():.12f}", flush=True)

    with torch.no_grad():
        guesses = head(backbone(torch.from_numpy(rest_images))).argmax(dim=1).numpy()
        accuracy = np.mean(guesses == rest_digits)
        print(f"  accuracy on the {len(rest_digits)} images left out: {accuracy:.2%}")
        return Model(
            features=backbone(inputs).numpy().astype(np.float32),
            labels=labels,
            weights=[w.numpy().astype(np.float32) for w in head.parameters()],
            bias=None,
            lambda_w=[run.lambda_w] * run.depth,
            lambda_h=run.lambda_h,
            loss_function=run.loss_function,
            description=run.about,
        )


# --------------------------------------------------------------------------
# What theory predicts


@dataclass(frozen=True)
class Prediction:
    loss: float
    gram: Array  # W W^T but for its scale, with W = W_M ... W_1
    align: Array  # W Hbar but for its scale, with the class means as columns of Hbar
    rank: int  # of the class means about their mean
    collapsed: NDArray[np.bool_]  # by class


def predict(run: Run, model: Model) -> Prediction:
    if isinstance(run, DirectRun) and run.loss_function == "cross_entropy":
        return predict_cross_entropy(model, run.shape)
    return predict_mse(model)


def predict_mse(model: Model) -> Prediction:
    """The global minimum, for any class sizes without a bias or balanced with one."""
    depth, counts = len(model.weights), model.counts
    total = int(counts.sum())
    if model.bias is not None and not balanced(counts):
        raise ValueError("no closed form here for a bias with imbalanced classes")

    scale = total * (total * model.lambda_h * math.prod(model.lambda_w)) ** (1 / depth)
    roots = [largest_root(scale / float(n), depth) for n in counts]
    strengths = np.array([x**depth for x in roots])
    terms = [
        float(n) / (x**depth + 1) + depth * scale * x for n, x in zip(counts, roots, strict=True)
    ]
    # A free bias takes over the mean direction, which leaves K - 1 of the K equal terms.
    used = terms if model.bias is None else terms[1:]
    frame = simplex(np.eye(len(counts)))
    return Prediction(
        loss=sum(used) / (2 * total),
        gram=np.diag(strengths) if model.bias is None else frame,
        align=np.diag(strengths / (strengths + 1)) if model.bias is None else frame,
        rank=len(counts) - 1,
        collapsed=strengths == 0,
    )


def balanced(counts: NDArray[np.int64]) -> bool:
    return bool(np.all(counts == counts[0]))


def largest_root(ratio: float, depth: int) -> float:
    """Largest root x of depth x^(depth-1) / (x^depth + 1)^2 = depth ratio, or 0.

    0 stands for a collapsed class: past the threshold the term n/(2N) of an
    output that stays 0 is the smaller one.
    """
    if ratio > (depth - 1) ** ((depth - 1) / depth) / depth**2:
        return 0.0

    def above(x: float) -> bool:
        return x ** (depth - 1) > ratio * (x**depth + 1) ** 2

    # The left side falls from its peak on, so one root lies to the right of it.
    low = ((depth - 1) / (depth + 1)) ** (1 / depth)
    high = low + 1
    while above(high):
        high *= 2
    return bisect(above, low, high)


def bisect(above: Callable[[float], bool], low: float, high: float) -> float:
    """Where `above` turns from true to false between two numbers, to the last bit."""
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        low, high = (middle, high) if above(middle) else (low, middle)


# With cross-entropy and balanced classes W Hbar is to end in a multiple of a K x K
# projection that treats all classes alike. These are such, fitted to a given W Hbar.


def simplex(align: Array) -> Array:
    """Every class as far from all others."""
    return np.eye(len(align)) - 1 / len(align)


def orthoplex(align: Array) -> Array:
    """Pairs of opposite classes, one pair orthogonal to the next: for 6 the octahedron.

    The class opposite to k has the smallest output for k. If these make no pairs,
    what comes out is no projection, and the check fails.
    """
    identity = np.eye(len(align))
    return (identity - identity[align.argmin(axis=1)]) / 2


SHAPES = {"simplex": simplex, "orthoplex": orthoplex}


def predict_cross_entropy(model: Model, shape: str) -> Prediction:
    """The lowest loss of that shape, which must not be above those of the others.

    For one layer the simplex is the global minimum, for more it may not be.
    """
    align = model.product() @ class_means(model)
    losses = {name: shape_loss(model, find(align)) for name, find in SHAPES.items()}
    if losses[shape] > min(losses.values()):
        raise ValueError(f"the {shape} is not the lowest: {losses}")
    frame = SHAPES[shape](align)
    return Prediction(
        loss=losses[shape],
        gram=frame,
        align=frame,
        rank=round(np.trace(frame)),
        collapsed=np.zeros(len(frame), dtype=bool),
    )


def shape_loss(model: Model, frame: Array) -> float:
    """The minimum of the objective over the outputs alpha times the frame.

    It is F(alpha) = ln(sum_j exp(alpha d_j)) + (M + 1)/2 rank (alpha^2 n P)^(1/(M + 1))
    with P = lambda_H lambda_1 ... lambda_M and d the first row less its first entry.
    """
    depth, counts = len(model.weights), model.counts
    if not balanced(counts):
        raise ValueError("no closed form here for cross-entropy with imbalanced classes")
    rank = np.trace(frame)
    row = frame[0] - frame[0, 0]
    price = (float(counts[0]) * model.lambda_h * math.prod(model.lambda_w)) ** (1 / (depth + 1))

    def loss(alpha: float) -> float:
        fit = math.log(np.exp(alpha * row).sum())
        return fit + (depth + 1) / 2 * rank * price * alpha ** (2 / (depth + 1))

    def falling(alpha: float) -> bool:
        odds = np.exp(alpha * row)
        pull = -(row @ odds) / odds.sum()
        return alpha ** ((depth - 1) / (depth + 1)) * pull > rank * price

    # The loss has its minimum at 0 or where it last turns from falling to rising. For
    # the simplex that is at the larger root of alpha^((M-1)/(M+1)) / (e^alpha + K - 1)
    # = price, and so for one layer at alpha = ln(1/price - (K - 1)).
    grid = np.arange(1, 10_000) / 100
    last = max(filter(falling, grid), default=0.0)
    return min(loss(0.0), loss(bisect(falling, last, last + 0.01)))


# --------------------------------------------------------------------------
# Checks


@dataclass(frozen=True)
class Report:
    name: str
    size: int  # bytes
    loss: float
    gap: float
    nc1: float
    nc2: float
    nc3: float
    accuracy: float
    faults: list[str]


def class_means(model: Model) -> Array:
    """The d x K matrix of class means in float64."""
    return (one_hot(model.labels) @ model.features.astype(np.float64) / model.counts[:, None]).T


def collapse_within(model: Model, rank: int) -> float:
    """NC1 = tr(S_W S_B^+) / K.

    S_W averages over all samples, S_B over the K class means, both about the
    mean of the sample features. S_B has the given rank.
    """
    means = class_means(model)
    features = model.features.T.astype(np.float64)
    within = features - means[:, model.labels]
    between = means - features.mean(axis=1, keepdims=True)
    # With S_B = B B^T / K and B = U s V^T: tr(S_W S_B^+) = K sum_i |U_i^T W|^2 / (N s_i^2).
    # The singular values past the rank are rounding, one at least: the weighted
    # columns of B sum to 0.
    axes, spread, _ = np.linalg.svd(between, full_matrices=False)
    axes, spread = axes[:, :rank], spread[:rank]
    return float(np.sum((axes.T @ within / spread[:, None]) ** 2) / features.shape[1])


def distance(matrix: Array, target: Array) -> float:
    """Frobenius distance of the two matrices scaled to norm 1."""
    return float(np.linalg.norm(matrix / np.linalg.norm(matrix) - target / np.linalg.norm(target)))


def check(run: Run, folder: Path) -> Report:
    """Read a file back and hold it against the layout and the prediction."""
    path = folder / f"{run.name}.safetensors"
    model, claimed = load(path)
    prediction = predict(run, model)
    loss, product = model.loss(), model.product()
    report = Report(
        name=run.name,
        size=path.stat().st_size,
        loss=loss,
        gap=loss - prediction.loss,
        nc1=collapse_within(model, prediction.rank),
        nc2=distance(product @ product.T, prediction.gram),
        nc3=distance(product @ class_means(model), prediction.align),
        accuracy=float(np.mean(model.outputs().argmax(axis=0) == model.labels)),
        faults=[],
    )
    faults = layout_faults(run, model)
    # Another BLAS may sum in another order, so the loss is not compared bit by bit.
    if not math.isclose(loss, claimed, rel_tol=1e-13):
        faults.append("loss in the metadata")
    if isinstance(run, DirectRun):
        faults += direct_faults(report)
        faults += vanishing_faults(model, prediction.collapsed)
    else:
        faults += network_faults(report)
        if run.npz and not same_archive(model, folder / f"{run.name}.npz"):
            faults.append("archive differs")
    return replace(report, faults=faults)


def layout_faults(run: Run, model: Model) -> list[str]:
    samples, classes = sum(run.counts), len(run.counts)
    outs = [run.width] * (run.depth - 1) + [classes]
    dtype = np.float64 if isinstance(run, DirectRun) else np.float32
    floats = [model.features, *model.weights]
    if model.bias is not None:
        floats.append(model.bias)
    tests = {
        "shape of the features": model.features.shape == (samples, run.width),
        "shapes of the weights": [w.shape for w in model.weights]
        == [(out, run.width) for out in outs],
        "bias": (model.bias is not None) == run.bias
        and (model.bias is None or model.bias.shape == (classes,)),
        "float type": all(array.dtype == dtype for array in floats),
        "labels": model.labels.dtype == np.int64
        and np.array_equal(model.labels, sorted_labels(run.counts)),
        "lambdas": model.lambda_w == [run.lambda_w] * run.depth and model.lambda_h == run.lambda_h,
        "loss function": model.loss_function == run.loss_function,
    }
    return [name for name, passed in tests.items() if not passed]


def direct_faults(report: Report) -> list[str]:
    tests = {
        "gap": GAP_FLOOR <= report.gap <= GAP_DIRECT,
        "NC1": report.nc1 < NC_DIRECT,
        "NC2": report.nc2 < NC_DIRECT,
        "NC3": report.nc3 < NC_DIRECT,
    }
    return [name for name, passed in tests.items() if not passed]


def network_faults(report: Report) -> list[str]:
    tests = {
        "gap": report.gap > 0,  # a network reaches no more than free features do
        "NC1": report.nc1 < NC1_NETWORK,
        "NC2": report.nc2 < NC_NETWORK,
        "NC3": report.nc3 < NC_NETWORK,
        "accuracy": report.accuracy == 1,
    }
    return [name for name, passed in tests.items() if not passed]


def vanishing_faults(model: Model, collapsed: NDArray[np.bool_]) -> list[str]:
    """The rows and the class means of the collapsed classes, and only those, are 0."""
    product, means = model.product(), class_means(model)
    sizes = np.maximum(np.linalg.norm(product, axis=1), np.linalg.norm(means, axis=0))
    return [
        f"class {k} {'did not vanish' if expected else 'vanished'}"
        for k, (size, expected) in enumerate(zip(sizes, collapsed, strict=True))
        if (size < VANISHED) != expected
    ]


def archive(model: Model) -> dict[str, Any]:
    """The arrays of a NumPy archive: of the metadata it has the loss only."""
    return dict(tensors(model)) | {"loss_function": np.array("mse")}


def same_archive(model: Model, path: Path) -> bool:
    with np.load(path) as archive:
        expected = archive(model)
        return set(archive.files) == set(expected) and all(
            archive[name].dtype == array.dtype and np.array_equal(archive[name], array)
            for name, array in expected.items()
        )


def table(reports: list[Report]) -> str:
    """The reports as a Markdown table."""
    lines = [
        "| file | bytes | loss | gap | NC1 | NC2 | NC3 | accuracy | check |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for r in reports:
        lines.append(
            f"| `{r.name}.safetensors` | {r.size} | {r.loss:.12f} | {r.gap:.1e} | {r.nc1:.1e} "
            f"| {r.nc2:.1e} | {r.nc3:.1e} | {r.accuracy:.2%} | {'; '.join(r.faults) or 'ok'} |"
        )
    return "\n".join(lines)


# --------------------------------------------------------------------------


def train(run: Run, folder: Path) -> None:
    print(f"{run.name} ...", flush=True)
    start = time.monotonic()
    model = train_direct(run) if isinstance(run, DirectRun) else train_digits(run)
    save(model, folder / f"{run.name}.safetensors")
    if isinstance(run, DigitsRun) and run.npz:
        arrays: dict[str, Any] = archive(model)
        np.savez_compressed(folder / f"{run.name}.npz", **arrays)
    print(f"  {time.monotonic() - start:.0f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Train and check the files of trained weights.")
    names = [run.name for run in RUNS]
    parser.add_argument(
        "--only",
        action="append",
        choices=names,
        metavar="NAME",
        help=f"only this run, may be repeated: {', '.join(names)}",
    )
    parser.add_argument(
        "--out", type=Path, default=FOLDER, help="folder of the files (default: that of the script)"
    )
    parser.add_argument(
        "--check", action="store_true", help="check the files that are there, train nothing"
    )
    options = parser.parse_args()

    runs = [run for run in RUNS if options.only is None or run.name in options.only]
    # One thread: the matrices are small, and sums in a fixed order repeat exactly.
    with threadpool_limits(limits=1):
        if not options.check:
            options.out.mkdir(parents=True, exist_ok=True)
            for run in runs:
                train(run, options.out)
        reports = [check(run, options.out) for run in runs]
    print(table(reports))
    return 1 if any(report.faults for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
