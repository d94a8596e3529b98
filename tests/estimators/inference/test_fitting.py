from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from jensen.estimators.inference import fitting


class Info(NamedTuple):
    objective: Tensor
    terms: dict[str, Tensor]


def told(value):
    objective = torch.tensor(value, dtype=torch.float64)
    return Info(objective, {"one": 0.25 * objective, "other": 0.75 * objective})


def halfway(x):
    """Towards 0, whose objective is -x."""
    return x / 2, told(-x)


def test_the_state_is_that_of_the_last_objective():
    state, trace = fitting.climb(halfway, 8.0, 3, 0.0)
    assert trace.objective.tolist() == [-8.0, -4.0, -2.0, -1.0]
    assert state == 1.0
    assert not trace.converged
    torch.testing.assert_close(trace.terms["one"] + trace.terms["other"], trace.objective)
    assert not trace.standard_error.any()


def test_it_ends_where_an_update_gains_no_more_than_the_tolerance():
    state, trace = fitting.climb(halfway, 8.0, 100, 1.0)
    assert (state, len(trace.objective)) == (1.0, 4)
    assert trace.converged
    _, at_rest = fitting.climb(lambda x: (x, told(5.0)), 0.0, 100, 0.0)
    assert len(at_rest.objective) == 2


def test_a_fall_is_in_last_digits_of_the_objective():
    eps = torch.finfo(torch.float64).eps
    for change, expected in ((3.0, 0.0), (-16 * eps, 16.0), (-0.5, 0.5 / eps)):
        trace = fitting.traced([told(-1.0), told(-1.0 + change)], True)
        assert trace.fall().item() == pytest.approx(expected / max(1.0, abs(change - 1)), rel=1e-6)
    assert fitting.traced([told(1.0)], True).fall() == 0


def test_nan_ends_it_in_one_line():
    with pytest.raises(ValueError, match="expected an objective in nats, got NaN after 2 updates"):
        fitting.climb(lambda t: (t + 1, told(float(t) if t < 2 else float("nan"))), 0, 10, 0.0)
