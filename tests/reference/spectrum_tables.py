"""Table of the spectra of diag(n) - n n^T / N, the Gram matrix of centred one-hot labels."""

import random
from collections.abc import Iterable, Iterator

from mpmath import mpf

import closed_forms as exact
from decimals import Row, digits_of, listed, log_uniform

BILLION = 10**9

Groups = dict[int, int]
"""The number of classes of each size."""


def extreme_cases() -> Iterator[Groups]:
    """Eigenvalues close to a size, or sizes close to each other."""
    yield {1: 1000, BILLION: 1}
    yield {1: 1, BILLION: 1000}
    yield {1: 1, BILLION: 1}
    yield {1: 1, BILLION: 10**6}
    yield {1: 10**6, BILLION: 1}
    yield {1: 1, 2: 10**6, BILLION: 1}
    yield {1: 3, 10: 1, 1000: 1, 10**6: 1, BILLION: 1}
    for many in (1, 2, 1000, 10**6):
        yield {BILLION - 1: 1, BILLION: many}
        yield {BILLION - 1: many, BILLION: 1}
        yield {BILLION - 1: many, BILLION: 1, BILLION + 1: many}
        yield {BILLION - 1: 1, BILLION: many, BILLION + 1: 1}
        yield {1: many, BILLION - 1: 1, BILLION: 2}


def crowded_cases(generator: random.Random) -> Iterator[Groups]:
    """Many nearly equal sizes, and long tails."""
    yield {size: 1 for size in range(10**6, 10**6 + 50)}
    yield {size: generator.randint(1, 1000) for size in range(10**6, 10**6 + 50)}
    yield {size: 1 for size in range(BILLION - 30, BILLION)}
    yield {size: int(log_uniform(generator, 1, 10**6)) for size in range(BILLION - 30, BILLION)}
    yield {size: 1 for size in generator.sample(range(10**6, 10**6 + 2000), 150)}
    yield {size: 1 for size in range(1, 101)}
    for classes, largest, smallest in ((10, 5000, 50), (100, 500, 5), (150, 1280, 5)):
        ratio = mpf(smallest) / largest
        yield counted(int(largest * ratio ** (mpf(k) / (classes - 1))) for k in range(classes))


def random_cases(generator: random.Random) -> Iterator[Groups]:
    """Two groups, then more."""
    for groups in (*[2] * 30, *range(3, 13), *range(3, 13), *range(3, 13)):
        sizes = {int(log_uniform(generator, 1, BILLION)) for _ in range(groups)}
        if len(sizes) > 1:
            yield {size: int(log_uniform(generator, 1, 1000)) for size in sorted(sizes)}


def counted(sizes: Iterable[int]) -> Groups:
    """The number of times that each size occurs."""
    groups: Groups = {}
    for size in sizes:
        groups[size] = groups.get(size, 0) + 1
    return groups


def secular_rows() -> Iterator[Row]:
    """The eigenvalues strictly between the distinct sizes, in increasing order."""
    generator = random.Random("secular")
    for case in (*extreme_cases(), *crowded_cases(generator), *random_cases(generator)):
        sizes = sorted(case)
        multiplicities = [case[size] for size in sizes]
        pairs = range(len(sizes) - 1)
        triples = [exact.eigenvalue_between(sizes, multiplicities, index) for index in pairs]
        outputs = (digits_of(values) for values in zip(*triples, strict=True))
        yield [listed(sizes), listed(multiplicities), *outputs]
