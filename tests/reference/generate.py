"""Write the reference tables: `python generate.py` (see README.md beside this file).

Inputs are binary64 numbers, written so that they read back exactly. Outputs have 35 significant
digits; every table is computed twice, with different working precisions, and must come out equal.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import mpmath
from mpmath import mp, mpf

import closed_forms as exact

FOLDER = Path(__file__).parent
OUTPUT_DIGITS = 35
WORKING_DIGITS = (90, 130)

# Above this, x^M is close to leaving the range of binary64 and 1/x^M has left its normal range.
LARGEST_POWER = mpf("1e307")

THRESHOLD_DEPTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 17, 33, 64, 100, 150, 257, 1000, 4096, 100_000)
SCALAR_DEPTHS = (1, 2, 3, 4, 5, 6, 9, 17, 64, 150, 1000)
SUBNORMAL = (5e-324, 1e-323, 3.3e-320, 1.2345e-312, math.nextafter(2.0**-1022, 0.0), 2.0**-1022)

Row = list[str]


def digits(value: mpf) -> str:
    """`value` as a decimal string, always with an exponent unless it is zero."""
    return mpmath.nstr(value, OUTPUT_DIGITS, min_fixed=0, max_fixed=0) if value else "0"


def nearest(value: mpf) -> float:
    """The binary64 number nearest to `value`."""
    number = float(value)
    neighbours = (math.nextafter(number, 0.0), math.nextafter(number, math.inf))
    return min((number, *neighbours), key=lambda candidate: abs(candidate - value))


def around(center: float, steps: int) -> Iterator[float]:
    """`center` and the `steps` binary64 numbers on each side of it."""
    yield center
    below = above = center
    for _ in range(steps):
        below, above = math.nextafter(below, 0.0), math.nextafter(above, math.inf)
        yield from (below, above)


def log_uniform(generator: random.Random, low: mpf, high: mpf, count: int) -> Iterator[float]:
    """One random number in each of `count` equal parts of the logarithmic range."""
    ratio = mpf(high) / low
    for index in range(count):
        yield nearest(low * mpmath.power(ratio, (index + mpf(generator.random())) / count))


def distances() -> Iterator[mpf]:
    """Relative distances from 1e-1 to 1e-15, two in each decade."""
    for decade in range(1, 16):
        yield from (mpf(10) ** -decade, 3 * mpf(10) ** -(decade + 1))


def threshold_rows() -> Iterator[Row]:
    """One row for each depth."""
    for depth in THRESHOLD_DEPTHS:
        values = (exact.tau, exact.beta, exact.fold, exact.root_at_threshold, exact.fold_position)
        yield [str(depth), *(digits(value(depth)) for value in values)]


def minimizer_inputs(depth: int) -> list[float]:
    """Values of b: the whole range, the practical range, near the threshold, far above, subnormal."""
    generator = random.Random(f"minimizer {depth}")
    threshold = exact.beta(depth)
    inputs = set(log_uniform(generator, mpf("1e-300"), threshold, 90))
    inputs.update(log_uniform(generator, mpf("1e-12"), threshold, 40))
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
    inputs = set(log_uniform(generator, mpf("1e-300"), fold, 60))
    inputs.update(log_uniform(generator, mpf("1e-12"), fold, 20))
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


TABLES: dict[str, tuple[str, Callable[[], Iterable[Row]]]] = {
    "thresholds.csv": ("depth,tau,beta,fold,root_at_threshold,fold_position", threshold_rows),
    "minimizer.csv": ("depth,b,regime,x,x_pow_depth,g,residual_share", minimizer_rows),
    "stationary.csv": ("depth,b,smaller,larger", stationary_rows),
}


def render(header: str, rows: Callable[[], Iterable[Row]], working_digits: int) -> str:
    """The text of a table computed with `working_digits` digits."""
    with mp.workdps(working_digits):
        lines = [header, *(",".join(row) for row in rows())]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write every table whose two computations agree in every digit."""
    for name, (header, rows) in TABLES.items():
        text, again = (render(header, rows, working_digits) for working_digits in WORKING_DIGITS)
        if text != again:
            raise ArithmeticError(f"{name} depends on the working precision")
        (FOLDER / name).write_text(text, encoding="ascii", newline="\n")
        print(f"{name}: {text.count(chr(10)) - 1} rows, {len(text)} bytes")


if __name__ == "__main__":
    main()
