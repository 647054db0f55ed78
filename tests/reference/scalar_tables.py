"""Tables of the scalar core: thresholds, minimisers and stationary points of g."""

import math
import random
from collections.abc import Iterator

import mpmath
from mpmath import mpf

import closed_forms as exact
from decimals import Row, around, around_single, digits, nearest, single, stratified

# Above this, 1/(x^M+1) leaves the normal range of binary64; soon after, x^M leaves the range.
LARGEST_POWER = mpf("1e307")

THRESHOLD_DEPTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 17, 33, 64, 100, 150, 257, 1000, 4096, 100_000)
SCALAR_DEPTHS = (1, 2, 3, 4, 5, 6, 9, 17, 64, 150, 1000)
SUBNORMAL = (5e-324, 1e-323, 3.3e-320, 1.2345e-312, math.nextafter(2.0**-1022, 0.0), 2.0**-1022)


def distances() -> Iterator[mpf]:
    """Relative distances from 1e-1 to 1e-15, two in each decade."""
    for decade in range(1, 16):
        yield from (mpf(10) ** -decade, 3 * mpf(10) ** -(decade + 1))


SUBNORMAL_SINGLE = (2.0**-149, 3 * 2.0**-149, 1e-42, 1e-39, 2.0**-126)


def threshold_rows() -> Iterator[Row]:
    """One row for each depth."""
    for depth in THRESHOLD_DEPTHS:
        values = (exact.tau, exact.beta, exact.fold, exact.root_at_threshold, exact.fold_position)
        yield [str(depth), *(digits(value(depth)) for value in values)]


def minimizer_inputs(depth: int) -> list[float]:
    """Values of b: the whole range, the practical range, near the threshold, far above, subnormal."""
    generator = random.Random(f"minimizer {depth}")
    threshold = exact.beta(depth)
    inputs = set(stratified(generator, mpf("1e-300"), threshold, 90))
    inputs.update(stratified(generator, mpf("1e-12"), threshold, 40))
    for distance in distances():
        inputs.update((nearest(threshold * (1 - distance)), nearest(threshold * (1 + distance))))
    inputs.update(around(nearest(threshold), 3))
    inputs.update(nearest(threshold * factor) for factor in (2, mpf("1e3"), mpf("1e300")))
    inputs.update(SUBNORMAL)
    return sorted(inputs)


def minimizer_rows() -> Iterator[Row]:
    """The global minimum of g."""
    for depth in SCALAR_DEPTHS:
        for number in minimizer_inputs(depth):
            b = mpf(number)
            x = exact.minimizer(depth, b)
            q = mpmath.power(x, depth)
            if q < LARGEST_POWER:
                outputs = (x, q, exact.g(depth, b, x), 1 / (q + 1))
                yield [str(depth), repr(number), exact.regime(depth, b), *map(digits, outputs)]


def stationary_inputs(depth: int) -> list[float]:
    """Values of b: the whole range, the practical range, and near the fold."""
    generator = random.Random(f"stationary {depth}")
    fold = exact.fold(depth)
    inputs = set(stratified(generator, mpf("1e-300"), fold, 60))
    inputs.update(stratified(generator, mpf("1e-12"), fold, 20))
    inputs.update(nearest(fold * (1 - distance)) for distance in distances())
    inputs.update(around(nearest(fold), 3))
    return sorted(inputs)


def stationary_rows() -> Iterator[Row]:
    """The positive stationary points of g; above the fold there is none."""
    for depth in SCALAR_DEPTHS:
        fold = exact.fold(depth)
        for number in stationary_inputs(depth):
            b = mpf(number)
            smaller = larger = ""
            if b < fold:
                larger = digits(exact.larger_stationary_point(depth, b))
                smaller = digits(exact.smaller_stationary_point(depth, b)) if depth > 1 else ""
            yield [str(depth), repr(number), smaller, larger]


def single_inputs(depth: int) -> list[float]:
    """Binary32 values of b: the whole range, near the threshold and near the fold."""
    generator = random.Random(f"single {depth}")
    threshold, fold = exact.beta(depth), exact.fold(depth)
    inputs = {single(b) for b in stratified(generator, mpf("1e-37"), threshold, 60)}
    inputs.update(single(b) for b in stratified(generator, mpf("1e-6"), fold, 30))
    for end in (threshold, fold):
        inputs.update(single(end * (1 - mpf(10) ** -decade)) for decade in range(1, 7))
        inputs.update(around_single(single(end), 3))
    inputs.update(map(single, SUBNORMAL_SINGLE))
    return sorted(inputs)


def single_rows() -> Iterator[Row]:
    """The global minimiser and both stationary points for binary32 inputs."""
    for depth in SCALAR_DEPTHS:
        for number in single_inputs(depth):
            b = mpf(number)
            smaller = larger = ""
            if b < exact.fold(depth):
                larger = digits(exact.larger_stationary_point(depth, b))
                smaller = digits(exact.smaller_stationary_point(depth, b)) if depth > 1 else ""
            x = digits(exact.minimizer(depth, b))
            yield [str(depth), repr(number), exact.regime(depth, b), x, smaller, larger]
