import pytest
import torch
from torch.func import grad

from jensen.core import flows, keys, trees
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
    Given,
    Hierarchical,
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
    second = Given(params, lambda p, z: Bernoulli(z @ p["weight"].T + p["bias"]))
    return Hierarchical.of((Bernoulli(0.5 * noise(N, D1)), D1), (second, D2))


def normal():
    def condition(p, z):
        loc = torch.tanh(z @ p["weight"].T)
        return DiagNormal(loc, p["log_scale"].expand_as(loc))

    first = DiagNormal(noise(N, D1), 0.3 * noise(N, D1))
    return Hierarchical.of((first, D1), (Given({"weight": noise(D2, D1), "log_scale": 0.2 * noise(D2)}, condition), D2))


def values():
    """All 2^5 values of (z1, z2), (32, N, 5)."""
    return Bernoulli(torch.zeros(N, D1 + D2, dtype=torch.float64)).support()


def test_the_log_probability_is_that_of_both_layers():
    q, z = bernoulli(), values()
    first, second = q.layers
    given = z[..., :D1] @ second.params["weight"].T + second.params["bias"]
    expected = bernoulli_log_density(z[..., :D1], first.logits) + bernoulli_log_density(z[..., D1:], given)
    torch.testing.assert_close(q.log_prob(z), expected)
    torch.testing.assert_close(q.log_prob(z).exp().sum(0), torch.ones(N, dtype=torch.float64))


def test_reparameterised_samples_are_those_of_the_layers():
    q, eps = normal(), (noise(4, N, D1), noise(4, N, D2))
    first, second = q.layers
    z = q.sample(eps)
    assert q.reparameterised
    assert not bernoulli().reparameterised
    given = second(z[..., :D1])
    torch.testing.assert_close(z[..., D1:], given.loc + given.log_scale.exp() * eps[1])
    expected = normal_log_density(z[..., :D1], *first) + normal_log_density(z[..., D1:], *given)
    torch.testing.assert_close(q.log_prob(z), expected)


def test_a_stopped_value_keeps_the_path_through_the_condition():
    """Parameters of both layers are constants; d log q / d z1 still has the term of q(z2 | z1)."""
    q, z = normal(), noise(3, N, D1 + D2)
    for slope in trees.leaves(grad(lambda q: trees.stop(q).log_prob(z).sum())(q)):
        assert torch.equal(slope, torch.zeros_like(slope))
    stopped = trees.stop(q)
    slope = grad(lambda z: stopped.log_prob(z).sum())(z)
    torch.testing.assert_close(slope, grad(lambda z: q.log_prob(z).sum())(z))
    alone = grad(lambda z1: q.layers[0].log_prob(z1).sum())(z[..., :D1])
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
def test_every_family_has_layers(name):
    """log_prob is that of the layers, of samples that are theirs with the noise of each."""
    q = Hierarchical.of((FAMILIES[name], D1), (Given({"like": FAMILIES[name]}, same_fields), D2))
    eps = q.noise(KEY, 4)
    z = q.sample(eps)
    z1, z2 = z.split([D1, D2], -1)
    given = same_fields({"like": FAMILIES[name]}, z1)
    assert torch.equal(z1, FAMILIES[name].sample(eps[0]))
    assert torch.equal(z2, given.sample(eps[1]))
    torch.testing.assert_close(q.log_prob(z), FAMILIES[name].log_prob(z1) + given.log_prob(z2))
    assert q.log_prob(z).shape == (4, N)


def test_layers_may_be_of_several_families_and_the_third_is_given_both_before_it():
    def coins(p, z):
        return Bernoulli(z + p["shift"])

    def rates(p, z):
        return Gamma(1 + z.square().sum(-1, keepdim=True), p["rate"].expand(*z.shape[:-1], 1))

    params = {"shift": noise(D1), "rate": noise(1).exp()}
    full = FullNormal(noise(N, D1), 0.2 * noise(N, D1), noise(N, D1, D1))
    q = Hierarchical.of((full, D1), (Given(params, coins), D1), (Given(params, rates), 1))
    z = q.sample(q.noise(KEY, 5))
    z1, z2, z3 = z.split([D1, D1, 1], -1)
    expected = full.log_prob(z1) + coins(params, z1).log_prob(z2) + rates(params, z[..., : 2 * D1]).log_prob(z3)
    torch.testing.assert_close(q.log_prob(z), expected)
    assert not q.reparameterised
    with pytest.raises(TypeError, match="expected z2 continuous, got Bernoulli"):
        q.bijection()


def test_wrong_sizes_raise():
    q = bernoulli()
    with pytest.raises(ValueError, match=r"expected z with 2 \+ 3 components on the last axis, got"):
        q.log_prob(torch.zeros(4, N, D1, dtype=torch.float64))
    wrong = q._replace(sizes=Static((2, 4)))
    eps = wrong.noise(KEY, 2)
    with pytest.raises(ValueError, match=r"expected layers of sizes \(2, 4\), got \(2, 3\)"):
        wrong.sample(eps)
    with pytest.raises(TypeError, match="expected noise, a tuple with that of each of 2 layers, got a tensor"):
        q.sample(noise(4, N, D1 + D2))
    with pytest.raises(TypeError, match="expected pairs of"):
        Hierarchical.of(Bernoulli(noise(N, D1)), 2)
    with pytest.raises(TypeError, match="nothing precedes it"):
        Hierarchical.of((q.layers[1], D2))


def test_a_hierarchy_goes_through_flows():
    """Its noise is a tuple: an evaluation asks what a flow on top of q is worth."""
    q = Hierarchical.of(
        (DiagNormal(torch.zeros(3, 2).double(), torch.zeros(3, 2).double()), 2),
        (Given({}, lambda params, z: DiagNormal(z[..., :1], torch.zeros_like(z[..., :1]))), 1),
    )
    pushed = Pushforward(q, flows.real_nvp(keys.key(1), 3, n=3, dtype=torch.float64))
    noise = pushed.noise(keys.key(2), 4)
    z, log_q = pushed.sample_and_log_prob(noise)
    torch.testing.assert_close(z, pushed.sample(noise))
    torch.testing.assert_close(log_q, pushed.log_prob(z))
