"""Check the tables of cross-entropy as it is trained by other means than those that made them.

Run by `check.py`. Losses are computed from the logits of whole samples, minima found by golden-section search or
shown by gradients that vanish, largest eigenvalues by which shifted matrices have a Cholesky factor.
"""

from collections.abc import Callable, Sequence
from itertools import combinations

from mpmath import binomial, exp, eye, fsum, log, matrix, mp, mpf, power, sqrt

from check import NOISE, POSITION, ROUNDED, Record, assert_close, exact_input, golden_minimum, inputs, records, values
from check_cross_entropy import penalty

# Small beside every quantity, and large beside the errors of a difference quotient.
STEP = mpf("1e-40")
# So far from a threshold, relatively, the side must be the right one.
SIDE = mpf("1e-30")
# Sums of the exponentials of all other logits, beside which two classes are compared.
OTHERS = (mpf(0), mpf("0.7"), mpf(40))
# Up to so many tags, all samples are written down.
WRITTEN_OUT = 8


def loss_of(logits: Sequence[mpf], label: Sequence[mpf]) -> mpf:
    """Cross-entropy."""
    expected = fsum(y * z for y, z in zip(label, logits, strict=True))
    return log(fsum(exp(z) for z in logits)) - expected


def probabilities(logits: Sequence[mpf]) -> list[mpf]:
    """The softmax."""
    total = fsum(exp(z) for z in logits)
    return [exp(z) / total for z in logits]


def smoothed(classes: int, own: int, smoothing: mpf) -> list[mpf]:
    """The smoothed label of a class."""
    return [smoothing / classes + (1 - smoothing if index == own else 0) for index in range(classes)]


def centered(classes: int, own: int, size: mpf) -> list[mpf]:
    """Logits `size` times an axis less its mean."""
    return [size * ((index == own) - mpf(1) / classes) for index in range(classes)]


class Problem:
    """The inputs of a row with classes."""

    def __init__(self, row: Record) -> None:
        self.sizes = inputs(row["sizes"].replace(" ", ".0 ") + ".0")
        self.weights = inputs(row["weights"])
        self.smoothing = exact_input(row["smoothing"])
        self.decays = (exact_input(row["weight_decay"]), exact_input(row["feature_decay"]))
        self.classes = len(self.sizes)
        total = fsum(self.sizes)
        self.shares = [n * weight / total for n, weight in zip(self.sizes, self.weights, strict=True)]
        self.price = sqrt(self.decays[0] * self.decays[1])


def check_convex() -> None:
    """Two classes of one size tried at all distances; curvature at zero."""
    for row in records("convex.csv"):
        problem = Problem(row)
        for own, (count, gap) in enumerate(zip(values(row["merging_counts"]), values(row["gaps"]), strict=True)):
            check_siblings(problem, own, count, gap)
        uniform = [mpf(1) / problem.classes] * problem.classes
        check_collapse(problem, uniform, mpf(row["critical"]))
        total = fsum(problem.shares)
        labels = [smoothed(problem.classes, own, problem.smoothing) for own in range(problem.classes)]
        common = [
            fsum(share * label[index] for share, label in zip(problem.shares, labels, strict=True)) / total
            for index in range(problem.classes)
        ]
        check_collapse(problem, common, mpf(row["critical_free_bias"]))


def siblings(problem: Problem, own: int, size: mpf, others: mpf) -> Callable[[mpf], mpf]:
    """What two classes of `size` samples with logits at +q/2 and -q/2 cost, the others being as they are."""
    total = fsum(problem.sizes)
    share = problem.weights[own] * size / total

    def cost(q: mpf) -> mpf:
        # Both entries of a smoothed label beside the others: q/2 times their difference.
        fit = log(exp(q / 2) + exp(-q / 2) + others) - (1 - problem.smoothing) * q / 2
        return 2 * share * fit + problem.price * sqrt(size) * q

    return cost


def check_siblings(problem: Problem, own: int, count: mpf, gap: mpf) -> None:
    """The difference of their probabilities is the same beside any others; they merge from `count` samples down."""
    for others in OTHERS:
        q = golden_minimum(siblings(problem, own, problem.sizes[own], others), mpf(0), mpf(400))[0]
        total = exp(q / 2) + exp(-q / 2) + others
        assert abs((exp(q / 2) - exp(-q / 2)) / total - gap) <= POSITION, (problem.sizes, own)

        def slope(size: mpf, others: mpf = others) -> mpf:
            cost = siblings(problem, own, size, others)
            return (cost(STEP) - cost(mpf(0))) / STEP

        assert slope(count * (1 - SIDE)) > 0 > slope(count * (1 + SIDE))


def check_collapse(problem: Problem, common: list[mpf], critical: mpf) -> None:
    """At logits of zero and these probabilities the largest singular value of the gradient is the price."""
    classes = problem.classes
    gradient = matrix(classes, classes)
    for own in range(classes):
        label = smoothed(classes, own, problem.smoothing)
        for index in range(classes):
            slope = problem.shares[own] * (common[index] - label[index])
            gradient[index, own] = slope / sqrt(problem.sizes[own])
    square = gradient.T * gradient
    assert has_factor(critical * (1 + SIDE) * eye(classes) - square)
    assert not has_factor(critical * (1 - SIDE) * eye(classes) - square)


