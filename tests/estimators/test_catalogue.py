"""The catalogue is what the estimators do: every row has its estimator, and what a row refuses is refused."""

import inspect
import itertools
from functools import partial

import pytest
import torch
from torch.func import grad

from jensen.core import bounds, keys
from jensen.core.distributions import Bernoulli, Categorical, DiagNormal, Gamma
from jensen.estimators import gradients as g
from jensen.estimators.gradients import baselines, catalogue

KEY = keys.key(3)
QS = [
    DiagNormal(torch.zeros(2, 3), torch.zeros(2, 3)),
    Gamma(torch.ones(2, 3), torch.ones(2, 3)),
    Bernoulli(torch.zeros(2, 3)),
    Categorical(torch.zeros(2, 3, 4)),
]
BOUNDS = [bounds.elbo, bounds.iwae, bounds.vr_max, bounds.Cubo(), lambda log_w: log_w.mean(0)]
OPTIONS = {
    "analytic_kl": {"prior": None},
    "relax": {"control": lambda t: t.flatten(2).sum(-1)},
    "sum_and_sample": {"top": 2},
}
NO_ESTIMATORS = {"local_reparameterisation", "log_weights", "mixed", "relaxed_density", "second_moment", "sleep_phi"}


def log_p(z):
    return torch.sin(z.flatten(2)).sum(-1)


def test_every_estimator_has_a_row_and_every_row_an_estimator():
    functions = {name for name in g.__all__ if inspect.isfunction(getattr(g, name))}
    assert set(catalogue.ROWS) == functions - NO_ESTIMATORS
    assert set(catalogue.BASELINES) == {"none", "leave_one_out", "vimco", "optimal", "RunningMean", "Learned"}
    assert all(hasattr(baselines, name) for name in catalogue.BASELINES)


@pytest.mark.parametrize("name", catalogue.ROWS)
def test_signatures_are_alike(name):
    parameters = list(inspect.signature(getattr(g, name)).parameters.values())
    positional, options = parameters[:3], parameters[3:]
    assert [p.name for p in positional[1:]] == ["q", "noise"]
    assert all(p.kind is inspect.Parameter.POSITIONAL_ONLY for p in positional)
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in options)
    assert "bound" in {p.name for p in options}
    row = catalogue.ROWS[name]
    assert row.temperature == ("temperature" in {p.name for p in options}) or name == "relax"
    assert row.baseline == ("baseline" in {p.name for p in options})


def options(name, q):
    return OPTIONS.get(name, {}) | ({"prior": q} if name == "analytic_kl" else {})


@pytest.mark.parametrize("name", catalogue.ROWS)
def test_a_row_refuses_what_its_estimator_cannot_do_and_nothing_else(name):
    """For every q, bound and number of samples: either the check raises, or the gradient is finite."""
    served = 0
    for q, bound, s in itertools.product(QS, BOUNDS, (1, 2, 3)):
        estimate = partial(getattr(g, name), bound=bound, **options(name, q))
        try:
            catalogue.check(name, q, bound, s)
        except (TypeError, ValueError) as refusal:
            with pytest.raises(type(refusal), match="use "):
                estimate(log_p, q, q.noise(KEY, s))
            continue
        gradient = grad(lambda q, noise, f=estimate: f(log_p, q, noise).sum())(q, q.noise(KEY, s))
        assert all(t.isfinite().all() for t in gradient)
        served += 1
    assert served


@pytest.mark.parametrize("name", [name for name in catalogue.ROWS if name not in ("exact", "sum_and_sample")])
def test_a_bound_that_reduces_another_axis_is_refused(name):
    """exact and sum_and_sample, of the ELBO alone, have sums of their own."""
    row = catalogue.ROWS[name]
    q = next(q for q in QS if row.q.met(q))
    bound = bounds.elbo if row.bounds == "additive" else bounds.iwae
    noise = q.noise(KEY, 3)
    for wrong in (lambda t: t.mean(), lambda t: t.mean(1), lambda t: bound(t).flip(0)):
        with pytest.raises(ValueError, match=r"expected a bound \(s, n\) -> \(n,\), got"):
            getattr(g, name)(log_p, q, noise, bound=wrong, **options(name, q))


def test_the_table_has_a_line_per_row():
    lines = catalogue.table().splitlines()
    assert len(lines) == 2 + len(catalogue.ROWS)
    assert all(line.count("|") == 7 for line in lines)
    assert all(f"| `{name}` |" in line for name, line in zip(catalogue.ROWS, lines[2:], strict=True))


def test_a_compiled_function_that_is_not_additive_is_nan_where_it_must_be():
    q = QS[0]
    noise = q.noise(KEY, 4)

    def value(log_p, estimate, bound):
        return torch.compile(lambda q, noise: estimate(log_p, q, noise, bound=bound), fullgraph=True, backend="eager")(
            q, noise
        )

    mean, mean_exp = (lambda log_w: log_w.mean(0)), (lambda log_w: torch.logsumexp(log_w, 0))
    torch.testing.assert_close(value(log_p, g.stl, mean), g.stl(log_p, q, noise))
    assert value(log_p, g.stl, mean_exp).isnan().all()
