"""Check the tables of the cross-entropy loss by other means than those that made them.

Run by `check.py`. Thresholds are maxima found by golden-section search, logits are built class by class, and
penalties come from their singular values, found numerically.
"""

from collections.abc import Callable
from itertools import product

from mpmath import cos, exp, fprod, fsum, log, log1p, matrix, mp, mpf, pi, power, sqrt

from check import POSITION, ROUNDED, assert_close, exact_input, golden_minimum, inputs, records

# Of difference quotients: squared it is far below the digits of a table, and second differences keep as many.
STEP = mpf("1e-30")


def simplex_objective(classes: int, depth: int, strength: mpf, alpha: mpf) -> mpf:
    """The loss of a simplex ETF: K - 1 equal singular values, K - 1 equal wrong logits."""
    return log1p((classes - 1) / exp(alpha)) + penalty(depth, strength, [(classes - 1, alpha)])


def penalty(depth: int, strength: mpf, values: list[tuple[int, mpf]]) -> mpf:
    """(M+1)/2 times the sum of u s^(2/(M+1)), s the singular values of the logits with multiplicities."""
    powers = fsum(count * power(value, mpf(2) / (depth + 1)) for count, value in values)
    return mpf(depth + 1) / 2 * strength * powers


def check_simplex_thresholds() -> None:
    """The threshold is the largest u with a loss of at most ln K, the fold the largest with a stationary point."""
    for row in records("simplex_thresholds.csv"):
        classes, depth = int(row["classes"]), int(row["depth"])
        threshold, fold, proved, tie = (mpf(row[key]) for key in ("threshold", "fold", "proved_collapse", "tie"))
        if depth == 1:
            assert (tie, threshold, fold) == (0, fold, fold)
            assert_close(threshold, mpf(1) / classes)
            continue

        def rate(u: mpf, classes: int = classes, depth: int = depth) -> mpf:
            gain = log(mpf(classes)) - log(1 + (classes - 1) / exp(exp(u)))
            return -gain / penalty(depth, mpf(1), [(classes - 1, exp(u))])

        u, value = golden_minimum(rate, log(mpf("0.1")), log(4 * log(mpf(classes) * (depth + 1)) + 10))
        assert_close(-value, threshold)
        assert_close(exp(u), tie, POSITION)

        def pull(u: mpf, classes: int = classes, depth: int = depth) -> mpf:
            return -exp(u * (depth - 1) / (depth + 1)) / (exp(exp(u)) + classes - 1)

        assert_close(-golden_minimum(pull, mpf(-5), log(log(mpf(classes)) + 3))[1], fold)
        # One singular value (K-1) alpha in place of K-1 of them: the loss at the tie is ln K again.
        alone = log(1 + (classes - 1) / exp(tie)) + penalty(depth, proved, [(1, (classes - 1) * tie)])
        assert_close(alone, log(mpf(classes)))


def check_simplex() -> None:
    """The loss falls and rises again to the right of its maximum; the fold is left of alpha."""
    for row in records("simplex.csv")[::3]:
        classes, depth, strength = int(row["classes"]), int(row["depth"]), exact_input(row["strength"])
        alpha, loss = mpf(row["alpha"]), mpf(row["loss"])

        def objective(a: mpf, data: tuple[int, int, mpf] = (classes, depth, strength)) -> mpf:
            return simplex_objective(*data, a)

        step = mpf("1e-25")
        assert objective(alpha * (1 - step)) > objective(alpha) < objective(alpha * (1 + step))
        assert_close(objective(alpha), loss)
        assert row["regime"] == ("positive" if objective(alpha) < log(mpf(classes)) else "zero"), row


def check_cross_entropy() -> None:
    """Build the logits of every class from factors with the claimed singular values."""
    for row in records("cross_entropy.csv"):
        depth, classes, samples = int(row["depth"]), int(row["classes"]), int(row["samples"])
        decays, feature_decay = inputs(row["decays"]), exact_input(row["feature_decay"])
        share = {"N": mpf(1), "2N": mpf(1) / 2}[row["loss_mean"]]
        energy, alpha = mpf(row["energy"]), mpf(row["alpha"])
        assert len(decays) == depth
        assert_close(mpf(row["strength"]), power(samples * fprod(decays) * feature_decay, mpf(1) / (depth + 1)) / share)
        squares = [energy / decay for decay in decays]
        for key, square in (("first_squared", squares[0]), ("last_squared", squares[-1])):
            assert_close(mpf(row[key]), square)
        assert_close(mpf(row["mean_squared"]), energy / (samples * feature_decay))
        assert_close(sqrt(fprod(squares) * mpf(row["mean_squared"])), alpha, depth * ROUNDED)

        def objective(stretch: mpf) -> mpf:
            """All factors stretched alike: layers by `squares`, N = n K features."""
            logit = alpha * power(stretch, depth + 1)
            own, other = logit * (1 - mpf(1) / classes), -logit / classes
            fit = share * (log(exp(own) + (classes - 1) * exp(other)) - own)
            norms = fsum(decay * square for decay, square in zip(decays, squares, strict=True))
            norms += feature_decay * samples * mpf(row["mean_squared"])
            return fit + (classes - 1) * norms * stretch**2 / 2

        assert_close(objective(mpf(1)), mpf(row["loss"]), depth * ROUNDED)
        step = mpf("1e-15")
        assert objective(1 - step) > objective(mpf(1)) < objective(1 + step)


