"""What runs by default holds every pair of parameters' values."""

from itertools import product

import pairwise
import pytest

NAMES = ("routine", "isa", "dtype", "shape")


def cases(*counts):
    return [dict(zip(NAMES, values, strict=False)) for values in product(*map(range, counts))]


def chosen(given):
    return pairwise.chosen(given, dict, repr)


@pytest.mark.parametrize("counts", [(38, 3, 2, 6), (5, 3, 2, 2), (7, 4), (9,), (1, 1, 1)])
def test_every_pair_occurs_in_few_cases(counts):
    all_of_them = cases(*counts)
    few = chosen(all_of_them)
    assert set().union(*map(pairwise.pairs, few)) == set().union(*map(pairwise.pairs, all_of_them))
    largest = sorted(counts)[-2:]
    floor = largest[0] * largest[1] if len(largest) > 1 else largest[0]
    assert floor <= len(few) <= max(1.5 * floor, floor + 4)


def test_the_same_cases_in_any_order():
    given = cases(6, 5, 4)
    assert chosen(given[::-1]) == chosen(given)


def test_nothing_of_nothing():
    assert chosen([]) == []


def test_combinations_that_do_not_exist_are_not_missed():
    given = [case for case in cases(6, 6, 6) if sum(case.values()) % 3]
    few = chosen(given)
    assert all(case in given for case in few)
    assert set().union(*map(pairwise.pairs, few)) == set().union(*map(pairwise.pairs, given))
    assert len(few) < len(given)
