"""Tables of other losses with a closed form: non-negative features, label smoothing and several tags per sample.

Condition numbers are |d ln(size) / d ln(strength)| by differences far below the digits that are written.
"""

import random
from collections.abc import Callable, Iterator

from mpmath import binomial, exp, findroot, fsum, log, log1p, mp, mpf, power, sqrt

from closed_forms import bracketed_root, certify_root
from decimals import Row, digits, digits_of, listed, log_uniform, nearest, short

STEP = mpf(10) ** -25


def condition(size: Callable[[mpf], mpf], strength: mpf) -> mpf:
    """How many times a relative error of the strength is one of the size; 0 for a size of 0."""
    ahead, behind = size(strength * (1 + STEP)), size(strength * (1 - STEP))
    if ahead == 0 or behind == 0:
        return mpf(0)
    return abs(log(ahead) - log(behind)) / (2 * STEP)


# Features that are not negative


def margin(classes: int, strength: mpf, smoothing: mpf) -> mpf:
    """alpha = ln(1/(u + delta/K) - K + 1), or 0."""
    missing = strength + smoothing / classes
    return log(1 / missing - classes + 1) if missing * classes < 1 else mpf(0)


def nonnegative_rows() -> Iterator[Row]:
    generator = random.Random("non-negative features")
    for index in range(60):
        classes = generator.randint(2, 8)
        sizes = [int(log_uniform(generator, 1, 10**5)) for _ in range(classes)]
        weights = [1.0] * classes
        if index % 2:
            weights = [short(log_uniform(generator, mpf("0.05"), 20)) for _ in range(classes)]
        smoothing = short(mpf(generator.random()) / 2) if index % 3 == 0 else 0.0
        root = mpf(10) ** generator.uniform(-6, 0) * sqrt(sizes[0]) / sum(sizes)
        ratio = log_uniform(generator, mpf(10) ** -6, mpf(10) ** 6)
        decays = (nearest(root * sqrt(ratio)), nearest(root / sqrt(ratio)))
        samples, delta = sum(sizes), mpf(smoothing)
        price = sqrt(mpf(decays[0]) * mpf(decays[1]))
        margins, conditions, terms = [], [], []
        for size, weight in zip(sizes, weights, strict=True):
            u = samples * price / (mpf(weight) * sqrt(mpf(size) * classes * (classes - 1)))
            alpha = margin(classes, u, delta)
            margins.append(alpha)
            # Errors of u and of delta/K.
            conditions.append(condition(lambda t: margin(classes, t, mpf(0)), u + delta / classes))
            fit = log1p((classes - 1) * exp(-alpha)) + delta * (classes - 1) * alpha / classes
            terms.append(mpf(weight) * size / samples * fit)
            terms.append(price * sqrt(mpf(size) * (classes - 1) / classes) * alpha)
        yield [
            listed(sizes),
            listed(map(repr, weights)),
            repr(smoothing),
            *map(repr, decays),
            digits_of(margins),
            digits_of(conditions),
            digits(fsum(terms)),
        ]


# Label smoothing on balanced classes


def smoothed_margin(classes: int, depth: int, strength: mpf, smoothing: mpf) -> mpf:
    """The larger root of 1/(e^a + K - 1) = delta/K + u a^(-(M-1)/(M+1))."""
    rate = mpf(depth - 1) / (depth + 1)

    def excess(alpha: mpf) -> mpf:
        return smoothing / classes + strength * power(alpha, -rate) - 1 / (exp(alpha) + classes - 1)

    # Without the penalty alpha is this, and with it less; the difference changes its sign once between a place where the
    # loss falls and there.
    high = log(classes / smoothing - classes + 1)
    low = high
    while excess(low) >= 0:
        low *= mpf("0.98")
        if low < high / 100:
            raise ValueError("no simplex ETF at this strength")
    return certify_root(excess, low + bracketed_root(lambda x: excess(low + x), high - low))


