"""The project's laws, of the kernels' outputs."""

import pytest
import torch
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st

from jensen import laws
from jensen.core import bounds, ops
from jensen.core.distributions import Bernoulli, DiagNormal
from jensen.estimators.gradients import pathwise
from jensen.laws import strategies
from tests.kernels.support import on_device


@pytest.mark.law
@settings(max_examples=25)
@given(strategies.pairs("normal"))
def test_kl_law(pair):
    q, p = on_device(pair)
    with ops.use("triton"):
        laws.kl_is_nonnegative(ops.normal_kl(*q, *p))
        assert (ops.normal_kl(*q, *q) == 0).all()


@pytest.mark.law
@settings(max_examples=25)
@given(strategies.log_weights())
def test_leave_one_out_law(log_w):
    def bound(w):
        with ops.use("triton"):
            return ops.importance(on_device(w), on_device(torch.zeros_like(w)))[0].cpu()

    laws.leave_one_out(bound, log_w)


@pytest.mark.law
@settings(max_examples=25)
@given(strategies.sigmoid_beliefs())
def test_bounds_of_kernel_densities_rise_below_the_evidence(case):
    """Both densities of the weights, and the bound, come from kernels."""
    oracle, logits = case

    model, q = on_device((oracle, Bernoulli(logits)))

    def log_joint(z):
        prior = Bernoulli(model.prior.expand(z.shape[-2:])).log_prob(z)
        return prior + Bernoulli(z @ model.weight.T + model.bias).log_prob(model.x)

    z = q.support()
    with ops.use("triton"):
        log_q, log_p = q.log_prob(z), log_joint(z)
        exact = []
        for k in (1, 2, 3):
            tuples = torch.cartesian_prod(*[torch.arange(len(z))] * k).reshape(-1, k)
            side_by_side = (rearrange(t[tuples], "tuple k n -> k (tuple n)") for t in (log_p, log_q))
            values = ops.importance(*side_by_side)[0].reshape(len(tuples), -1)
            exact.append((log_q[tuples].sum(1).exp() * values).sum(0).cpu())
    laws.rises(exact)
    laws.below(exact[-1], oracle.log_evidence())


@pytest.mark.law
@settings(max_examples=25)
@given(strategies.linear_gaussians(), st.data())
def test_elbo_of_kernel_densities_is_below_the_evidence(oracle, data):
    """The exact ELBO: a quadratic integrand has its mean over the corners loc ± scale."""
    n, d = len(oracle.x), oracle.weight.shape[1]
    loc, log_scale = (data.draw(strategies.tensors((n, d), st.floats(-2, 2))) for _ in range(2))
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * d).reshape(-1, 1, d)
    model, q, corners = on_device((oracle, DiagNormal(loc, log_scale), corners))
    zero, sigma = torch.zeros_like(corners[0, 0]), model.log_sigma.expand(model.x.shape)

    def log_joint(z):
        mean = z @ model.weight.T + model.bias
        return ops.normal_log_prob(z, zero, zero) + ops.normal_log_prob(model.x, mean, sigma)

    with ops.use("triton"):
        value = pathwise(log_joint, q, corners.expand(-1, n, d), bound=bounds.elbo).cpu()
    torch.testing.assert_close(value, oracle.elbo(loc, log_scale), rtol=1e-8, atol=1e-8)
    laws.below(value, oracle.log_evidence(), 1e-8)
