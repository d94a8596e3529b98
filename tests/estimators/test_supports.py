"""What is outside p's support or q's: no NaN, and the gradients of what is left."""

import math
from functools import partial

import pytest
import torch
from torch.func import grad, vmap

from jensen import laws
from jensen.core import bounds, keys, trees
from jensen.core.distributions import Bernoulli, Categorical, DiagNormal
from jensen.estimators import gradients as g
from jensen.estimators.gradients import baselines

KEY = keys.key(3)
F64 = torch.float64
CONTROL = partial(g.relax, control=lambda t: torch.tanh(t).flatten(2).sum(-1))
ANY = [
    g.score, partial(g.score, bound=bounds.iwae), partial(g.score, bound=bounds.iwae, baseline=baselines.vimco),
    partial(g.score, baseline=baselines.optimal), partial(g.score, baseline=baselines.leave_one_out), g.wake, g.vargrad,
]  # fmt: skip
OF_BERNOULLI = [*ANY, g.arm, g.disarm, g.rebar, CONTROL, g.muprop, g.measure_valued, partial(g.sum_and_sample, top=3)]
OF_CATEGORICAL = [*ANY, g.arsm, g.rebar, CONTROL, g.muprop, partial(g.sum_and_sample, top=1)]
OF_NORMAL = [*ANY[:5], g.pathwise, g.stl, g.measure_valued, g.dreg]


def outside(z):
    """log_p is -inf where the first component is below 1/2."""
    z = z.flatten(2)
    return torch.where(z[..., 0] < 0.5, -math.inf, z.sum(-1))


def finite_gradient(estimate, q, noise):
    """Of the data whose value is finite, and of those whose value is -inf."""
    value = estimate(outside, q, noise)
    assert not value.isnan().any()
    slopes = grad(lambda q: estimate(outside, q, noise).nan_to_num(neginf=0.0).sum())(q)
    assert all(t.isfinite().all() for t in trees.leaves(slopes))
    return value


@pytest.mark.parametrize("estimate", OF_BERNOULLI)
def test_bernoullis_with_particles_outside_the_support_of_p(estimate):
    """Datum 0 has both kinds; datum 1 those inside alone, while the sign turned, the swap or the value 0 is outside."""
    q = Bernoulli(torch.tensor([[0.0, 0.3], [3.0, -0.2]], dtype=F64))
    u = torch.tensor([[[0.2, 0.6], [0.02, 0.5]], [[0.7, 0.1], [0.1, 0.9]]], dtype=F64)
    value = finite_gradient(estimate, q, u)
    if not isinstance(estimate, partial) or estimate.func is not g.sum_and_sample:
        default = bounds.iwae if estimate is g.wake else bounds.elbo
        bound = getattr(estimate, "keywords", {}).get("bound", default)
        torch.testing.assert_close(value[1], g.score(outside, q, u, bound=bound)[1])


@pytest.mark.parametrize("estimate", OF_CATEGORICAL)
def test_categoricals_with_particles_outside_the_support_of_p(estimate):
    q = Categorical(torch.tensor([[[0.0, 0.3, 0.1]], [[3.0, -0.2, 0.0]]], dtype=F64))
    finite_gradient(estimate, q, q.noise(KEY, 4))


@pytest.mark.parametrize("estimate", OF_NORMAL)
def test_normals_with_particles_outside_the_support_of_p(estimate):
    q = DiagNormal(torch.tensor([[0.5, 0.0], [9.0, 0.0]], dtype=F64), torch.zeros(2, 2, dtype=F64))
    assert finite_gradient(estimate, q, q.noise(KEY, 4))[1] > -math.inf


def test_the_exact_elbo_of_an_unbounded_loss_has_no_gradient():
    q = Bernoulli(torch.tensor([[0.0, 0.3]], dtype=F64))
    assert finite_gradient(g.exact, q, None) == -math.inf


@pytest.mark.parametrize(
    "estimate",
    [g.score, g.rebar, CONTROL, g.arsm, g.muprop, partial(g.sum_and_sample, top=1)],
    ids=["score", "rebar", "relax", "arsm", "muprop", "sum_and_sample"],
)
@pytest.mark.parametrize("logit", [-90.0, -800.0, -math.inf])
def test_an_impossible_choice_leaves_the_gradient_of_the_others(estimate, logit):
    """The mean is the sum over values."""
    log_p = lambda z: (z * torch.tensor([1.0, -2.0, 0.5], dtype=F64)).flatten(2).sum(-1)  # noqa: E731
    logits = torch.tensor([[[0.5, -0.3, logit]]], dtype=F64)

    def gradient(key):
        return grad(lambda t: estimate(log_p, Categorical(t), Categorical(t).noise(key, 1)).sum())(logits)

    exact = grad(lambda t: g.exact(log_p, Categorical(t)).sum())(logits)
    assert exact.isfinite().all()
    laws.mean_is_exact(lambda key, reps: vmap(gradient)(keys.split(key, reps)), exact, KEY)


@pytest.mark.parametrize("offset", [-700.0, -95.0, 100.0, 800.0])
def test_a_common_offset_of_logits_changes_no_relaxed_gradient(offset):
    log_p = lambda z: (z * torch.tensor([1.0, -2.0, 0.5])).flatten(2).sum(-1)  # noqa: E731
    logits = torch.tensor([[[0.5, -0.25, 0.125]], [[0.0, 4.0, -4.0]]])
    u = Categorical(logits).noise(KEY, 50)
    slopes = [grad(lambda t: g.rebar(log_p, Categorical(t), u).sum())(logits + o) for o in (0.0, offset)]
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-2, atol=1e-3)  # of logits rounded at their size
