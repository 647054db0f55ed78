"""Tables of whole problems: global minima, collapse thresholds and their inverses."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from mpmath import fprod, fsum, log10, mpf, power, sqrt

import closed_forms as exact
from decimals import Row, decays_with_mean, digits, digits_of, listed, log_uniform, nearest, short

# A regime closer than this to its threshold is no test of a whole problem.
TOO_CLOSE = mpf("1e-13")

DEPTHS = (1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 9, 17)
DEEP = 150


@dataclass(frozen=True)
class Problem:
    """The inputs. `bias` is "none", "unregularized" or "regularized" (then all counts are equal)."""

    bias: str
    counts: tuple[int, ...]
    decays: tuple[float, ...]
    feature_decay: float
    bias_decay: float | None = None

    @property
    def depth(self) -> int:
        """The number of layers, M."""
        return len(self.decays)

    @property
    def total(self) -> int:
        """The number of samples, N."""
        return sum(self.counts)

    def root_of_decays(self, root: mpf) -> mpf:
        """(lambda_H lambda_1 ... lambda_M)^root."""
        return power(fprod(map(mpf, (self.feature_decay, *self.decays))), root)

    def scale(self, total: mpf) -> mpf:
        """a = N (N P)^(1/M)."""
        return total * power(mpf(total), mpf(1) / self.depth) * self.root_of_decays(mpf(1) / self.depth)


@dataclass(frozen=True)
class Target:
    """One distinct singular value of the effective target.

    `weights` is the diagonal of the projector on its left singular vectors, class by class.
    `total` is N, or what replaces it where the bias takes part of the direction.
    """

    squared: mpf
    multiplicity: int
    weights: tuple[mpf, ...]
    total: mpf


def targets(problem: Problem) -> list[Target]:
    """The distinct nonzero singular values of the effective target."""
    classes = len(problem.counts)
    total = mpf(problem.total)
    if problem.bias == "none":
        unit = [tuple(mpf(i == k) for i in range(classes)) for k in range(classes)]
        return [Target(mpf(n), 1, unit[k], total) for k, n in enumerate(problem.counts)]
    if problem.bias == "unregularized":
        return centred_targets(problem.counts)
    effective = total * (1 + mpf(problem.bias_decay)) / mpf(problem.bias_decay)
    shared = Target(mpf(problem.counts[0]), 1, (mpf(1) / classes,) * classes, effective)
    return [*centred_targets(problem.counts), shared]


def centred_targets(counts: Sequence[int]) -> list[Target]:
    """The spectrum of diag(n) - n n^T / N without its zero: sizes that repeat, then roots between sizes."""
    groups = sorted(Counter(counts).items())
    sizes, multiplicities = [size for size, _ in groups], [many for _, many in groups]
    total = mpf(sum(counts))
    found = []
    for size, many in groups:
        if many > 1:
            weights = tuple((1 - mpf(1) / many) if n == size else mpf(0) for n in counts)
            found.append(Target(mpf(size), many - 1, weights, total))
    for index in range(len(groups) - 1):
        mu = exact.eigenvalue_between(sizes, multiplicities, index)[0]
        # (n_k - mu) u_k is proportional to n_k.
        squares = [(n / (n - mu)) ** 2 for n in counts]
        found.append(Target(mu, 1, tuple(square / fsum(squares) for square in squares), total))
    return sorted(found, key=lambda target: -target.squared)


@dataclass(frozen=True)
class Direction:
    """The minimum in one direction."""

    target: Target
    ratio: mpf
    x: mpf
    energy: mpf
    share: mpf
    loss: mpf


def solve_direction(problem: Problem, target: Target) -> Direction:
    """The minimum of sigma^2 g(x; M a / sigma^2) / (2N), and what follows from x."""
    depth, a = problem.depth, problem.scale(target.total)
    ratio = a / target.squared
    x = exact.minimizer(depth, depth * ratio)
    q = power(x, depth)
    return Direction(
        target=target,
        ratio=ratio,
        x=x,
        energy=a / target.total * x,
        share=q / (q + 1),
        loss=(target.squared / (q + 1) + depth * a * x) / (2 * target.total),
    )


def bias_vector(problem: Problem, directions: Sequence[Direction]) -> list[mpf]:
    """The optimal bias; empty without one."""
    classes = len(problem.counts)
    if problem.bias == "none":
        return []
    if problem.bias == "unregularized":
        return [mpf(n) / problem.total for n in problem.counts]
    return [(1 - directions[-1].share) / (1 + mpf(problem.bias_decay)) / classes] * classes


def class_sums(directions: Sequence[Direction], term: Callable[[Direction], mpf]) -> list[mpf]:
    """The diagonal, class by class, of the sum of term(direction) times the direction's projector."""
    return [
        fsum(term(direction) * weight for direction, weight in zip(directions, weights, strict=True))
        for weights in zip(*(direction.target.weights for direction in directions), strict=True)
    ]


