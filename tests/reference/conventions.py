"""One small network, every convention: the metrics of neural collapse as papers and public codes define them.

    python conventions.py > conventions.csv      # needs NumPy only

The network is in conventions_data.csv: nine samples of three classes in four dimensions, a head of two linear layers
and a bias. Each row of the table is a quantity, its convention, where that convention is used, and the value. The
definitions were read in the papers and in the public codes named, and written down here anew. tests/it/conventions.rs
compares the library with this table and keeps docs/metrics.md up to date.
"""

import csv
from pathlib import Path

import numpy as np

PAPYAN = "Papyan et al. 2020, their notebook"
ZHU = "Zhu et al. 2021, tding1/Neural-Collapse"
DANG = "Dang et al. 2023"
BALANCED_CODE = "Dang et al.'s code for balanced classes"
WU = "Wu & Papyan 2024, rhubarbwu/neural-collapse"
TOOLBOX = "felixsh/nc-toolbox"
SEEN = "seen in public codes"
AMMAR = "Ammar et al. 2024"
LIU_QIN = "Liu & Qin 2025"
METRICS = {  # by the first word of a quantity
    "nc1": "NC1", "quotient": "quotient of traces", "cdnv": "CDNV", "nc2": "NC2", "nc3": "NC3",
    "self-duality": "self-duality", "duality": "alignment by class", "norms": "equal norms", "cosines": "equal angles",
    "etf": "largest angles", "energy": "logarithmic energy", "nc4": "NC4", "nc5": "NC5", "neco": "NECO", "nci": "NCI",
    "nrc1": "NRC1", "nrc2": "NRC2", "root": "NRC3", "cholesky": "NRC3",
}


def read():
    rows = list(csv.reader((Path(__file__).parent / "conventions_data.csv").open()))[1:]
    block = lambda kind: [[float(x) for x in row[2:] if x] for row in rows if row[0] == kind]
    labels = [int(row[1]) for row in rows if row[0] == "sample"]
    return np.array(block("sample")), np.array(labels), *map(np.array, (block("first"), block("last"), block("bias")[0]))


def scatters(h, y, centre):
    """Class means, Σ_W divided by N, Σ_B divided by K, and the centered means in rows."""
    means = np.array([h[y == c].mean(axis=0) for c in range(y.max() + 1)])
    deviations = h - means[y]
    centered = means - (h.mean(axis=0) if centre == "samples" else means.mean(axis=0))
    return means, deviations.T @ deviations / len(h), centered.T @ centered / len(means), centered


def inverse(matrix, rank):
    values, vectors = np.linalg.eigh(matrix)  # ascending
    return (vectors[:, -rank:] / values[-rank:]) @ vectors[:, -rank:].T


def distance(a, b):
    return np.linalg.norm(a / np.linalg.norm(a) - b / np.linalg.norm(b))


def pairs(v):
    return np.array([v[i, j] for i in range(len(v)) for j in range(len(v)) if i != j])


def unit(v):
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def within_between(h, y):
    k = y.max() + 1
    _, within, by_samples, _ = scatters(h, y, "samples")
    _, _, by_classes, centered = scatters(h, y, "classes")
    trace = lambda between: np.trace(within @ inverse(between, k - 1))
    yield "nc1", "centered at the mean of all samples, divided by K", f"{DANG}; {ZHU}", trace(by_samples) / k
    yield "nc1 undivided", "centered at the mean of all samples, not divided", "", trace(by_samples)
    yield "nc1 classes", "centered at the mean of the class means, divided by K", WU, trace(by_classes) / k
    yield "nc1 classes undivided", "centered at the mean of the class means, not divided", PAPYAN, trace(by_classes)
    yield "nc1 dimension", "divided by the dimension d instead of K", SEEN, trace(by_samples) / h.shape[1]
    yield "nc1 lost factor", "FAULT: Σ_B without its 1/K, and divided by K all the same", SEEN, np.trace(
        within @ inverse(k * by_samples, k - 1)) / k
    twins = h.copy()  # classes 1 and 2 as under minority collapse: their means differ by 1e-7
    twins[y == 2] += h[y == 1].mean(axis=0) - h[y == 2].mean(axis=0) + 1e-7 * np.array([1, 0, 1, 0])
    _, twin_within, twin_between, _ = scatters(twins, y, "samples")
    yield "nc1 twins", "means of classes 1 and 2 moved to 1.4e-7 of each other", "", np.trace(
        twin_within @ inverse(twin_between, 1)) / k
    yield "nc1 twins pinv", "FAULT: those means, and the default cut-off of numpy.linalg.pinv", SEEN, np.trace(
        twin_within @ np.linalg.pinv(twin_between)) / k
    quotient = np.trace(within) / np.trace(by_samples)
    yield "quotient", "tr Σ_W / tr Σ_B, centered at the mean of all samples", "Tirer & Bruna 2022", quotient
    yield "quotient classes", "tr Σ_W / tr Σ_B, centered at the mean of the class means", WU, np.trace(within) / np.trace(by_classes)
    yield "quotient total", "tr Σ_W / (tr Σ_W + tr Σ_B)", f"Rangamani et al. 2023, {TOOLBOX}", quotient / (1 + quotient)