def has_factor(square: matrix) -> bool:
    """Whether a symmetric matrix is positive definite."""
    try:
        mp.cholesky(square)
    except ValueError:
        return False
    return True


def check_nonnegative() -> None:
    """Each margin minimizes its share of the loss; matrices with these margins are stationary and attain the loss."""
    for row in records("nonnegative.csv"):
        problem, margins = Problem(row), values(row["margins"])
        for own, (margin, condition) in enumerate(zip(margins, values(row["conditions"]), strict=True)):
            label = smoothed(problem.classes, own, problem.smoothing)
            # The least penalty of v h with v of length 1 times the margin.
            axis = sqrt(fsum(z**2 for z in centered(problem.classes, own, mpf(1))))

            def cost(alpha: mpf, own: int = own, label: list[mpf] = label, axis: mpf = axis) -> mpf:
                fit = loss_of(centered(problem.classes, own, alpha), label)
                return problem.shares[own] * fit + problem.price * sqrt(problem.sizes[own]) * axis * alpha

            alpha = golden_minimum(cost, mpf(0), mpf(400))[0]
            assert abs(alpha - margin) <= POSITION * max(margin, mpf(1))
            # 1/t = e^alpha + K - 1, so that d alpha / d ln t = -(e^alpha + K - 1)/e^alpha.
            rate = (exp(margin) + problem.classes - 1) / (exp(margin) * margin) if margin > 0 else mpf(0)
            assert_close(rate, condition, POSITION)
        check_stationary_factors(problem, margins, mpf(row["loss"]))


def check_stationary_factors(problem: Problem, margins: list[mpf], loss: mpf) -> None:
    """Features along the axes: the gradient in W is zero; that in H too where they are positive, else not negative."""
    classes, (weight_decay, feature_decay) = problem.classes, problem.decays
    classifier, features = matrix(classes, classes), [mpf(0)] * classes
    for own, margin in enumerate(margins):
        logits = centered(classes, own, margin)
        norm = sqrt(fsum(z**2 for z in logits))
        # lambda_W |v|^2 = lambda_H n |h|^2 with |v| |h| = norm.
        features[own] = sqrt(norm * sqrt(weight_decay / (feature_decay * problem.sizes[own])))
        for index in range(classes):
            classifier[index, own] = logits[index] / features[own] if margin > 0 else mpf(0)
    fit, pulls = mpf(0), matrix(classes, classes)
    for own in range(classes):
        label = smoothed(classes, own, problem.smoothing)
        logits = [classifier[index, own] * features[own] for index in range(classes)]
        fit += problem.shares[own] * loss_of(logits, label)
        for index, probability in enumerate(probabilities(logits)):
            pulls[index, own] = problem.shares[own] * (probability - label[index])
    largest = max(abs(entry) for entry in classifier)
    for index in range(classes):
        for own in range(classes):
            slope = pulls[index, own] * features[own] + weight_decay * classifier[index, own]
            assert abs(slope) <= POSITION * problem.shares[own] * features[own]
            upon = fsum(classifier[row, index] * pulls[row, own] for row in range(classes))
            if index == own:
                upon += feature_decay * problem.sizes[own] * features[own]
                assert abs(upon) <= POSITION * problem.shares[own] * largest
            else:
                assert upon >= 0 or abs(upon) <= NOISE * problem.shares[own] * largest
    norms = weight_decay * fsum(entry**2 for entry in classifier)
    norms += feature_decay * fsum(n * h**2 for n, h in zip(problem.sizes, features, strict=True))
    assert_close(fit + norms / 2, loss, POSITION)


def check_smoothing() -> None:
    """The loss of a simplex ETF, from the logits of a sample, has a local minimum there."""
    for row in records("smoothing.csv"):
        classes, depth = int(row["classes"]), int(row["depth"])
        strength, smoothing = exact_input(row["strength"]), exact_input(row["smoothing"])
        alpha = mpf(row["alpha"])

        def objective(a: mpf, data: tuple[int, int, mpf, mpf] = (classes, depth, strength, smoothing)) -> mpf:
            k, layers, u, delta = data
            own, other = a * (1 - mpf(1) / k), -a / k
            fit = log(exp(own) + (k - 1) * exp(other)) - (1 - delta + delta / k) * own - delta * (k - 1) / k * other
            return fit + penalty(layers, u, [(k - 1, a)])

        step = mpf("1e-25")
        assert objective(alpha * (1 - step)) > objective(alpha) < objective(alpha * (1 + step))
        assert_close(objective(alpha), mpf(row["loss"]))
        # Larger sizes are worse: it is the outermost minimum.
        far = [objective(alpha * (1 + mpf(part) / 20)) for part in range(40)]
        assert far == sorted(far)
        # Both sides of the stationarity condition, differentiated.
        rate = mpf(depth - 1) / (depth + 1)
        pull = strength * power(alpha, -rate)
        right = smoothing / classes + pull
        slope = alpha * exp(alpha) * right**2 - rate * pull
        assert_close(right / abs(slope), mpf(row["condition"]), POSITION)