def problem_row(problem: Problem, directions: Sequence[Direction]) -> Row:
    """The inputs, the outputs of the problem, of its directions, and of its classes."""
    depth = problem.depth
    first, last = mpf(problem.decays[0]), mpf(problem.decays[-1])
    features = mpf(problem.feature_decay)
    a = problem.scale(problem.total)
    centred = directions[:-1] if problem.bias == "regularized" else directions
    smallest = min(direction.target.squared for direction in centred)
    gram = class_sums(directions, lambda direction: direction.target.squared * direction.energy / features)
    return [
        *(problem.bias, str(depth), listed(problem.counts), listed(problem.decays), repr(problem.feature_decay)),
        "" if problem.bias_decay is None else repr(problem.bias_decay),
        digits(a),
        digits(fsum(direction.target.multiplicity * direction.loss for direction in directions)),
        digits(a / exact.tau(depth)),
        digits(power(exact.tau(depth) * smallest / a, mpf(depth) / (depth + 1))),
        digits_of(bias_vector(problem, directions)),
        listed(direction.target.multiplicity for direction in directions),
        digits_of(direction.target.squared for direction in directions),
        digits_of(direction.ratio for direction in directions),
        digits_of(direction.x for direction in directions),
        digits_of(direction.energy for direction in directions),
        digits_of(sqrt(direction.energy / first) for direction in directions),
        digits_of(direction.share for direction in directions),
        digits_of(direction.energy / last for direction in directions),
        digits_of(direction.energy / features for direction in directions),
        digits_of(class_sums(directions, lambda direction: direction.energy / last)),
        digits_of(value / n**2 for value, n in zip(gram, problem.counts, strict=True)),
    ]


def draw_counts(generator: random.Random, classes: int) -> tuple[int, ...]:
    """Counts of one of four kinds: anything, small, with ties, nearly equal."""
    kind = generator.randrange(4)
    if kind == 0:
        return tuple(int(log_uniform(generator, 1, 10**9)) for _ in range(classes))
    if kind == 1:
        return tuple(generator.randint(1, 500) for _ in range(classes))
    if kind == 2:
        pair = [int(log_uniform(generator, 1, 10**9)) for _ in range(2)]
        return tuple(generator.choice(pair) for _ in range(classes))
    center = int(log_uniform(generator, 10, 10**9)) + 5
    return tuple(center + generator.randint(-5, 5) for _ in range(classes))


def draw_problem(generator: random.Random, bias: str, balanced: bool, depth: int) -> Problem:
    """Random counts, and decays that put a random class at a random ratio to the threshold."""
    classes = generator.randint(1 if bias == "none" else 2, 6)
    counts = draw_counts(generator, classes)
    if balanced:
        counts = (counts[0],) * classes
    factor = log_uniform(generator, mpf("1e-6") if generator.random() < 0.5 else mpf("0.1"), 10)
    total = mpf(sum(counts))
    a = factor * exact.tau(depth) * generator.choice(counts)
    mean = (depth * log10(a / total) - log10(total)) / (depth + 1)
    *decays, feature_decay = decays_with_mean(generator, depth + 1, mean)
    bias_decay = short(log_uniform(generator, mpf("1e-6"), mpf("1e4"))) if bias == "regularized" else None
    return Problem(bias, counts, tuple(decays), feature_decay, bias_decay)


def draw_near_threshold(generator: random.Random, bias: str, balanced: bool, depth: int) -> Problem:
    """A problem whose features' decay puts one direction just above or below the threshold."""
    problem = draw_problem(generator, bias, balanced, depth)
    distance = generator.choice((-1, 1)) * log_uniform(generator, mpf("1e-11"), mpf("1e-2"))
    target = generator.choice(targets(problem))
    wanted = target.squared * exact.tau(depth) * (1 + distance)
    # Every decay takes its part, rounded; then the features' decay makes up for the rounding.
    part = power(wanted / problem.scale(target.total), mpf(depth) / (depth + 1))
    decays = tuple(short(decay * part) for decay in problem.decays)
    problem = replace(problem, decays=decays, feature_decay=short(problem.feature_decay * part))
    factor = power(wanted / problem.scale(target.total), depth)
    moved = replace(problem, feature_decay=nearest(problem.feature_decay * factor))
    if not all(1e-15 <= decay <= 1e3 for decay in (*moved.decays, moved.feature_decay)):
        raise ValueError("the decays have left their range")
    return moved


