"""Table of the closed facts of one-layer cross-entropy: merging of siblings and total collapse."""

import random
from collections.abc import Iterator

from mpmath import mp, mpf

from decimals import Row, digits, digits_of, listed, log_uniform, nearest, short


def largest_centered(levels: list[mpf]) -> mpf:
    """The largest eigenvalue of C diag(d) C, C = I - 11^T/K."""
    size = len(levels)
    centering = mp.eye(size) - mp.ones(size) / size
    return max(mp.eigsy(centering * mp.diag(levels) * centering, eigvals_only=True))


def largest_centered_by_samples(sizes: list[int], weights: list[float]) -> mpf:
    """The largest eigenvalue of (I - p 1^T) D Omega^2 (I - 1 p^T), p proportional to omega n."""
    masses = [mpf(weight) * size for size, weight in zip(sizes, weights, strict=True)]
    share = mp.matrix([mass / mp.fsum(masses) for mass in masses])
    size = len(sizes)
    left = mp.eye(size) - share * mp.ones(1, size)
    levels = mp.diag([mpf(weight) ** 2 * n for n, weight in zip(sizes, weights, strict=True)])
    return max(mp.eigsy(left * levels * left.T, eigvals_only=True))


def cases() -> Iterator[tuple[list[int], list[float], float, float, float]]:
    """Sizes, weights, smoothing and the two decays."""
    generator = random.Random("convex")
    for index in range(60):
        classes = generator.randint(2, 8)
        sizes = [int(log_uniform(generator, 1, 10**6)) for _ in range(classes)]
        if index % 3 == 0:
            sizes[1] = sizes[0]
        weights = [1.0] * classes
        if index % 2:
            weights = [short(log_uniform(generator, mpf("0.05"), 20)) for _ in range(classes)]
        smoothing = short(mpf(generator.random()) / 2) if index % 5 == 0 else 0.0
        # Around the size at which siblings merge.
        root = mpf(10) ** generator.uniform(-3, 1) * mp.sqrt(sizes[0]) / sum(sizes)
        ratio = log_uniform(generator, mpf(10) ** -6, mpf(10) ** 6)
        yield sizes, weights, smoothing, nearest(root * mp.sqrt(ratio)), nearest(root / mp.sqrt(ratio))


def convex_rows() -> Iterator[Row]:
    """The closed facts of every case."""
    for sizes, weights, smoothing, weight_decay, feature_decay in cases():
        samples = sum(sizes)
        product = mpf(samples) ** 2 * mpf(weight_decay) * mpf(feature_decay)
        kept = 1 - mpf(smoothing)
        merging = [product / (kept * mpf(weight)) ** 2 for weight in weights]
        gaps = [
            max(mpf(0), kept - mp.sqrt(product / mpf(weight) ** 2 / size))
            for size, weight in zip(sizes, weights, strict=True)
        ]
        levels = [mpf(weight) ** 2 * size for size, weight in zip(sizes, weights, strict=True)]
        scale = (kept / samples) ** 2
        yield [
            listed(sizes),
            listed(map(repr, weights)),
            repr(smoothing),
            repr(weight_decay),
            repr(feature_decay),
            digits_of(merging),
            digits_of(gaps),
            digits(scale * largest_centered(levels)),
            digits(scale * largest_centered_by_samples(sizes, weights)),
        ]
