import pytest
import torch
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.bijections import Positive
from jensen.core.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    ContinuousBernoulli,
    DiagNormal,
    Dirichlet,
    FullNormal,
    Gamma,
    Hierarchical,
    LinearBernoulli,
    Pushforward,
    from_torch,
)
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


FAMILIES = {
    "Bernoulli": Bernoulli(noise(N, D1)),
    "Categorical": Categorical(noise(N, 1, D1)),
    "DiagNormal": DiagNormal(noise(N, D1), noise(N, D1)),
    "ContinuousBernoulli": ContinuousBernoulli(noise(N, D1)),
    "Gamma": Gamma(noise(N, D1).exp(), noise(N, D1).exp()),
    "Beta": Beta(noise(N, D1).exp(), noise(N, D1).exp()),
    "Dirichlet": Dirichlet(noise(N, D1).exp()),
    "FromTorch": from_torch(torch.distributions.Independent(torch.distributions.Weibull(*noise(2, N, D1).exp()), 1)),
    "Pushforward": Pushforward(DiagNormal(noise(N, D1), noise(N, D1)), (Positive(),)),
}


def same_fields(params, z1):
    """One value of every field of the family, for each sample, datum and component."""
    q, rows = params["like"], z1.mean(-1, keepdim=True).expand(*z1.shape[:-1], D2)
    return trees.map(lambda t: 1 + rows.square() / 2, q)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_of_fields_of_one_shape_has_layers(name):
    """log_prob is that of the layers, of samples that are theirs with the noise of both side by side."""
    q = Hierarchical(FAMILIES[name], {"like": FAMILIES[name]}, Static(same_fields), Static(D2))
    noise_of_both = q.noise(KEY, 4)
    z = q.sample(noise_of_both)
    z1, z2 = z.split([D1, D2], -1)
    first, second = noise_of_both.split([D1, D2], trees.leaves(q.first)[0].ndim)
    given = same_fields({"like": q.first}, z1)
    assert torch.equal(z1, q.first.sample(first))
    assert torch.equal(z2, given.sample(second))
    torch.testing.assert_close(q.log_prob(z), q.first.log_prob(z1) + given.log_prob(z2))
    assert q.log_prob(z).shape == (4, N)


@pytest.mark.parametrize(
    "first",
    [
        FullNormal(*torch.zeros(2, N, D1), torch.zeros(N, D1, D1)),
        LinearBernoulli(torch.zeros(N, 4), torch.zeros(D1, 4), torch.zeros(D1)),
        Hierarchical(Bernoulli(noise(N, D1)), {"a": noise(3)}, Static(lambda p, z: Bernoulli(z)), Static(D1)),
    ],
    ids=lambda q: type(q).__name__,
)
def test_families_of_other_fields_are_refused_alike(first):
    q = Hierarchical(first, {}, Static(lambda p, z: first), Static(D2))
    z = torch.zeros(2, N, D1 + D2)
    message = rf"expected a q\(z1\) with fields \(n, d1\) alone, got {type(first).__name__}"
    for call in (lambda: q.noise(KEY, 2), lambda: q.sample(z), lambda: q.log_prob(z)):
        with pytest.raises(TypeError, match=message):
            call()


def test_wrong_sizes_raise():
    q = bernoulli()
    with pytest.raises(ValueError, match=r"expected z = \(z1, z2\) with 2 \+ 3 components on the last axis, got"):
        q.log_prob(torch.zeros(4, N, D1, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"expected q\(z2 \| z1\) with fields \(4, 2, 4\), got \(4, 2, 3\)"):
        q._replace(second=Static(4)).log_prob(torch.zeros(4, N, 6, dtype=torch.float64))
