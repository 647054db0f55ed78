"""Tables of the cross-entropy loss on balanced classes: simplex ETFs, whole problems and phase boundaries.

Logits alpha (I - 11^T/K) have, for K classes, M layers and the strength u = (n P)^(1/(M+1)) / c, the loss

    F(alpha) = ln(1 + (K-1) e^-alpha) + (M+1)/2 (K-1) u alpha^(2/(M+1)).

A structure with one size beta has a few kinds of classes, each with gaps to the wrong logits, and singular
values: F(beta) = sum_o w_o ln(1 + sum_t m_t e^(-g_t beta)) + (M+1)/2 u sum_i m_i (s_i beta)^(2/(M+1)).
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mpmath import cos, diff, exp, findroot, fprod, fsum, log, log1p, mp, mpf, pi, power, sqrt

import closed_forms as exact
from decimals import Row, around, decays_with_mean, digits, listed, nearest, stratified
from scalar_tables import distances

CLASSES = (2, 3, 4, 10, 100, 1000, 10**6)
DEPTHS = (1, 2, 3, 4, 6, 17, 150, 1000)


def exponent(depth: int) -> mpf:
    """The power of a singular value of the logits in the penalty."""
    return mpf(2) / (depth + 1)


def simplex_loss(classes: int, depth: int, strength: mpf, alpha: mpf) -> mpf:
    """F(alpha)."""
    penalty = mpf(depth + 1) / 2 * (classes - 1) * strength * power(alpha, exponent(depth))
    return log1p((classes - 1) * exp(-alpha)) + penalty


def stationary_strength(classes: int, depth: int, alpha: mpf) -> mpf:
    """The strength for which F is stationary at alpha."""
    return power(alpha, 1 - exponent(depth)) / (exp(alpha) + classes - 1)


def merger(classes: int, depth: int) -> mpf:
    """Where the stationary strength is largest, from its logarithmic derivative."""
    if depth == 1:
        return mpf(0)
    rate = 1 - exponent(depth)
    return exact.bracketed_root(lambda a: a - rate * (1 + (classes - 1) * exp(-a)), log(mpf(classes)) + 2)


def tie(classes: int, depth: int) -> mpf:
    """Where F is stationary and equals F(0) = ln K: the gain is (M+1)/2 times alpha times its slope."""
    if depth == 1:
        return mpf(0)

    def excess(alpha: mpf) -> mpf:
        gain = log(mpf(classes)) - log1p((classes - 1) * exp(-alpha))
        return gain * (exp(alpha) + classes - 1) - mpf(depth + 1) / 2 * (classes - 1) * alpha

    # Negative before the tie: at 0 the two sides agree to first order and the right one wins for M >= 2.
    return exact.certify_root(excess, exact.bracketed_root(excess, 2 * log(mpf(classes) * (depth + 1)) + 10))


def threshold(classes: int, depth: int) -> mpf:
    """The largest strength at which the simplex ETF is not worse than zero."""
    return mpf(1) / classes if depth == 1 else stationary_strength(classes, depth, tie(classes, depth))


def fold(classes: int, depth: int) -> mpf:
    """The largest strength with a local minimum at alpha > 0."""
    return mpf(1) / classes if depth == 1 else stationary_strength(classes, depth, merger(classes, depth))


def larger_root(classes: int, depth: int, strength: mpf) -> mpf:
    """The larger alpha at which F is stationary, for a strength below the fold."""
    if depth == 1:
        return log((1 - (classes - 1) * strength) / strength)
    start = merger(classes, depth)
    level = log(strength)

    def excess(distance: mpf) -> mpf:
        return level - log(stationary_strength(classes, depth, start + distance))

    width = 4 * (1 - level) + start
    return start + exact.certify_root(excess, exact.bracketed_root(excess, width))


def simplex_threshold_rows() -> Iterator[Row]:
    """One row for each number of classes and depth."""
    for classes in CLASSES:
        for depth in DEPTHS:
            theta = threshold(classes, depth)
            proved = theta * power(mpf(classes - 1), 1 - exponent(depth))
            values = (theta, fold(classes, depth), proved, tie(classes, depth))
            yield [str(classes), str(depth), *map(digits, values)]


def strengths(classes: int, depth: int) -> list[float]:
    """Strengths in the whole range, in the practical range, near the threshold and up to the fold."""
    generator = random.Random(f"simplex {classes} {depth}")
    theta, last = threshold(classes, depth), fold(classes, depth)
    inputs = set(stratified(generator, mpf("1e-300"), theta, 8))
    inputs.update(stratified(generator, mpf("1e-8"), theta, 8))
    for distance in list(distances())[::4]:
        inputs.update((nearest(theta * (1 - distance)), nearest(theta * (1 + distance))))
        inputs.add(nearest(last * (1 - distance)))
    inputs.update(around(nearest(theta), 2))
    return sorted(number for number in inputs if number < last * (1 - mpf("1e-14")) and number > 0)


def simplex_rows() -> Iterator[Row]:
    """The local minimum of F at alpha > 0 and its loss."""
    for classes in CLASSES:
        for depth in DEPTHS:
            theta = threshold(classes, depth)
            for number in strengths(classes, depth):
                strength = mpf(number)
                alpha = larger_root(classes, depth, strength)
                regime = "positive" if strength < theta else "zero"
                outputs = (alpha, simplex_loss(classes, depth, strength, alpha))
                yield [str(classes), str(depth), repr(number), regime, *map(digits, outputs)]


def cross_entropy_rows() -> Iterator[Row]:
    """Whole problems below the threshold, with either mean of the losses."""
    generator = random.Random("cross-entropy")
    for depth in (*(1, 2, 3, 4, 6, 9, 17) * 12, *(64, 150) * 4):
        classes, samples = generator.choice((2, 3, 4, 6, 10, 100)), int(generator.choice((1, 10, 600, 10**6)))
        half = generator.random() < 0.5
        factor = mpf(1) / 2 if half else mpf(1)
        level = log(threshold(classes, depth) * factor * power(mpf(10), -4 * mpf(generator.random()))) / log(mpf(10))
        mean = level - log(mpf(samples)) / log(mpf(10)) / (depth + 1)
        *decays, feature_decay = decays_with_mean(generator, depth + 1, mean)
        product = fprod(map(mpf, (*decays, feature_decay))) * samples
        strength = power(product, mpf(1) / (depth + 1)) / factor
        if strength >= threshold(classes, depth) * (1 - mpf("1e-6")):
            continue
        alpha = larger_root(classes, depth, strength)
        energy = factor * strength * power(alpha, exponent(depth))
        outputs = (
            *(strength, alpha, energy, factor * simplex_loss(classes, depth, strength, alpha)),
            *(energy / mpf(decays[0]), energy / mpf(decays[-1]), energy / (samples * mpf(feature_decay))),
        )
        inputs = (str(classes), str(samples), "2N" if half else "N", listed(decays), repr(feature_decay))
        yield [str(depth), *inputs, *map(digits, outputs)]


@dataclass(frozen=True)
class OneSize:
    """A structure with one size: the weight and the gaps of each kind of classes, and the singular values."""

    name: str
    kinds: tuple[tuple[mpf, tuple[tuple[int, mpf], ...]], ...]
    values: tuple[tuple[int, mpf], ...]

    def loss(self, depth: int, strength: mpf, size: mpf) -> mpf:
        """F."""
        fit = fsum(w * log1p(fsum(m * exp(-g * size) for m, g in wrong)) for w, wrong in self.kinds)
        powers = fsum(m * power(s * size, exponent(depth)) for m, s in self.values)
        return fit + mpf(depth + 1) / 2 * strength * powers

    def pull(self, size: mpf) -> mpf:
        """Minus the derivative of the cross-entropy."""
        shares = []
        for weight, wrong in self.kinds:
            total = 1 + fsum(m * exp(-g * size) for m, g in wrong)
            shares.append(weight * fsum(m * g * exp(-g * size) for m, g in wrong) / total)
        return fsum(shares)

    def minimum(self, depth: int, strength: mpf) -> mpf:
        """The least F at a positive size: the last sign change of its derivative on a fine grid."""
        powers = fsum(m * power(s, exponent(depth)) for m, s in self.values)

        def slope(size: mpf) -> mpf:
            return strength * powers * power(size, exponent(depth) - 1) - self.pull(size)

        grid = [power(mpf(10), mpf(step) / 20 - 1) for step in range(70)]
        crossings = [(a, b) for a, b in zip(grid, grid[1:]) if slope(a) < 0 <= slope(b)]
        low, high = crossings[-1]
        size = low + exact.bracketed_root(lambda gap: slope(low + gap), high - low)
        return self.loss(depth, strength, size)


def zero(classes: int) -> OneSize:
    """No size at all."""
    return OneSize("zero", ((mpf(1), ((classes - 1, mpf(0)),)),), ())


def simplex(classes: int) -> OneSize:
    """The simplex ETF."""
    return OneSize("simplex ETF", ((mpf(1), ((classes - 1, mpf(1)),)),), ((classes - 1, mpf(1)),))


def pairs(classes: int) -> OneSize:
    """Antipodal pairs: an orthoplex."""
    wrong = ((classes - 2, mpf(1) / 2), (1, mpf(1)))
    return OneSize(f"{classes // 2} × pair", ((mpf(1), wrong),), ((classes // 2, mpf(1)),))


def polygon(classes: int) -> OneSize:
    """A regular polygon."""
    wrong = tuple((1, 1 - cos(2 * pi * j / classes)) for j in range(1, classes))
    return OneSize(f"{classes}-gon", ((mpf(1), wrong),), ((2, mpf(classes) / 2),))


def pair_and_origin() -> OneSize:
    """Three classes, without a bias."""
    outer = ((1, mpf(1) / 2), (1, mpf(1)))
    return OneSize("pair ⊕ origin", ((mpf(2) / 3, outer), (mpf(1) / 3, ((2, mpf(0)),))), ((1, mpf(1)),))


def boundaries() -> list[tuple[int, int, Callable[[], OneSize], Callable[[], OneSize], str, str]]:
    """Classes, depth, the structures below and above a boundary, and strengths around it."""
    return [
        (3, 2, lambda: simplex(3), pair_and_origin, "0.17", "0.18"),
        (3, 2, pair_and_origin, lambda: zero(3), "0.19", "0.2"),
        (3, 3, lambda: simplex(3), pair_and_origin, "0.13", "0.135"),
        (4, 2, lambda: simplex(4), lambda: pairs(4), "0.011", "0.0125"),
        (5, 2, lambda: polygon(5), lambda: zero(5), "0.135", "0.142"),
        (6, 2, lambda: pairs(6), lambda: polygon(6), "0.11", "0.114"),
        (6, 2, lambda: polygon(6), lambda: zero(6), "0.12", "0.126"),
    ]


def phase_rows() -> Iterator[Row]:
    """Where two structures have the same loss."""
    for classes, depth, make_below, make_above, low, high in boundaries():
        below, above = make_below(), make_above()

        def loss(structure: OneSize, strength: mpf, depth: int = depth, classes: int = classes) -> mpf:
            return structure.minimum(depth, strength) if structure.values else log(mpf(classes))

        def excess(gap: mpf, low: str = low, pair: tuple[OneSize, OneSize] = (below, above)) -> mpf:
            return loss(pair[0], mpf(low) + gap) - loss(pair[1], mpf(low) + gap)

        at = mpf(low) + exact.bracketed_root(excess, mpf(high) - mpf(low))
        yield [str(classes), str(depth), below.name, above.name, digits(at)]
    yield from path_rows()


def path_loss(depth: int, strength: mpf, size: mpf, output: mpf, mean: mpf) -> mpf:
    """F of four classes on one axis, without a bias: two nested pairs, Z = size w h^T with
    w = (1, -1, -output, output) and h = (1, -1, -mean, mean)."""

    def wrong(scale: mpf, own: mpf, others: tuple[mpf, ...]) -> mpf:
        return log1p(fsum(exp(scale * (other - own)) for other in others))

    outer = wrong(size, mpf(1), (mpf(-1), output, -output))
    inner = wrong(size * mean, output, (-output, mpf(1), mpf(-1)))
    value = size * sqrt((2 + 2 * output**2) * (2 + 2 * mean**2))
    return (outer + inner) / 2 + mpf(depth + 1) / 2 * strength * power(value, exponent(depth))


def path_rows() -> Iterator[Row]:
    """Where the path of four classes ties with the square, and with zero."""
    for depth, square_start, zero_start in (
        (2, ("0.159622", "0.993", "0.4261", "0.4024"), ("0.160294", "0.9846", "0.4258", "0.4027")),
        (3, ("0.141405", "1.5423", "0.4499", "0.3794"), ("0.14346", "1.5164", "0.4485", "0.3807")),
        (4, ("0.128291", "1.9776", "0.4753", "0.3557"), ("0.131861", "1.9255", "0.4721", "0.3586")),
    ):

        def equations(rival: Callable[[mpf], mpf], depth: int = depth) -> Callable[..., list[mpf]]:
            def system(u: mpf, *point: mpf) -> list[mpf]:
                def slope(index: int) -> mpf:
                    def along(x: mpf) -> mpf:
                        return path_loss(depth, u, *(x if k == index else p for k, p in enumerate(point)))

                    return diff(along, point[index])

                return [*map(slope, range(3)), path_loss(depth, u, *point) - rival(u)]

            return system

        def square(u: mpf, depth: int = depth) -> mpf:
            return pairs(4).minimum(depth, u)

        for below, above, rival, start in (
            ("2 × pair", "path", square, square_start),
            ("path", "zero", lambda u: log(mpf(4)), zero_start),
        ):
            with mp.workdps(2 * mp.dps):
                found = findroot(equations(rival), tuple(map(mpf, start)), tol=power(mpf(10), -mp.dps // 2))
            yield ["4", str(depth), below, above, digits(found[0])]