def cdnv(h, y):
    means, *_ = scatters(h, y, "samples")
    squares = [((h[y == c] - means[c]) ** 2).sum() for c in range(len(means))]
    sizes = np.bincount(y)
    distances = ((means[:, None] - means[None]) ** 2).sum(axis=2) + np.eye(len(means))
    for name, what, where, variances in [
        ("cdnv", "variances divided by n_k", f"Galanti et al. 2022; {WU}", squares / sizes),
        ("cdnv sample", "variances divided by n_k − 1", TOOLBOX, squares / (sizes - 1)),
    ]:
        yield name, what, where, pairs((variances[:, None] + variances[None]) / 2 / distances).mean()


def structure(h, y, first, last):
    k, product = len(last), last @ first
    means, _, _, centered = scatters(h, y, "samples")
    centered_at_means = scatters(h, y, "classes")[3]
    etf, of = np.eye(k) - 1 / k, np.eye(k)
    yield "nc2 etf 1", "m = 1: the last layer's W_M W_Mᵀ, target ETF", f"{DANG}; {ZHU}", distance(last @ last.T, etf)
    yield "nc2 etf 2", "m = 2: all of W₂W₁, target ETF", DANG, distance(product @ product.T, etf)
    yield "nc2 of 2", "m = 2, target OF", DANG, distance(product @ product.T, of)
    yield "nc2 etf 2 squared", "m = 2, target ETF, squared", SEEN, distance(product @ product.T, etf) ** 2
    yield "nc2 means", "of class means centered at their mean, target ETF", WU, distance(
        centered_at_means @ centered_at_means.T, etf)
    yield "nc3", "H̄ not centered, target ETF", DANG, distance(product @ means.T, etf)
    yield "nc3 centered", "H̄ centered at the mean of all samples", f"{BALANCED_CODE}; {ZHU}", distance(
        product @ centered.T, etf)
    yield "nc3 centered classes", "H̄ centered at the mean of the class means", WU, distance(
        product @ centered_at_means.T, etf)
    inputs = centered @ first.T  # what W_M takes
    yield "self-duality", "‖W/‖W‖ − H̄ᵀ/‖H̄‖‖, H̄ centered at the mean of all samples", TOOLBOX, distance(last, inputs)
    inputs_at_means = centered_at_means @ first.T
    yield "self-duality classes", "H̄ centered at the mean of the class means", "", distance(last, inputs_at_means)
    yield "self-duality squared", "H̄ centered at the mean of the class means, squared", PAPYAN, distance(last, inputs_at_means) ** 2
    cosines = unit(last) @ unit(inputs).T
    own = np.diag(cosines)
    yield "duality cosine", "mean of cos(w_k, h_k − h_G)", "", own.mean()
    yield "duality deviation", "standard deviation of cos(w_k, h_k − h_G)", "Wu & Papyan 2024", own.std()
    yield "duality products", "variance of the products w_k·(h_k − h̄), not cosines", WU, (
        last * inputs_at_means).sum(axis=1).var(ddof=1)
    yield "duality others", "FAULT: mean cosine of w_k and the means of later classes", TOOLBOX, cosines[
        np.triu_indices(k, 1)].mean()


def shape(h, y):
    k = y.max() + 1
    _, _, _, centered = scatters(h, y, "samples")
    centered_at_means = scatters(h, y, "classes")[3]
    norms, norms_at_means = (np.linalg.norm(v, axis=1) for v in (centered, centered_at_means))
    yield "norms", "deviation/mean, divisor K, centered at the mean of all samples", "", norms.std() / norms.mean()
    yield "norms classes", "deviation/mean, divisor K, centered at the mean of the class means", "", norms_at_means.std() / norms_at_means.mean()
    yield "norms sample", "deviation/mean, divisor K − 1 (torch.std), centered at the mean of the class means", PAPYAN, (
        norms_at_means.std(ddof=1) / norms_at_means.mean())
    cosines = pairs(unit(centered) @ unit(centered).T)
    yield "cosines", "standard deviation of the cosines, centered at the mean of all samples", "", cosines.std()
    yield "etf deviation", "mean of │cos + 1/(K−1)│, centered at the mean of all samples", "Papyan et al. 2020", np.abs(cosines + 1 / (k - 1)).mean()
    at_means = pairs(unit(centered_at_means) @ unit(centered_at_means).T)
    yield "etf deviation classes", "mean of │cos + 1/(K−1)│, centered at the mean of the class means", PAPYAN, np.abs(at_means + 1 / (k - 1)).mean()
    yield "etf deviation signed", "mean of cos + 1/(K−1), with its sign", TOOLBOX, (cosines + 1 / (k - 1)).mean()
    energy = pairs(-np.log(np.linalg.norm(unit(centered)[:, None] - unit(centered)[None], axis=2) + np.eye(k)))
    yield "energy", "mean of ln 1/‖u_i − u_j‖, centered at the mean of all samples", "Liu et al. 2023", energy.mean()
    yield "energy variance", "variance over the pairs, centered at the mean of the class means", WU, pairs(-np.log(
        np.linalg.norm(unit(centered_at_means)[:, None] - unit(centered_at_means)[None], axis=2) + np.eye(k))).var()


