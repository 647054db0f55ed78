"""Binary64 inputs and decimal outputs of the reference tables.

Random inputs go through mpmath rather than `math`, so that they do not depend on the platform.
"""

import math
import random
import struct
from collections.abc import Iterable, Iterator

import mpmath
from mpmath import mpf

OUTPUT_DIGITS = 35
SMALLEST_NORMAL = mpf(2) ** -1022
LARGEST = mpf(2) ** 1023

Row = list[str]


def digits(value: mpf) -> str:
    """`value` in decimal, always with an exponent unless it is zero; always a normal binary64 number."""
    if value == 0:
        return "0"
    if not SMALLEST_NORMAL <= abs(value) <= LARGEST:
        raise OverflowError(f"{mpmath.nstr(value)} is not in the normal range of binary64")
    return str(mpmath.nstr(value, OUTPUT_DIGITS, min_fixed=0, max_fixed=0))


def listed(values: Iterable[object]) -> str:
    """Several values in one field, separated by spaces."""
    return " ".join(map(str, values))


def digits_of(values: Iterable[mpf]) -> str:
    """Several outputs in one field."""
    return listed(map(digits, values))


def nearest(value: mpf) -> float:
    """The binary64 number nearest to `value`."""
    number = float(value)
    neighbours = (math.nextafter(number, 0.0), math.nextafter(number, math.inf))
    return min((number, *neighbours), key=lambda candidate: abs(candidate - value))


def single(value: mpf) -> float:
    """A binary32 number next to `value`; with gradual underflow, as `value` may be subnormal."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def around_single(center: float, steps: int) -> Iterator[float]:
    """A positive binary32 number and the `steps` binary32 numbers on each side of it."""
    (bits,) = struct.unpack("I", struct.pack("f", center))
    for step in range(-steps, steps + 1):
        yield float(struct.unpack("f", struct.pack("I", bits + step))[0])


def short(value: mpf) -> float:
    """The binary64 number that reads as `value` with four significant digits."""
    return float(mpmath.nstr(value, 4))


def around(center: float, steps: int) -> Iterator[float]:
    """`center` and the `steps` binary64 numbers on each side of it."""
    yield center
    below = above = center
    for _ in range(steps):
        below, above = math.nextafter(below, 0.0), math.nextafter(above, math.inf)
        yield from (below, above)


def log_uniform(generator: random.Random, low: mpf, high: mpf) -> mpf:
    """A random number whose logarithm is uniform."""
    return low * mpmath.power(mpf(high) / low, generator.random())


def stratified(generator: random.Random, low: mpf, high: mpf, count: int) -> Iterator[float]:
    """One random binary64 number in each of `count` equal parts of the logarithmic range."""
    ratio = mpf(high) / low
    for index in range(count):
        yield nearest(low * mpmath.power(ratio, (index + mpf(generator.random())) / count))


def decays_with_mean(generator: random.Random, count: int, mean: mpf) -> list[float]:
    """`count` decays between 1e-15 and 1e3 whose decimal logarithms have (nearly) the given mean.

    The logarithms are drawn uniformly and then drawn towards one end of the range.
    """
    low, high = -15, 3
    if not low < mean < high:
        raise ValueError(f"no decays have the mean logarithm {mean}")
    logarithms = [low + (high - low) * mpf(generator.random()) for _ in range(count)]
    drawn = mpmath.fsum(logarithms) / count
    end = high if mean > drawn else low
    return [short(mpf(10) ** (end + (value - end) * (mean - end) / (drawn - end))) for value in logarithms]