def smoothing_rows() -> Iterator[Row]:
    generator = random.Random("label smoothing")
    for classes in (2, 3, 6, 10, 100, 1000):
        for depth in (1, 2, 3, 6, 17):
            for smoothing in (short(mpf(10) ** generator.uniform(-8, -2)), 0.1, 0.3):
                strength = nearest(mpf(10) ** generator.uniform(-8, -3) / classes)
                u, delta = mpf(strength), mpf(smoothing)
                alpha = smoothed_margin(classes, depth, u, delta)
                # Errors of both terms of the right-hand side, as if of one factor.
                grown = condition(lambda t: smoothed_margin(classes, depth, u * t, delta * t), mpf(1))
                fit = log1p((classes - 1) * exp(-alpha)) + delta * (classes - 1) * alpha / classes
                penalty = mpf(depth + 1) / 2 * (classes - 1) * u * power(alpha, mpf(2) / (depth + 1))
                numbers = (alpha, grown, fit + penalty)
                yield [str(classes), str(depth), repr(strength), repr(smoothing), *map(digits, numbers)]


# Several tags per sample


def tag_size(classes: int, tags: int, level: mpf) -> mpf:
    """a with a (m e^a + K - m) = level, by Newton's steps from above: the left side is convex and increasing."""
    a = log1p(level)
    for _ in range(200):
        grown = tags * exp(a)
        step = (a * (grown + classes - tags) - level) / (grown * (1 + a) + classes - tags)
        a -= step
        if abs(step) < mpf(10) ** (8 - mp.dps) * a:
            return a
    raise ArithmeticError("Newton's method did not end")


def size_norm(classes: int, sets: list[tuple[int, int]], sizes: list[mpf]) -> mpf:
    """s with s^2 = sum n_m binom(K-2, m-1) alpha_m^2."""
    pairs = zip(sets, sizes, strict=True)
    return sqrt(fsum(n * binomial(classes - 2, m - 1) * a**2 for (m, n), a in pairs))


def price_of(classes: int, sets: list[tuple[int, int]], level: mpf) -> mpf:
    """The price at which alpha_m (m e^alpha_m + K - m) = s K/(N price) is this level."""
    samples = fsum(n * binomial(classes, m) for m, n in sets)
    sizes = [tag_size(classes, m, level) for m, _ in sets]
    return size_norm(classes, sets, sizes) * classes / (samples * level)


def tag_sizes(classes: int, sets: list[tuple[int, int]], price: mpf, near: mpf) -> list[mpf]:
    """alpha_m of every number of tags, for a price whose level is near to a known one."""

    def excess(logarithm: mpf) -> mpf:
        return log(price_of(classes, sets, exp(logarithm)) / price)

    start = log(near)
    logarithm = findroot(excess, (start, start + STEP), solver="secant", tol=mpf(10) ** (30 - 2 * mp.dps))
    return [tag_size(classes, m, exp(logarithm)) for m, _ in sets]


def multi_label_rows() -> Iterator[Row]:
    generator = random.Random("several tags")
    for _ in range(25):
        classes = generator.randint(3, 20)
        tags = sorted(generator.sample(range(1, min(classes, 5)), generator.randint(1, min(classes, 5) - 1)))
        sets = [(m, int(log_uniform(generator, 1, 1000))) for m in tags]
        samples = fsum(n * binomial(classes, m) for m, n in sets)
        level = log_uniform(generator, mpf(1), mpf(10) ** 12)
        root = price_of(classes, sets, level)
        ratio = log_uniform(generator, mpf(10) ** -6, mpf(10) ** 6)
        decays = (nearest(root * sqrt(ratio)), nearest(root / sqrt(ratio)))
        price = sqrt(mpf(decays[0]) * mpf(decays[1]))
        sizes = tag_sizes(classes, sets, price, level)
        conditions = [
            condition(lambda t, i=index: tag_sizes(classes, sets, price * t, level)[i], mpf(1))
            for index in range(len(sets))
        ]
        pairs = list(zip(sets, sizes, strict=True))
        norm = size_norm(classes, sets, sizes)
        fits = [n * binomial(classes, m) / samples * m * log(m + (classes - m) * exp(-a)) for (m, n), a in pairs]
        yield [
            str(classes),
            listed(m for m, _ in sets),
            listed(n for _, n in sets),
            *map(repr, decays),
            digits_of(sizes),
            digits_of(conditions),
            digits(fsum(fits) + price * (classes - 1) * norm),
        ]
