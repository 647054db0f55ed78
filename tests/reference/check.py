"""Check the committed tables by other means than those that made them: `python check.py`.

Nothing here uses the generator's formulas: minima are found by golden-section search on the objective
itself (in x, or in the singular value of the product of all factors), spectra by dense eigensolvers.
"""

import csv
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mpmath import diag, exp, eye, fprod, fsum, log, matrix, mp, mpf, power, sqrt

FOLDER = Path(__file__).parent
mp.dps = 110
# Outputs are rounded to 35 digits. A minimum's position is known to half of the working digits only.
ROUNDED = mpf("1e-34")
POSITION = mpf("1e-30")
NOISE = mpf("1e-40")
MAXIMAL_STEPS = 300
GOLDEN = (sqrt(mpf(5)) - 1) / 2

DIRECTION = (
    *("multiplicity", "target_squared", "ratio", "x", "energy", "s"),
    *("fitted_share", "classifier_squared", "features_squared"),
)

# Fields that are no decimal outputs.
TEXT = ("bias", "regime", "b", "loss_mean", "below", "above")

Record = dict[str, str]


def records(name: str) -> list[Record]:
    """The rows of a table; every number in it must be a normal binary64 number or zero, or an input b."""
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for key, field in row.items():
            for word in [] if key in TEXT else field.split():
                assert float(word) == 0 or 2.0**-1022 <= abs(float(word)) < 2.0**1023, (name, word)
    return rows


def exact_input(text: str) -> mpf:
    """An input, which must be the shortest decimal of a binary64 number."""
    assert repr(float(text)) == text, text
    return mpf(float(text))


def values(field: str) -> list[mpf]:
    """The numbers of a list."""
    return [mpf(word) for word in field.split()]


def inputs(field: str) -> list[mpf]:
    """The binary64 numbers of a list."""
    return [exact_input(word) for word in field.split()]


def assert_close(value: mpf, reference: mpf, tolerance: mpf = ROUNDED) -> None:
    """Compare relatively."""
    assert abs(value - reference) <= tolerance * abs(reference), (mp.nstr(value, 40), mp.nstr(reference, 40))


def assert_rising(function: Callable[[mpf], mpf], root: mpf, tolerance: mpf = ROUNDED) -> None:
    """The function crosses zero upwards within the tolerance of the root."""
    assert function(root * (1 - tolerance)) < 0 < function(root * (1 + tolerance)), mp.nstr(root, 40)


def assert_close_beside(value: mpf, reference: mpf, largest: mpf) -> None:
    """Compare relatively, but for the noise that an eigensolver leaves where a component is zero."""
    assert_close(value + NOISE * largest, reference + NOISE * largest, POSITION)


def derivative(depth: int, b: mpf, x: mpf) -> mpf:
    """The derivative of g(x) = 1/(x^M+1) + b x."""
    return b - depth * power(x, depth - 1) / (power(x, depth) + 1) ** 2


def golden_minimum(function: Callable[[mpf], mpf], low: mpf, high: mpf) -> tuple[mpf, mpf]:
    """The position and value of the minimum of a unimodal function."""
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(MAXIMAL_STEPS):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = function(right)
    return (left, at_left) if at_left < at_right else (right, at_right)


def check_thresholds() -> None:
    """beta is the largest b with g(x) <= 1 for some x > 0, that is sup x^(M-1)/(x^M+1); the fold is a maximum too."""
    for row in records("thresholds.csv"):
        depth = int(row["depth"])
        tau, beta, fold, root, position = (mpf(row[key]) for key in list(row)[1:])
        assert_close(depth * tau, beta)
        if depth == 1:
            assert (tau, beta, fold, root, position) == (1, 1, 1, 0, 0)
            continue
        # In u = ln x, scaled so that u / M is of order one.
        span = 2 * log(mpf(depth) + 2) / depth
        u, value = golden_minimum(lambda u: -exp((depth - 1) * u) / (exp(depth * u) + 1), -span, span)
        assert_close(-value, beta)
        assert_close(exp(u), root, POSITION)
        u, value = golden_minimum(lambda u: -depth * exp((depth - 1) * u) / (exp(depth * u) + 1) ** 2, -span, span)
        assert_close(-value, fold)
        assert_close(exp(u), position, POSITION)