def check_multi_label() -> None:
    """The loss as a function of all sizes is convex, and its derivatives vanish there."""
    for row in records("multi_label.csv"):
        classes, sizes = int(row["classes"]), values(row["sizes"])
        sets = [(int(m), int(n)) for m, n in zip(row["tags"].split(), row["samples"].split(), strict=True)]
        price = sqrt(exact_input(row["weight_decay"]) * exact_input(row["feature_decay"]))

        def objective(at: Sequence[mpf], data: tuple[int, list[tuple[int, int]], mpf] = (classes, sets, price)) -> mpf:
            k, groups, kappa = data
            total = fsum(n * binomial(k, m) for m, n in groups)
            fit = mpf(0)
            for (m, n), alpha in zip(groups, at, strict=True):
                logits = [alpha * ((index < m) - mpf(m) / k) for index in range(k)]
                fit += n * binomial(k, m) / total * m * loss_of(logits, [mpf(index < m) / m for index in range(k)])
            return fit + kappa * nuclear_norm(k, groups, at)

        loss = objective(sizes)
        assert_close(loss, mpf(row["loss"]))
        for index in range(len(sizes)):
            ahead, behind = list(sizes), list(sizes)
            ahead[index] += STEP
            behind[index] -= STEP
            middle = objective(ahead) + objective(behind) - 2 * loss
            # A derivative of so much would move the size by 1e-30 of itself.
            assert abs(objective(ahead) - objective(behind)) <= 2 * middle * sizes[index] * POSITION / STEP, row
        if classes <= WRITTEN_OUT:
            assert_close(written_out(classes, sets, sizes), nuclear_norm(classes, sets, sizes), POSITION)
        check_conditions(classes, sets, sizes, values(row["conditions"]))


def nuclear_norm(classes: int, sets: list[tuple[int, int]], sizes: Sequence[mpf]) -> mpf:
    """Of the logits of all samples: with A_m = sum over sets of (1_S - m/K)(1_S - m/K)^T = a_m C, by its trace."""
    pairs = zip(sets, sizes, strict=True)
    # ||1_S - m/K||^2 = m(K - m)/K.
    traces = [n * binomial(classes, m) * m * mpf(classes - m) / classes * alpha**2 for (m, n), alpha in pairs]
    return sqrt((classes - 1) * fsum(traces))


def written_out(classes: int, sets: list[tuple[int, int]], sizes: Sequence[mpf]) -> mpf:
    """The same, with a column for every set of tags."""
    square = matrix(classes, classes)
    for (m, n), alpha in zip(sets, sizes, strict=True):
        for chosen in combinations(range(classes), m):
            column = matrix([sqrt(mpf(n)) * alpha * ((index in chosen) - mpf(m) / classes) for index in range(classes)])
            square += column * column.T
    return fsum(sqrt(max(value, mpf(0))) for value in mp.eigsy(square, eigvals_only=True))


def check_conditions(classes: int, sets: list[tuple[int, int]], sizes: list[mpf], conditions: list[mpf]) -> None:
    """By a system of linear equations for the derivatives: the second ones of the loss, and that in ln(price)."""
    count = len(sizes)
    total = fsum(n * binomial(classes, m) for m, n in sets)
    norm = nuclear_norm(classes, sets, sizes)
    squares = [(classes - 1) * n * binomial(classes, m) * m * mpf(classes - m) / classes for m, n in sets]
    # d norm / d alpha_i = squares_i alpha_i / norm. The price follows from any one equation of stationarity.
    slopes = [square * alpha / norm for square, alpha in zip(squares, sizes, strict=True)]
    hessian, fits = matrix(count, count), []
    for i, ((m, n), alpha) in enumerate(zip(sets, sizes, strict=True)):
        share = n * binomial(classes, m) / total * m
        # p_own, one of m; the derivative of the loss is m (p_own - 1/m).
        own = 1 / (m + (classes - m) * exp(-alpha))
        fits.append(share * (m * own - 1))
        hessian[i, i] = share * m * own * (1 - m * own)
    price = -fits[0] / slopes[0]
    for i in range(count):
        assert_close(-fits[i], price * slopes[i], POSITION)
        for j in range(count):
            curvature = (squares[i] if i == j else 0) / norm - slopes[i] * slopes[j] / norm
            hessian[i, j] += price * curvature
    moves = mp.lu_solve(hessian, matrix([price * slope for slope in slopes]))
    for move, alpha, condition in zip(moves, sizes, conditions, strict=True):
        assert_close(abs(move) / alpha, condition, POSITION)


def main() -> None:
    """All tables of these losses."""
    for check in (check_convex, check_nonnegative, check_smoothing, check_multi_label):
        check()
        print(check.__name__, "passed", flush=True)
