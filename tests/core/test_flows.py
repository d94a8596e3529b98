"""Flows are invertible with the log determinants they claim, and push distributions forward."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import grad, vmap

from jensen import laws
from jensen.core import flows, keys, trees
from jensen.core.distributions import Bernoulli, DiagNormal, Pushforward
from jensen.estimators.gradients import pathwise, stl
from jensen.laws import strategies

KEY = keys.key(31)
F64 = torch.float64


def random_coupling(key, d, n=None):
    """Far from the identity in every field."""
    start = flows.Coupling.identity(key, d, 3, n, F64)
    drawn = zip(start, keys.split(key, 4), strict=True)
    return flows.Coupling(*(keys.normal(k, (t.numel(),), F64).reshape(t.shape) for t, k in drawn))


@pytest.mark.law
@given(strategies.seeds, st.integers(1, 4), st.sampled_from([None, 2]))
def test_flows_are_invertible(key, d, n):
    flow_key, z_key = keys.split(key)
    z = keys.normal(z_key, (3, 2, d), F64)
    laws.is_invertible(random_coupling(flow_key, d, n), z)
    laws.is_invertible(flows.Reverse(), z)


def test_a_datum_with_its_own_coupling_is_moved_as_if_alone():
    flow = random_coupling(KEY, 3, 2)
    z = keys.normal(KEY, (4, 2, 3), F64)
    for i in range(2):
        alone = flows.Coupling(*(t[i] for t in flow)).forward(z[:, i])
        for a, b in zip(flow.forward(z), alone, strict=True):
            torch.testing.assert_close(a[:, i], b)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_real_nvp_begins_as_the_identity_and_moves_every_component(d):
    base = DiagNormal(keys.normal(KEY, (2, d), F64), torch.zeros(2, d, dtype=F64))
    q = Pushforward(base, flows.real_nvp(KEY, d, 2, 4, 2, F64))
    eps = q.noise(KEY, 5)
    torch.testing.assert_close(q.sample(eps), base.sample(eps))
    torch.testing.assert_close(q.log_prob(eps), base.log_prob(eps))
    moved = q._replace(flows=(random_coupling(KEY, d, 2), flows.Reverse(), random_coupling(KEY, d), flows.Reverse()))
    assert ((moved.sample(eps) - base.sample(eps)).abs().amax((0, 1)) > 0.01).all()


def test_it_is_a_value_that_estimators_and_transforms_take():
    base = DiagNormal(torch.zeros(2, 2, dtype=F64), torch.zeros(2, 2, dtype=F64))
    q = Pushforward(base, (random_coupling(KEY, 2, 2), flows.Reverse()))
    eps = q.noise(KEY, 4)

    def log_p(z):
        return -0.5 * z.square().sum(-1) - math.log(2 * math.pi)

    assert torch.equal(pathwise(log_p, q, eps), stl(log_p, q, eps))
    slope = grad(lambda q: pathwise(log_p, q, eps).sum())(q)
    assert all(torch.isfinite(t).all() for t in trees.leaves(slope))
    assert all((t != 0).any() for t in trees.leaves(slope))
    many = vmap(lambda key: grad(lambda q: pathwise(log_p, q, q.noise(key, 4)).sum())(q).base.loc)(keys.split(KEY, 3))
    one = grad(lambda q: pathwise(log_p, q, q.noise(keys.split(KEY, 3)[1], 4)).sum())(q).base.loc
    torch.testing.assert_close(many[1], one)
    assert not any(t.requires_grad for t in trees.leaves(trees.stop(q)))


def test_bad_input_raises():
    with pytest.raises(TypeError, match="expected a continuous base, got Bernoulli"):
        Pushforward(Bernoulli(torch.zeros(2, 2)), flows.real_nvp(KEY, 2)).log_prob(torch.zeros(1, 2, 2))
    with pytest.raises(ValueError, match=r"expected z \(\.\.\., 3\), got \(2, 4\): the coupling is of 1 and 2"):
        random_coupling(KEY, 3).forward(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="even number of couplings, 2 or more, got 3"):
        flows.real_nvp(KEY, 2, 3)