def check_minimizer() -> None:
    """g falls and then rises to the right of the fold; x = 0 is the only other candidate, with g = 1."""
    for row in records("minimizer.csv"):
        depth, b = int(row["depth"]), exact_input(row["b"])
        x, q, value, share = (mpf(row[key]) for key in ("x", "x_pow_depth", "g", "residual_share"))
        if row["regime"] == "tie":
            assert (depth, b) in ((1, 1), (2, mpf(1) / 2)) and value == 1
            continue
        low = log(mpf(depth - 1) / (depth + 1)) / depth if depth > 1 else log(mpf("1e-25"))
        high = max(log(depth / b) / (depth + 1), low + 1)
        u, minimum = golden_minimum(lambda u: 1 / (exp(depth * u) + 1) + b * exp(u), low, high)
        assert row["regime"] == ("positive" if minimum < 1 else "zero"), row
        if minimum >= 1:
            assert (x, q, value, share) == (0, 0, 1, 1)
            continue
        assert_close(value, minimum)
        # For M = 1 and b near 1, g is flat on the scale of x.
        assert_close(x, exp(u), POSITION if b < 0.999 else mpf("1e-12"))
        assert_close(q, power(x, depth), 2 * depth * ROUNDED)
        assert_close(share, 1 / (q + 1))
        check_polynomial(depth, b, x)


def check_polynomial(depth: int, b: mpf, x: mpf) -> None:
    """Depths 1, 2 and 3 reduce to polynomials in sqrt(x+1), sqrt(x) and x."""
    if depth == 1:
        assert_close(x, (1 - b) / (sqrt(b) * (1 + sqrt(b))))
    elif depth == 2:
        y = sqrt(x)
        polynomial, derivative = y**4 - sqrt(2 / b) * y + 1, 4 * y**3 - sqrt(2 / b)
        assert abs(2 * polynomial) <= ROUNDED * abs(y * derivative)
    elif depth == 3:
        polynomial, derivative = x**3 - sqrt(3 / b) * x + 1, 3 * x**2 - sqrt(3 / b)
        assert abs(polynomial) <= ROUNDED * abs(x * derivative)


def check_stationary() -> None:
    """The derivative of g changes sign within the rounding of each point, on its own side of the fold."""
    for row in records("stationary.csv") + records("single.csv"):
        depth, b = int(row["depth"]), exact_input(row["b"])
        fold = power(mpf(depth - 1) / (depth + 1), mpf(1) / depth)
        assert bool(row["larger"]) == (derivative(depth, b, fold) < 0)
        assert bool(row["smaller"]) == (bool(row["larger"]) and depth > 1)
        if row["larger"]:
            x = mpf(row["larger"])
            assert x > fold
            assert_rising(lambda y: derivative(depth, b, y), x)
        if row["smaller"]:
            x = mpf(row["smaller"])
            assert x < fold
            assert_rising(lambda y: -derivative(depth, b, y), x)


def check_single() -> None:
    """Inputs are binary32, and the minimiser is the larger point up to beta and zero above."""
    for row in records("single.csv"):
        depth, b = int(row["depth"]), exact_input(row["b"])
        assert struct.unpack("f", struct.pack("f", float(b)))[0] == float(b), row
        beta = power(depth - 1, mpf(depth - 1) / depth) / depth
        assert row["regime"] == ("positive" if b < beta else "tie" if b == beta else "zero")
        if row["regime"] == "tie":
            assert (depth, b, mpf(row["x"])) in ((1, 1, 0), (2, mpf(1) / 2, 1))
        else:
            assert row["x"] == (row["larger"] if b < beta else "0")


def schatten_minimum(loss: Callable[[mpf], mpf], sigma: mpf, total: mpf, weight: mpf, depth: int) -> tuple[mpf, mpf]:
    """The minimum over z >= 0 of loss(z) + (M+1)/2 weight z^(2/(M+1)), where weight = P^(1/(M+1)).

    loss is a parabola with second derivative 1/total and its minimum at sigma: right of the inflection
    the sum is convex, left of it concave, so that only z = 0 competes.
    """

    def objective(z: mpf) -> mpf:
        return loss(z) + mpf(depth + 1) / 2 * weight * power(z, mpf(2) / (depth + 1))

    inflection = power(total * weight * (depth - 1) / (depth + 1), mpf(depth + 1) / (2 * depth))
    at_zero = loss(mpf(0))
    if inflection >= sigma:
        return mpf(0), at_zero
    z, value = golden_minimum(objective, inflection, sigma)
    return (z, value) if value < at_zero else (mpf(0), at_zero)


