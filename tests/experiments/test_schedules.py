from itertools import pairwise

import pytest

from jensen.experiments.schedules import cyclical, geometric, warmup, warmup_cosine


def test_warmup():
    assert [warmup(t, 2.0, 4) for t in (0, 1, 3, 4, 9)] == [0, 0.5, 1.5, 2, 2]
    assert warmup(0, 2.0, 0) == 2


def test_warmup_cosine():
    rates = [warmup_cosine(t, 1.0, 0.1, 10, 101) for t in range(101)]
    assert rates[:10] == pytest.approx([(t + 1) / 10 for t in range(10)])
    assert rates[10] == 1
    assert rates[55] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)
    assert all(a > b for a, b in pairwise(rates[10:]))


def test_a_constant_and_a_single_step():
    assert {warmup_cosine(t, 0.5, 1.0, 0, 7) for t in range(7)} == {0.5}
    assert warmup_cosine(0, 0.5, 0.1, 0, 1) == 0.5


def test_cyclical():
    weights = [cyclical(t, 2.0, 100, 4, 0.5) for t in range(100)]
    assert weights[:25] == weights[25:50] == weights[75:]
    assert weights[0] == 0
    assert weights[5] == pytest.approx(2 * 5 / 12.5)
    assert weights[13:25] == [2.0] * 12
    assert cyclical(100, 2.0, 100) == cyclical(1000, 2.0, 100) == 2
    assert [cyclical(t, 1.0, 4, 1, 1.0) for t in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]


def test_geometric_multiplies_by_one_factor():
    values = [geometric(t, 1.0, 0.1, 11) for t in range(15)]
    assert values[0] == 1
    assert values[10:] == pytest.approx([0.1] * 5)
    assert [b / a for a, b in pairwise(values[:11])] == pytest.approx([0.1**0.1] * 10)
    assert geometric(0, 0.5, 0.5, 1) == 0.5
