"""Metrics of neural collapse by the definitions that papers and published codes use, in plain NumPy.

    python peers.py > peers.csv      # writes the table that tests/peers.rs reads; needs NumPy only

Everything is dense and direct (d x d covariances, K x K Gram matrices, loops over pairs), in float64 and
with an explicit rank for the pseudo-inverse. The data come from a linear congruential generator that the
test repeats bit by bit, so that the table holds nothing but results.
"""

import numpy as np

CASES = [  # name, samples, dimension, classes, deviation, first width of the deep head
    ("balanced", 60, 12, 5, 0.3, 7),
    ("imbalanced", 90, 8, 6, 0.1, 8),
    ("more classes than features", 80, 4, 10, 0.5, 4),
    ("collapsed", 70, 15, 7, 1e-6, 9),
]


class Numbers:
    """Knuth's MMIX generator; the upper 32 bits, mapped to [-1, 1)."""

    def __init__(self):
        self.state = 1

    def matrix(self, rows, columns):
        entries = np.empty(rows * columns)
        for i in range(rows * columns):
            self.state = (6364136223846793005 * self.state + 1442695040888963407) % 2**64
            entries[i] = (self.state >> 32) / 2**31 - 1
        return entries.reshape(rows, columns)


def label(case, sample, classes):
    if sample < classes or case != "imbalanced":
        return sample % classes
    return (sample * sample) % classes  # squares: some classes are larger


def data(case):
    name, samples, dimension, classes, deviation, width = case
    numbers = Numbers()
    means = numbers.matrix(classes, dimension) + 0.5
    labels = np.array([label(name, i, classes) for i in range(samples)])
    features = means[labels] + deviation * numbers.matrix(samples, dimension)
    return features, labels, [numbers.matrix(width, dimension), numbers.matrix(classes, width)]


def pairs(grid):
    return grid[~np.eye(len(grid), dtype=bool)]


def vector_metrics(kind, v):
    """Papyan et al. (2020) for norms and angles, Liu et al. (2023) for the logarithmic energy."""
    k, norms = len(v), np.linalg.norm(v, axis=1)
    yield f"{kind} norm variation", norms.std() / norms.mean()
    yield f"{kind} norm variation (torch)", norms.std(ddof=1) / norms.mean()
    u = v / norms[:, None]
    cosines = pairs(u @ u.T)
    yield f"{kind} cosine mean", cosines.mean()
    yield f"{kind} cosine deviation", cosines.std()
    yield f"{kind} etf deviation", np.abs(cosines + 1 / (k - 1)).mean()
    energy = pairs(-np.log(np.linalg.norm(u[:, None] - u[None], axis=2) + np.eye(k)))
    yield f"{kind} energy mean", energy.mean()
    yield f"{kind} energy deviation", energy.std()


def scatter_metrics(h, y, k):
    """Papyan et al. (2020), Tirer & Bruna (2022), Galanti et al. (2022)."""
    means = np.array([h[y == c].mean(axis=0) for c in range(k)])
    deviations = h - means[y]
    within = deviations.T @ deviations / len(h)
    for name, centre in [("samples", h.mean(axis=0)), ("classes", means.mean(axis=0))]:
        m = means - centre
        between = m.T @ m / k
        rank = min(k - 1, h.shape[1])
        values, vectors = np.linalg.eigh(between)  # ascending
        inverse = (vectors[:, -rank:] / values[-rank:]) @ vectors[:, -rank:].T
        yield f"nc1 {name}", np.trace(within @ inverse) / k
        yield f"trace quotient {name}", np.trace(within) / np.trace(between)
    variances = np.array([(deviations[y == c] ** 2).sum(axis=1).mean() for c in range(k)])
    distances = ((means[:, None] - means[None]) ** 2).sum(axis=2) + np.eye(k)
    yield "cdnv", pairs((variances[:, None] + variances[None]) / 2 / distances).mean()


def structure(product, target):
    return np.linalg.norm(product / np.linalg.norm(product) - target / np.linalg.norm(target))


def duality_metrics(w, m):
    yield "self-duality", np.linalg.norm(w / np.linalg.norm(w) - m / np.linalg.norm(m))
    cosines = (w * m).sum(axis=1) / np.linalg.norm(w, axis=1) / np.linalg.norm(m, axis=1)
    yield "duality cosine mean", cosines.mean()
    yield "duality cosine deviation", cosines.std()


def metrics(case):
    h, y, (first, last) = data(case)
    k = case[3]
    etf = np.eye(k) - 1 / k
    for layer, features, classifier in [(0, h, last @ first), (1, h @ first.T, last)]:
        means = np.array([features[y == c].mean(axis=0) for c in range(k)])
        centred = means - features.mean(axis=0)
        found = list(scatter_metrics(features, y, k))
        found += [*vector_metrics("means", centred), *vector_metrics("uncentred", means)]
        found += [*vector_metrics("classifier", classifier), *duality_metrics(classifier, centred)]
        found += [("nc2 etf", structure(classifier @ classifier.T, etf)),
                  ("nc2 of", structure(classifier @ classifier.T, np.eye(k))),
                  ("nc3 etf", structure(classifier @ means.T, etf)),
                  ("nc3 etf centred", structure(classifier @ centred.T, etf)),
                  ("means etf", structure(centred @ centred.T, etf))]
        yield from ((layer, name, value) for name, value in found)


print("case,layer,metric,value")
for case in CASES:
    for layer, name, value in metrics(case):
        print(f"{case[0]},{layer},{name},{float(value)!r}")