def plain_minimum(squared: mpf, total: mpf, weight: mpf, depth: int) -> tuple[mpf, mpf]:
    """The minimum in a direction that the bias does not touch."""
    sigma = sqrt(squared)
    return schatten_minimum(lambda z: (z - sigma) ** 2 / (2 * total), sigma, total, weight, depth)


def biased_minimum(count: int, classes: int, bias_decay: mpf, weight: mpf, depth: int) -> tuple[mpf, mpf]:
    """The minimum in the all-ones direction, jointly over z and an equal bias for every class."""
    total, sigma = mpf(count * classes), sqrt(mpf(count))
    stretch = sqrt(total * classes)

    def loss(z: mpf) -> mpf:
        # The bias enters as a parabola: three values give its minimum.
        fits = [(z + bias * stretch - sigma) ** 2 / (2 * total) for bias in (-1, 0, 1)]
        at = [fit + bias_decay * classes * bias**2 / 2 for fit, bias in zip(fits, (-1, 0, 1), strict=True)]
        curvature, slope = at[0] - 2 * at[1] + at[2], (at[2] - at[0]) / 2
        return at[1] - slope**2 / (2 * curvature)

    second = loss(mpf(0)) - 2 * loss(mpf(1)) + loss(mpf(2))
    return schatten_minimum(loss, sigma, 1 / second, weight, depth)


def centred_matrix(counts: Sequence[mpf]) -> matrix:
    """diag(n) - n n^T / N."""
    column = matrix(counts)
    return diag(counts) - column * column.T / fsum(counts)


def directions_of(row: Record) -> list[dict[str, mpf]]:
    """The outputs of each direction by name."""
    columns = (values(row[key]) for key in DIRECTION)
    return [dict(zip(DIRECTION, numbers, strict=True)) for numbers in zip(*columns, strict=True)]


def check_problem(row: Record) -> None:
    """The minimum by direct search in each direction, and the objective at explicitly built factors."""
    depth, counts = int(row["depth"]), inputs_as_integers(row["counts"])
    decays, feature_decay = inputs(row["decays"]), exact_input(row["feature_decay"])
    bias_decay = exact_input(row["bias_decay"]) if row["bias_decay"] else mpf(0)
    assert depth == len(decays)
    total = fsum(counts)
    product = fprod(decays) * feature_decay
    weight = power(product, mpf(1) / (depth + 1))
    directions = directions_of(row)
    found = mpf(0)
    for index, direction in enumerate(directions):
        shared = row["bias"] == "regularized" and index == len(directions) - 1
        if shared:
            z, value = biased_minimum(int(counts[0]), len(counts), bias_decay, weight, depth)
        else:
            z, value = plain_minimum(direction["target_squared"], total, weight, depth)
        found += direction["multiplicity"] * value
        check_direction(direction, z, product, decays, feature_decay)
        if not shared:
            assert_close(direction["ratio"] * direction["target_squared"], mpf(row["a"]))
    assert_close(mpf(row["loss"]), found, 10 * ROUNDED)
    check_inverses(row, directions[:-1] if row["bias"] == "regularized" else directions, total, weight)
    check_classes(row, directions, counts, decays, feature_decay, bias_decay)


def inputs_as_integers(field: str) -> list[mpf]:
    """Counts."""
    return [mpf(int(word)) for word in field.split()]


def check_direction(direction: dict[str, mpf], z: mpf, product: mpf, decays: Sequence[mpf], feature_decay: mpf) -> None:
    """z is the product of the singular values sqrt(t/lambda) of all factors, so t = (z^2 P)^(1/(M+1))."""
    depth = len(decays)
    if z == 0:
        assert all(direction[key] == 0 for key in DIRECTION[3:])
        return
    energy = power(z * z * product, mpf(1) / (depth + 1))
    share = direction["fitted_share"]
    # The target and the ratio are rounded; near the continuous threshold of M = 1 a small share amplifies that.
    tolerance = POSITION / share
    b, x = depth * direction["ratio"], direction["x"]
    assert_rising(lambda y: derivative(depth, b, y), x, 2 * ROUNDED / share)
    assert_close(direction["energy"], energy, tolerance)
    assert_close(share, z / sqrt(direction["target_squared"]), tolerance)
    assert_close(direction["s"], sqrt(energy / decays[0]), tolerance)
    assert_close(direction["classifier_squared"], energy / decays[-1], tolerance)
    assert_close(direction["features_squared"], energy / feature_decay, tolerance)


