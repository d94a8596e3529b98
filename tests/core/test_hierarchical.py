import pytest
import torch
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.distributions import Bernoulli, DiagNormal, Hierarchical
from jensen.core.trees import Static
from jensen.laws.oracles import bernoulli_log_density, normal_log_density

KEY = keys.key(5)
N, D1, D2 = 2, 2, 3


def noise(*shape):
    return keys.normal(KEY, shape, torch.float64)


def bernoulli():
    params = {"weight": 0.5 * noise(D2, D1), "bias": 0.5 * noise(D2)}
    return Hierarchical(
        Bernoulli(0.5 * noise(N, D1)), params, Static(lambda p, z: Bernoulli(z @ p["weight"].T + p["bias"])), Static(D2)
    )


def normal():
    def condition(p, z):
        loc = torch.tanh(z @ p["weight"].T)
        return DiagNormal(loc, p["log_scale"].expand_as(loc))

    first = DiagNormal(noise(N, D1), 0.3 * noise(N, D1))
    return Hierarchical(first, {"weight": noise(D2, D1), "log_scale": 0.2 * noise(D2)}, Static(condition), Static(D2))


def values():
    """All 2^5 values of (z1, z2), (32, N, 5)."""
    return Bernoulli(torch.zeros(N, D1 + D2, dtype=torch.float64)).support()


def test_the_log_probability_is_that_of_both_layers():
    q, z = bernoulli(), values()
    given = z[..., :D1] @ q.params["weight"].T + q.params["bias"]
    expected = bernoulli_log_density(z[..., :D1], q.first.logits) + bernoulli_log_density(z[..., D1:], given)
    torch.testing.assert_close(q.log_prob(z), expected)
    torch.testing.assert_close(q.log_prob(z).exp().sum(0), torch.ones(N, dtype=torch.float64))


def test_reparameterised_samples_are_those_of_the_layers():
    q, eps = normal(), noise(4, N, D1 + D2)
    z = q.sample(eps)
    assert q.reparameterised
    assert not bernoulli().reparameterised
    given = q.condition.value(q.params, z[..., :D1])
    torch.testing.assert_close(z[..., D1:], given.loc + given.log_scale.exp() * eps[..., D1:])
    expected = normal_log_density(z[..., :D1], *q.first) + normal_log_density(z[..., D1:], *given)
    torch.testing.assert_close(q.log_prob(z), expected)


def test_a_stopped_value_keeps_the_path_through_the_condition():
    """Parameters of both layers are constants; d log q / d z1 still has the term of q(z2 | z1)."""
    q, z = normal(), noise(3, N, D1 + D2)

    def total(first, params):
        return trees.stop(q._replace(first=first, params=params)).log_prob(z).sum()

    for slope in trees.leaves(grad(total, (0, 1))(q.first, q.params)):
        assert torch.equal(slope, torch.zeros_like(slope))
    stopped = trees.stop(q)
    slope = grad(lambda z: stopped.log_prob(z).sum())(z)
    torch.testing.assert_close(slope, grad(lambda z: q.log_prob(z).sum())(z))
    alone = grad(lambda z1: q.first.log_prob(z1).sum())(z[..., :D1])
    assert (slope[..., :D1] - alone).abs().min() > 1e-6


def test_wrong_sizes_raise():
    q = bernoulli()
    with pytest.raises(ValueError, match=r"expected z = \(z1, z2\) with 2 \+ 3 components on the last axis, got"):
        q.log_prob(torch.zeros(4, N, D1, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"expected q\(z2 \| z1\) with fields \(4, 2, 4\), got \(4, 2, 3\)"):
        q._replace(second=Static(4)).log_prob(torch.zeros(4, N, 6, dtype=torch.float64))