def logits(name: str, classes: int) -> matrix:
    """The logits of a structure for size 1, with as many classes as there are."""
    if name == "simplex ETF":
        return matrix(classes, classes) + mp.eye(classes) - matrix([[mpf(1) / classes] * classes] * classes)
    if name.endswith("-gon"):
        return matrix([[cos(2 * pi * (i - j) / classes) for j in range(classes)] for i in range(classes)])
    result = matrix(classes, classes)
    for first in range(0, classes - 1, 2):
        for i in (0, 1):
            for j in (0, 1):
                result[first + i, first + j] = mpf(1 if i == j else -1) / 2
    return result


def structure_objective(name: str, classes: int, depth: int, strength: mpf) -> Callable[[mpf], mpf]:
    """The loss as a function of the logarithm of the size, from the logits of every class."""
    unit = logits(name, classes)
    squares = mp.eigsy(unit.T * unit, eigvals_only=True)
    values = [sqrt(square) for square in squares if square > mpf("1e-60")]

    def objective(u: mpf) -> mpf:
        size = exp(u)
        fits = [
            log(fsum(exp(size * unit[i, j]) for i in range(classes))) - size * unit[j, j] for j in range(classes)
        ]
        return fsum(fits) / classes + penalty(depth, strength, [(1, size * value) for value in values])

    return objective


def check_phases() -> None:
    """Two structures have the same least loss at a boundary, and the lower one changes there."""
    for row in records("phases.csv"):
        classes, depth, at = int(row["classes"]), int(row["depth"]), mpf(row["strength"])

        def least(name: str, strength: mpf, classes: int = classes, depth: int = depth) -> mpf:
            if name == "zero":
                return log(mpf(classes))
            return golden_minimum(structure_objective(name, classes, depth, strength), mpf(0), log(mpf(60)))[1]

        below, above = row["below"], row["above"]
        if "path" in (below, above):
            check_path(depth, at, least(below if above == "path" else above, at))
            continue
        assert_close(least(below, at), least(above, at), 10 * ROUNDED)
        assert least(below, at * (1 - mpf("1e-6"))) < least(above, at * (1 - mpf("1e-6")))
        assert least(below, at * (1 + mpf("1e-6"))) > least(above, at * (1 + mpf("1e-6")))


def check_path(depth: int, strength: mpf, level: mpf) -> None:
    """Four classes on one axis reach the level at a minimum of the loss over their places."""
    point = [mpf("0.99"), mpf("0.43"), mpf("0.40")] if depth == 2 else [mpf(depth) / 2, mpf("0.46"), mpf("0.37")]

    def objective(at: list[mpf]) -> mpf:
        size, output, mean = at
        classifier, means = (1, -1, -output, output), (1, -1, -mean, mean)
        logits = [[size * w * h for w in classifier] for h in means]
        fit = fsum(log(fsum(exp(z - column[k]) for z in column)) for k, column in enumerate(logits)) / 4
        norms = sqrt(fsum(w**2 for w in classifier) * fsum(h**2 for h in means))
        return fit + penalty(depth, strength, [(1, size * norms)])

    def difference(steps: list[tuple[int, mpf]]) -> mpf:
        """The sum of the values at the point moved by +- each step, with the product of the signs."""
        total = mpf(0)
        for signs in product((1, -1), repeat=len(steps)):
            at = list(point)
            for sign, (axis, step) in zip(signs, steps, strict=True):
                at[axis] += sign * step
            total += fprod(signs) * objective(at)
        return total

    # Newton's steps by differences, whose errors are those of the square of the step.
    for _ in range(12):
        slopes = matrix([difference([(i, STEP)]) / (2 * STEP) for i in range(3)])
        curvature = matrix(3, 3)
        for i in range(3):
            for j in range(3):
                curvature[i, j] = difference([(i, STEP), (j, STEP)]) / (4 * STEP**2)
        move = mp.lu_solve(curvature, slopes)
        point = [place - step for place, step in zip(point, move, strict=True)]
    assert max(abs(step) for step in move) < mpf("1e-25")
    # Every direction rises.
    mp.cholesky(curvature)
    assert_close(objective(point), level)


def main() -> None:
    """All checks."""
    for check in (check_simplex_thresholds, check_simplex, check_cross_entropy, check_phases):
        check()
        print(check.__name__, "passed", flush=True)


if __name__ == "__main__":
    main()