def check_inverses(row: Record, directions: Sequence[dict[str, mpf]], total: mpf, weight: mpf) -> None:
    """A direction lives just inside its limit and is zero just outside."""
    depth, step = int(row["depth"]), mpf("1e-32")
    surviving, factor = mpf(row["smallest_surviving"]), mpf(row["largest_factor"])
    smallest = min(direction["target_squared"] for direction in directions)
    assert plain_minimum(surviving * (1 + step), total, weight, depth)[0] > 0
    assert plain_minimum(surviving * (1 - step), total, weight, depth)[0] == 0
    assert plain_minimum(smallest, total, weight * factor * (1 - step), depth)[0] > 0
    assert plain_minimum(smallest, total, weight * factor * (1 + step), depth)[0] == 0


def left_vectors(row: Record, counts: Sequence[mpf]) -> Iterator[tuple[int, matrix]]:
    """The left singular vectors of the target, each with the index of its direction."""
    classes = len(counts)
    if row["bias"] == "none":
        for k in range(classes):
            yield k, eye(classes)[:, k]
        return
    eigenvalues, vectors = mp.eigsy(centred_matrix(counts))
    squared = values(row["target_squared"])
    if row["bias"] == "regularized":
        yield len(squared) - 1, matrix([1 / sqrt(mpf(classes))] * classes)
        squared = squared[:-1]
    for k in range(1, classes):
        index = min(range(len(squared)), key=lambda i: abs(squared[i] - eigenvalues[k]))
        assert_close(squared[index], eigenvalues[k])
        yield index, vectors[:, k]


def check_classes(
    row: Record,
    directions: Sequence[dict[str, mpf]],
    counts: Sequence[mpf],
    decays: Sequence[mpf],
    feature_decay: mpf,
    bias_decay: mpf,
) -> None:
    """Build W_M, W_M...W_1 and the class means in the singular basis; norms and objective must match."""
    classes, total = len(counts), fsum(counts)
    bias = matrix(values(row["bias_vector"]) or [0] * classes)
    classifier, output, means = (matrix(classes) for _ in range(3))
    penalty = bias_decay / 2 * fsum(value**2 for value in bias)
    for position, (index, u) in enumerate(left_vectors(row, counts)):
        energy, sigma = directions[index]["energy"], sqrt(directions[index]["target_squared"])
        # Right singular vector, class by class and per sample: v_k = (T^T u)_k / sigma.
        mean = fsum(n * value for n, value in zip(counts, u, strict=True)) / total
        offset = mean if row["bias"] == "unregularized" else 0
        right = [(value - offset) / sigma for value in u]
        classifier[:, position] = u * sqrt(energy / decays[-1])
        for k in range(classes):
            means[position, k] = sqrt(energy / feature_decay) * right[k]
        gain = fprod(sqrt(energy / decay) for decay in decays)
        output += u * gain * means[position, :]
        penalty += mpf(len(decays)) / 2 * energy
        penalty += feature_decay / 2 * fsum(n * value**2 for n, value in zip(counts, means[position, :], strict=True))
    norms, mean_norms = values(row["classifier_norms_squared"]), values(row["mean_norms_squared"])
    residual = mpf(0)
    for k in range(classes):
        assert_close_beside(norms[k], fsum(value**2 for value in classifier[k, :]), max(norms))
        assert_close_beside(mean_norms[k], fsum(value**2 for value in means[:, k]), max(mean_norms))
        if row["bias"] != "none":
            # The derivative in the bias: mean of label minus output, against (1 + lambda_b) times the bias.
            wanted = counts[k] - fsum(n * value for n, value in zip(counts, output[k, :], strict=True))
            assert abs(bias[k] * (1 + bias_decay) * total - wanted) <= POSITION * counts[k]
        residual += counts[k] * fsum((output[i, k] + bias[i] - (i == k)) ** 2 for i in range(classes))
    assert_close(residual / (2 * total) + penalty, mpf(row["loss"]), POSITION)