def draw_uniform(generator: random.Random, bias: str, balanced: bool, decay: float) -> Problem:
    """A deep problem with one decay for everything."""
    drawn = draw_problem(generator, bias, balanced, depth=1)
    return replace(drawn, decays=(decay,) * DEEP, feature_decay=decay)


def accepted(draw: Callable[[], Problem]) -> tuple[Problem, list[Direction]]:
    """The first draw that is possible and not too close to a threshold, with its minimum."""
    while True:
        try:
            problem = draw()
        except ValueError:
            continue
        directions = [solve_direction(problem, target) for target in targets(problem)]
        threshold = exact.tau(problem.depth)
        if all(abs(direction.ratio / threshold - 1) > TOO_CLOSE for direction in directions):
            return problem, directions


def problem_draws(generator: random.Random) -> Iterator[Callable[[], Problem]]:
    """For each kind of problem: random depths, near a threshold, deep with equal and with mixed decays."""
    kinds = (("none", False, 13), ("unregularized", True, 3), ("regularized", True, 4), ("unregularized", False, 4))
    for bias, balanced, rounds in kinds:
        for depth in DEPTHS * rounds:
            yield partial(draw_problem, generator, bias, balanced, depth)
        for depth in DEPTHS * (rounds // 3):
            yield partial(draw_near_threshold, generator, bias, balanced, depth)
        for decay in (1e-5, 1e-12) * (rounds // 3):
            yield partial(draw_uniform, generator, bias, balanced, decay)
        for depth in (64, DEEP) * (rounds // 2):
            yield partial(draw_problem, generator, bias, balanced, depth)


def problem_rows() -> Iterator[Row]:
    """The global minimum of each problem."""
    generator = random.Random("problems")
    for draw in problem_draws(generator):
        yield problem_row(*accepted(draw))


@dataclass(frozen=True)
class Imbalance:
    """`majority` classes of R n samples and `minority` classes of n samples."""

    majority: int
    minority: int
    samples: int
    decays: tuple[float, ...]
    feature_decay: float


def critical_total(case: Imbalance) -> mpf:
    """N* = (tau n P^(-1/M))^(M/(M+1)), where a = N (N P)^(1/M) equals tau n: more samples collapse n."""
    depth = len(case.decays)
    root = fprod(power(mpf(decay), mpf(1) / (depth + 1)) for decay in (*case.decays, case.feature_decay))
    return power(exact.tau(depth) * case.samples, mpf(depth) / (depth + 1)) / root


def draw_imbalance(generator: random.Random, depth: int) -> Imbalance:
    """Random classes, and decays for which the critical ratio is near a random one."""
    majority, minority = generator.randint(1, 100), generator.randint(1, 100)
    samples = int(log_uniform(generator, 1, 10**6))
    wanted = samples * (minority + majority * log_uniform(generator, mpf("1e-2"), mpf("1e6")))
    if generator.random() < 0.1:
        wanted = samples * minority * mpf(generator.random())
    mean = log10(exact.tau(depth) * samples) * depth / (depth + 1) - log10(wanted)
    *decays, feature_decay = decays_with_mean(generator, depth + 1, mean)
    return Imbalance(majority, minority, samples, tuple(decays), feature_decay)


def imbalances(generator: random.Random) -> Iterator[Imbalance]:
    """Random depths, then deep networks with one decay for everything."""
    for depth in (*(1, 2, 3, 4, 5, 6, 9, 17) * 15, *(64, DEEP) * 5):
        yield draw_imbalance(generator, depth)
    for decay in (1e-5, 1e-12):
        for samples in (1, 500, 10**6):
            yield Imbalance(5, 5, samples, (decay,) * DEEP, decay)


def critical_ratio_rows() -> Iterator[Row]:
    """The ratio R above which the minority collapses; negative if it collapses at every ratio."""
    for case in imbalances(random.Random("critical ratio")):
        total = critical_total(case)
        ratio = (total / case.samples - case.minority) / case.majority
        yield [
            *(str(len(case.decays)), str(case.majority), str(case.minority), str(case.samples)),
            *(listed(case.decays), repr(case.feature_decay)),
            *(digits(total), digits(ratio)),
        ]
