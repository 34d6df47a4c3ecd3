"""Fewer cases of a test with many parameters: each pair of two parameters' values still occurs.

What goes wrong with one value, or where two values meet (a routine and an instruction set, a shape and a
dtype), is found by a fraction of all combinations. ``pytest --full`` runs all of them.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from itertools import combinations
from typing import TypeVar
from zlib import crc32

MANY = 60  # cases of one test; below, all of them run

T = TypeVar("T")


def pairs(values: Mapping[str, Hashable]) -> set[Hashable]:
    """Return all pairs of (name, value) in a case."""
    return set(combinations(sorted(values.items()), 2)) or set(values.items())


def chosen(
    cases: Iterable[T], values: Callable[[T], Mapping[str, Hashable]], name: Callable[[T], str]
) -> list[T]:
    """Return cases in which every pair occurs; the same ones each time.

    In an order that their names give, as good as a random one, cases are taken that have the most new pairs:
    first those where nearly all are new, then where fewer are.
    """
    left = sorted(cases, key=lambda case: crc32(name(case).encode()))
    seen: set[Hashable] = set()
    found = []
    most = max((len(pairs(values(case))) for case in left), default=0)
    for new in range(most, 0, -1):
        later = []
        for case in left:
            here = pairs(values(case))
            if len(here - seen) >= new:
                found.append(case)
                seen |= here
            else:
                later.append(case)
        left = later
    return found