def check_problems() -> None:
    """Every problem; then count the regimes."""
    regimes: Counter[tuple[str, str]] = Counter()
    for row in records("problems.csv"):
        check_problem(row)
        energies = values(row["energy"])
        alive = sum(energy > 0 for energy in energies)
        regimes[row["bias"], "all" if alive == len(energies) else "some" if alive else "none"] += 1
    print("problems by bias and living directions:", dict(sorted(regimes.items())))


def check_secular() -> None:
    """Trace, sum of squares and product of the whole spectrum; dense eigenvalues unless there are too many."""
    for row in records("secular.csv"):
        sizes, multiplicities = inputs_as_integers(row["sizes"]), inputs_as_integers(row["multiplicities"])
        found = values(row["eigenvalues"])
        total = fsum(n * m for n, m in zip(sizes, multiplicities, strict=True))
        check_invariants(sizes, multiplicities, found, total)
        gaps = zip(values(row["above_smaller_size"]), values(row["below_larger_size"]), strict=True)
        for index, (above, below) in enumerate(gaps):
            assert_close(sizes[index] + above, found[index])
            assert abs(sizes[index + 1] - below - found[index]) <= ROUNDED * sizes[index + 1]
            assert_close(above + below, sizes[index + 1] - sizes[index])
        if len(sizes) <= 50:
            check_dense(sizes, multiplicities, row, total)


def check_invariants(sizes: Sequence[mpf], multiplicities: Sequence[mpf], found: Sequence[mpf], total: mpf) -> None:
    """Symmetric functions of diag(n) - n n^T / N; its nonzero eigenvalues have the product K prod(n) / N."""
    groups = list(zip(sizes, multiplicities, strict=True))
    first, second, third = (fsum(m * n**exponent for n, m in groups) for exponent in (1, 2, 3))
    assert first == total
    repeated, repeated_squares = (fsum((m - 1) * n**exponent for n, m in groups) for exponent in (1, 2))
    assert_close(fsum(found) + repeated, first - second / total)
    squares = second - 2 * third / total + (second / total) ** 2
    assert_close(fsum(mu**2 for mu in found) + repeated_squares, squares)
    assert_close(fprod(found) * total, fsum(multiplicities) * fprod(sizes), len(sizes) * ROUNDED)


def check_dense(sizes: Sequence[mpf], multiplicities: Sequence[mpf], row: Record, total: mpf) -> None:
    """Vectors that are constant on each group reduce the matrix to one row for each group."""
    vector = matrix([n * sqrt(m) for n, m in zip(sizes, multiplicities, strict=True)])
    eigenvalues = sorted(mp.eigsy(diag(sizes) - vector * vector.T / total, eigvals_only=True))
    for index, mu in enumerate(values(row["eigenvalues"])):
        assert_close(mu, eigenvalues[index + 1])
        assert_close(mpf(row["above_smaller_size"].split()[index]), eigenvalues[index + 1] - sizes[index])
        assert_close(mpf(row["below_larger_size"].split()[index]), sizes[index + 1] - eigenvalues[index + 1])


def check_critical_ratio() -> None:
    """With N as if counts were real, the minority lives just below the critical total and is zero above."""
    for row in records("critical_ratio.csv"):
        depth, samples = int(row["depth"]), mpf(int(row["minority_samples"]))
        majority, minority = int(row["majority_classes"]), int(row["minority_classes"])
        total, ratio = mpf(row["critical_total"]), mpf(row["critical_ratio"])
        assert abs(samples * (majority * ratio + minority) - total) <= ROUNDED * (total + samples * minority)
        product = fprod(inputs(row["decays"])) * exact_input(row["feature_decay"])
        weight = power(product, mpf(1) / (depth + 1))
        assert plain_minimum(samples, total * (1 - mpf("1e-32")), weight, depth)[0] > 0
        assert plain_minimum(samples, total * (1 + mpf("1e-32")), weight, depth)[0] == 0


if __name__ == "__main__":
    for check in (
        check_thresholds,
        check_minimizer,
        check_stationary,
        check_single,
        check_problems,
        check_secular,
        check_critical_ratio,
    ):
        check()
        print(check.__name__, "passed", flush=True)
    # They import from here, so that they come last.
    import check_cross_entropy
    import check_losses

    check_cross_entropy.main()
    check_losses.main()
