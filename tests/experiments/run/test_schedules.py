from itertools import pairwise

import pytest
import torch

from jensen.experiments.run.schedules import cyclical, geometric, warmup, warmup_cosine
from jensen.experiments.run.settings import Run


def test_warmup():
    assert [warmup(t, 2.0, 4) for t in (0, 1, 3, 4, 9)] == [0, 0.5, 1.5, 2, 2]
    assert warmup(0, 2.0, 0) == 2
    assert [warmup(t, 2.0, 4, delay=3) for t in (0, 2, 3, 4, 6, 7, 9)] == [0, 0, 0, 0.5, 1.5, 2, 2]
    assert [warmup(t, 2.0, 0, delay=3) for t in (2, 3)] == [0, 2]


def test_a_rate_decays_to_a_fraction_or_to_a_minimum():
    last = [Run(lr_final=final, lr_min=low).rate(99, 0.5, 100) for final, low in ((0.1, 0.0), (0.1, 0.2), (0.0, 1.0))]
    assert last == pytest.approx([0.05, 0.2, 0.5])


def test_warmup_cosine():
    rates = [warmup_cosine(t, 1.0, 0.1, 10, 101) for t in range(101)]
    assert rates[:10] == pytest.approx([(t + 1) / 10 for t in range(10)])
    assert rates[10] == 1
    assert rates[55] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert [warmup_cosine(t, 1.0, 0.1, 10, 101) for t in (101, 150, 200)] == pytest.approx([0.1] * 3)


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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: warmup(-1, 2.0, 4), "step of 0 or more, got -1"),
        (lambda: warmup(1, 2.0, -4), "0 steps or more, got -4"),
        (lambda: warmup_cosine(-1, 1.0, 0.1, 10, 100), "step of 0 or more"),
        (lambda: warmup_cosine(0, 1.0, 0.1, 101, 100), "warm-up of 0 to total = 100 steps, got 101: shorten it"),
        (lambda: warmup_cosine(0, 1.0, 0.1, -1, 100), "got -1"),
        (lambda: warmup_cosine(0, 1.0, 0.1, 0, 0), "total of at least one step, got 0"),
        (lambda: cyclical(-1, 1.0, 100), "step of 0 or more"),
        (lambda: cyclical(5, 1.0, 100, cycles=0), r"1 to total / 2 = 50.0 cycles, got 0"),
        (lambda: cyclical(5, 1.0, 8, cycles=8), "got 8: one of a single step stays at 0"),
        (lambda: cyclical(5, 1.0, 100, ramp=2.0), r"ramp in \[0, 1\], got 2.0"),
        (lambda: geometric(-1, 1.0, 0.1, 11), "step of 0 or more"),
        (lambda: geometric(1, 1.0, -0.1, 4), "positive, finite start and final, got 1.0 and -0.1"),
        (lambda: geometric(1, 0.0, 0.1, 4), "positive, finite start and final, got 0.0"),
        (lambda: geometric(1, 1.0, 0.1, 0), "total of at least one step"),
    ],
)
def test_what_leaves_no_schedule_raises(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_step_may_be_a_tensor_and_compiled():
    factor = torch.compile(lambda t: geometric(t, 1.0, 0.1, 11), fullgraph=True, backend="eager")
    for t in (3, 20):
        torch.testing.assert_close(factor(torch.tensor(float(t))).item(), geometric(t, 1.0, 0.1, 11))