def decisions(h, y, product, bias):
    means, *_ = scatters(h, y, "samples")
    nearest = np.array([np.argmin(np.linalg.norm(means - x, axis=1)) for x in h])
    outputs = h @ product.T + bias
    agreement = (outputs.argmax(axis=1) == nearest).mean()
    yield "nc4", "share of agreement, bias counted", TOOLBOX, agreement
    yield "nc4 mismatch", "share of disagreement", PAPYAN, 1 - agreement
    yield "nc4 no bias", "agreement without the bias", WU, ((h @ product.T).argmax(axis=1) == nearest).mean()
    yield "nc4 smallest", "FAULT: the smallest output instead of the largest", SEEN, (outputs.argmin(axis=1) == nearest).mean()


OUTSIDE = np.array([0.5, -1.0, 0.3, 2.0])


def outside(h, y, product, bias):
    """A sample out of distribution, whose features also stand for the mean of such samples."""
    means, *_ = scatters(h, y, "samples")
    mean = h.mean(axis=0)
    cosine = lambda a, b: abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b)
    yield "nc5", "not centered", AMMAR, np.mean([cosine(m, OUTSIDE) for m in means])
    yield "nc5 centered", "all centered at the mean of all samples", None, np.mean(
        [cosine(m - mean, OUTSIDE - mean) for m in means])

    def neco(h, x):
        vectors = np.linalg.svd(h - h.mean(axis=0))[2][:2]
        x = x - h.mean(axis=0)
        return np.linalg.norm(vectors @ x) / np.linalg.norm(x)

    yield "neco", "two principal directions, features centered", AMMAR, neco(h, OUTSIDE)
    scale = h.std(axis=0)
    yield "neco scaled", "each feature divided by its standard deviation", AMMAR + ", their code", neco(
        h / scale, OUTSIDE / scale)
    decided = (product @ OUTSIDE + bias).argmax()
    x = OUTSIDE - mean
    yield "nci", "α = 0.1, bias counted in the decision", LIU_QIN, (
        product[decided] @ x / np.linalg.norm(x) + 0.1 * np.abs(OUTSIDE).sum())

    def outside_of(basis, h):
        u = h / np.linalg.norm(h, axis=1)[:, None]
        return np.mean(np.linalg.norm(u - u @ basis.T @ basis, axis=1) ** 2)

    centered = h - mean
    yield "nrc1", "two principal directions, features centered", "Andriopoulos et al. 2024", outside_of(
        np.linalg.svd(centered)[2][:2], centered)
    yield "nrc1 uncentered", "features not centered", SEEN, outside_of(np.linalg.svd(h)[2][:2], h)
    rows = np.linalg.svd(product)[2][:3]
    yield "nrc2", "rows of W₂W₁, features centered", "Andriopoulos et al. 2024", outside_of(rows, centered)


def regression():
    """WWᵀ against Σ^½ − √γ I (NRC3), for a W that satisfies it exactly."""
    covariance, root_of_gamma = np.array([[2.0, 1.0], [1.0, 3.0]]), 0.5
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(values) @ vectors.T
    gram = root - root_of_gamma * np.eye(2)
    yield "root", "NRC3 with Σ^½, Σ = [2 1; 1 3], γ = ¼, WWᵀ = Σ^½ − √γ I", "Andriopoulos et al. 2024", distance(
        gram, root - root_of_gamma * np.eye(2))
    yield "cholesky", "FAULT: with the Cholesky factor of Σ in the place of Σ^½", SEEN, distance(
        gram, np.linalg.cholesky(covariance) - root_of_gamma * np.eye(2))


def main():
    h, y, first, last, bias = read()
    print("quantity|metric|convention|where|value")
    for block in (within_between(h, y), cdnv(h, y), structure(h, y, first, last), shape(h, y),
                  decisions(h, y, last @ first, bias), outside(h, y, last @ first, bias), regression()):
        for name, convention, where, value in block:
            print(f"{name}|{METRICS[name.split()[0]]}|{convention}|{where or '–'}|{float(value)!r}")


if __name__ == "__main__":
    main()
