"""Bounds on the evidence from kernels' densities: below and above it."""

import pytest
import torch
from hypothesis import given, settings

from jensen import laws
from jensen.core import bounds, ops
from jensen.core.distributions import Bernoulli
from jensen.laws import strategies
from tests.core.test_bounds_family import GENERATORS, LOWER, expected
from tests.kernels.support import on_device


def weights(oracle, q):
    """(log_q, log_w), (m, n) each, at every value of z, from kernels."""
    oracle, q = on_device((oracle, q))
    z = q.support()
    with ops.use("triton"):
        prior = Bernoulli(oracle.prior.expand(z.shape[-2:])).log_prob(z)
        log_p = prior + Bernoulli(z @ oracle.weight.T + oracle.bias).log_prob(oracle.x)
        log_q = q.log_prob(z)
    return log_q.cpu(), (log_p - log_q).cpu()


@pytest.mark.law
@settings(max_examples=15)
@given(strategies.sigmoid_beliefs())
def test_lower_bounds_of_kernel_densities_are_below_in_expectation(case):
    oracle, logits = case
    log_q, log_w = weights(oracle, Bernoulli(logits))
    for bound in LOWER.values():
        laws.below(expected(bound, log_q, log_w, 4), oracle.log_evidence(), 1e-8)


@pytest.mark.law
@settings(max_examples=15)
@given(strategies.sigmoid_beliefs())
def test_exact_bounds_of_kernel_densities_enclose_the_evidence(case):
    """q is uniform, so that its mean is the plain one over all values."""
    oracle, logits = case
    _, log_w = weights(oracle, Bernoulli(torch.zeros_like(logits)))
    evidence = oracle.log_evidence()
    upper = [bounds.Cubo(1.0), bounds.Cubo(2.0), bounds.Tvo((0.0, 0.3, 1.0), "right"), bounds.vr_max]
    lower = [bounds.elbo, bounds.Renyi(0.5), bounds.Tvo(bounds.linear_betas(4))]
    lower += [bounds.Csiszar(f) for f in GENERATORS.values()]
    for low in lower:
        for high in upper:
            laws.sandwiched(low(log_w), evidence, high(log_w), 1e-8)
