from itertools import pairwise

import pytest

from jensen.experiments.schedules import warmup, warmup_cosine


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
