import inspect
from types import ModuleType
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.models import bayes
from jensen.estimators import inference
from jensen.estimators.inference import bayes_by_backprop, em, fitting, grid, svgd


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


ORDER = (
    "key", "log_p", "model", "posterior", "simulator", "start", "x", "y", "restarts", "rounds", "epochs", "steps",
    "warm_up", "step_size", "s", "tolerance", "samples", "batch", "progress",
)  # fmt: skip
LOOPS = {"restarts", "rounds", "epochs", "steps"}
ALGORITHMS = {
    name: module
    for name, module in vars(inference).items()
    if isinstance(module, ModuleType) and hasattr(module, "fit") and "key" in inspect.signature(module.fit).parameters
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_fit_has_the_same_words_in_the_same_order_and_all_that_repeat_have_progress(name):
    words = list(inspect.signature(ALGORITHMS[name].fit).parameters)
    common = [word for word in words if word in ORDER]
    assert common == sorted(common, key=ORDER.index)
    assert words[0] == "key"
    if LOOPS & set(words):
        assert words[-1] == "progress"
    for kind, fields in (("Info", ("objective", "terms")), ("State", ())):
        if value := getattr(ALGORITHMS[name], kind, None):
            assert value._fields[: len(fields)] == fields


def test_there_are_algorithms():
    assert {"advi", "em", "grid", "hmc", "svgd"} <= set(ALGORITHMS)


def test_progress_has_lines_while_they_run():
    x = keys.normal(keys.key(0), (40, 2), torch.float64)
    network = bayes.condition(bayes.bayesian_network(2, 3), {"x": x, "y": x[:, 0]})
    fits = [
        lambda progress: em.fit(keys.key(0), x, 2, tolerance=0.0, steps=25, progress=progress),
        lambda progress: grid.fit(keys.key(0), lambda z: -z.exp().sum(-1) + z.sum(-1), x[:1, :1], progress=progress),
        lambda progress: svgd.fit(keys.key(0), lambda z: -z.square().sum(-1), x[:5], steps=20, progress=progress),
        lambda progress: bayes_by_backprop.fit(keys.key(0), network, steps=20, progress=progress),
    ]
    for fit in fits:
        lines = []
        fit(lines.append)
        assert lines
        assert all(" of " in line for line in lines)


def test_a_network_without_a_finite_density_is_refused():
    x = torch.ones(4, 2, dtype=torch.float64)
    posterior = bayes.condition(bayes.bayesian_network(2, 3), {"x": x, "y": 1e200 * x[:, 0]})
    with pytest.raises(ValueError, match="expected"):
        bayes_by_backprop.fit(keys.key(0), posterior, steps=1)
