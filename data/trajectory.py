"""Trains a small network on digits and stores twenty checkpoints: data/trajectory/epoch_*.safetensors.

A ReLU network 64 → 96 → 16 whose last layer is linear, with one linear layer without a bias on top, squared loss, weight
decay on that layer and on the features. Full-batch Adam in float64, rate 1e-2 lowered to 0 along a cosine. NumPy alone,
some seconds on one core.

    python data/trajectory.py [--out DIRECTORY]
"""

import argparse
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from sklearn.datasets import load_digits

COUNTS = [60, 60, 40, 40, 20, 20]
DECAY = 1e-3
EPOCHS = 6000
CHECKPOINTS = 20
RATE = 1e-2
WIDTH = 16


def data(generator):
    """The first images of the digits 0 to 5 in a random order, pixels from -1/2 to 1/2."""
    images, digits = load_digits(return_X_y=True)
    chosen = [
        generator.permutation(np.flatnonzero(digits == label))[:count]
        for label, count in enumerate(COUNTS)
    ]
    rows = np.concatenate(chosen)
    return images[rows] / 16 - 0.5, digits[rows]


def gradients(parameters, images, targets):
    """Features, and the gradient of 1/(2N) ||Z - Y||^2 + decay/2 (||W||^2 + ||H||^2)."""
    w1, b1, w2, b2, head = parameters
    hidden = np.maximum(images @ w1 + b1, 0)
    features = hidden @ w2 + b2
    residual = (features @ head.T - targets) / len(images)
    to_features = residual @ head + DECAY * features
    to_hidden = (to_features @ w2.T) * (hidden > 0)
    return features, [
        images.T @ to_hidden,
        to_hidden.sum(0),
        hidden.T @ to_features,
        to_features.sum(0),
        residual.T @ features + DECAY * head,
    ]


def store(out, epoch, parameters, images, labels, targets):
    features, _ = gradients(parameters, images, targets)
    arrays = {
        "features": features.astype(np.float32),
        "labels": labels.astype(np.int64),
        "classifier.1.weight": parameters[4].astype(np.float32),
    }
    metadata = {
        "epoch": str(epoch),
        "lambda_w": json.dumps([DECAY]),
        "lambda_h": str(DECAY),
        "bias": "none",
        "loss_function": "mse",
        "description": "digits 0 to 5, one checkpoint of data/trajectory.py",
    }
    save_file(arrays, out / f"epoch_{epoch}.safetensors", metadata)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent / "trajectory")
    out = arguments.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(7)
    images, labels = data(generator)
    targets = np.eye(len(COUNTS))[labels]
    sizes = [(64, 96), (96, WIDTH)]
    (w1, w2) = (generator.normal(0, np.sqrt(2 / rows), (rows, columns)) for rows, columns in sizes)
    head = generator.normal(0, 1 / np.sqrt(WIDTH), (len(COUNTS), WIDTH))
    parameters = [w1, np.zeros(96), w2, np.zeros(WIDTH), head]
    first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    kept = {0} | {round(x) for x in np.geomspace(5, EPOCHS, CHECKPOINTS - 1)}
    for epoch in range(EPOCHS + 1):
        if epoch in kept:
            store(out, epoch, parameters, images, labels, targets)
        _, slopes = gradients(parameters, images, targets)
        rate = RATE * (1 + np.cos(np.pi * epoch / EPOCHS)) / 2
        for parameter, slope, m, v in zip(parameters, slopes, first, second):
            m += 0.1 * (slope - m)
            v += 0.001 * (slope**2 - v)
            bias1, bias2 = 1 - 0.9 ** (epoch + 1), 1 - 0.999 ** (epoch + 1)
            parameter -= rate * (m / bias1) / (np.sqrt(v / bias2) + 1e-10)


if __name__ == "__main__":
    main()
