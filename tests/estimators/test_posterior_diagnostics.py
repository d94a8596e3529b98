"""Active units, collapse and information, with planted latents and informations in closed form."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.core.distributions import Bernoulli, Categorical, DiagNormal, Dirichlet, Gamma, Hierarchical
from jensen.estimators.diagnostics import active_units, aggregate_information, collapse, kl_per_dimension

KEY = keys.key(22)
ACTIVE = (1, 4, 7)


def planted(n=500, d=10):
    """Three latents that follow the data, seven at the prior but for a little noise: their variances are 1 and 1e-6."""
    size = torch.full((d,), 1e-3)
    size[list(ACTIVE)] = 1.0
    scale = torch.zeros(d)
    scale[list(ACTIVE)] = -1.0
    q = DiagNormal(size * keys.normal(KEY, (n, d)), scale.expand(n, d).clone())
    return q, DiagNormal(torch.zeros(n, d), torch.zeros(n, d))


def test_three_planted_latents_are_active_and_seven_collapsed():
    q, p = planted()
    units, gone = active_units(q), collapse(q, p)
    assert units.active.nonzero()[:, 0].tolist() == list(ACTIVE)
    assert torch.equal(gone.collapsed, ~units.active)
    torch.testing.assert_close(units.variance, q.loc.var(0))
    torch.testing.assert_close(gone.kl.sum(), q.kl(p).mean())
    assert units.verdict() == (
        "3 of 10 units active, by a variance over data of posterior means above 0.01: unused: 0, 2, 3, 5, 6, 8, 9"
    )
    assert gone.verdict().startswith(
        "7 of 10 dimensions collapsed to the prior (KL below 0.01 nats on at least 0.99 of the data): 0, 2, 3, 5"
    )


def test_a_dimension_used_by_some_data_has_not_collapsed():
    q, p = planted()
    loc = q.loc.clone()
    loc[:10, 0] = 3.0  # 2 % of the data
    gone = collapse(q._replace(loc=loc), p)
    assert not gone.collapsed[0]
    assert abs(gone.negligible[0] - 0.98) < 1e-6
    assert collapse(q._replace(loc=loc), p, delta=0.03).collapsed[0]
    q, p = planted(d=8)
    every = DiagNormal(torch.ones_like(q.loc), q.log_scale)
    assert collapse(every, p).verdict().startswith("no dimension of 8 has collapsed")


def test_constant_means_are_inactive_wherever_they_are():
    q = DiagNormal(torch.full((50, 2), 300.0), torch.zeros(50, 2))
    assert not active_units(q).active.any()
    assert active_units(q.loc + torch.arange(50.0)[:, None]).active.all()


def test_discrete_posteriors_have_active_units_too():
    n = 200
    logits = torch.zeros(n, 3)
    logits[:, 2] = 4 * keys.normal(KEY, (n,))
    assert active_units(Bernoulli(logits)).active.tolist() == [False, False, True]
    one_of_three = torch.zeros(n, 2, 3)
    one_of_three[:, 1, 0] = 4 * keys.normal(KEY, (n,))
    assert active_units(Categorical(one_of_three)).active.tolist() == [False, True]


@pytest.mark.parametrize("family", [DiagNormal, Bernoulli, Categorical, Gamma])
def test_kl_by_dimension_sums_to_the_kl(family):
    shape = (4, 3, 5) if family is Categorical else (4, 3)
    fields = len(family._fields)
    draw = [[keys.normal(k, shape, torch.float64) for k in keys.split(keys.fold_in(KEY, i), fields)] for i in (0, 1)]
    q, p = (family(*(t.exp() if family is Gamma else t for t in each)) for each in draw)
    by_dimension = kl_per_dimension(q, p)
    assert by_dimension.shape == (4, 3)
    torch.testing.assert_close(by_dimension.sum(-1), q.kl(p))
    alone = family(*(t[:, 1:2] for t in q)).kl(family(*(t[:, 1:2] for t in p)))
    torch.testing.assert_close(by_dimension[:, 1], alone)


def test_what_has_no_dimensions_or_no_mean_raises():
    q = Dirichlet(torch.ones(4, 3))
    with pytest.raises(TypeError, match="independent dimensions"):
        collapse(q, q)
    with pytest.raises(TypeError, match="one family"):
        collapse(planted()[0], Bernoulli(torch.zeros(500, 10)))
    with pytest.raises(TypeError, match=r"pass q\.sample"):
        active_units(Hierarchical(planted()[0], {}, lambda *_: None, 2))
    with pytest.raises(ValueError, match="n >= 2 data, got \\(1, 2\\)"):
        active_units(torch.zeros(1, 2))


def normals(loc, scale):
    loc = loc.double()
    q = DiagNormal(loc, torch.full_like(loc, math.log(scale)))
    return q, DiagNormal(torch.zeros_like(loc), torch.zeros_like(loc))


def test_information_of_separate_data_is_log_n():
    found = aggregate_information(*normals(1000.0 * torch.arange(32.0)[:, None], 1.0), KEY)
    torch.testing.assert_close(found.lower.item(), math.log(32))
    assert found.upper > 100  # nothing but the datum itself explains z
    assert "close to log n = 3.47" in found.verdict()


def test_information_of_a_collapsed_posterior_is_zero():
    found = aggregate_information(*normals(torch.zeros(50, 3), 1.0), KEY)
    for value in (found.lower, found.upper, found.kl, found.marginal_kl):
        assert value.abs() < 1e-12
    assert "the latent code is not used" in found.verdict()


def test_two_clusters_hold_log_2():
    found = aggregate_information(*normals(200.0 * (torch.arange(40.0) % 2)[:, None], 1.0), KEY)
    torch.testing.assert_close(found.lower.item(), math.log(2))
    torch.testing.assert_close(found.upper.item(), math.log(39 / 19))  # of 39 others, 19 are in the same cluster


def test_the_two_estimates_bracket_the_information_of_a_linear_channel():
    """z = a x + s e, x and e standard normal: I = log(1 + (a / s)^2) / 2; 4 standard errors, 6e-5 by chance a side."""
    a, s, n = 1.0, 0.5, 400
    exact = 0.5 * math.log(1 + (a / s) ** 2)
    estimates = [aggregate_information(*normals(a * keys.normal(k, (n, 1)), s), k) for k in keys.split(KEY, 40)]
    lower, upper = (torch.stack([getattr(e, name) for e in estimates]) for name in ("lower", "upper"))
    assert lower.mean() - 4 * lower.std() / 40**0.5 < exact
    assert upper.mean() + 4 * upper.std() / 40**0.5 > exact
    assert (upper > lower).all()
    assert lower.mean() > exact - 0.05
    assert upper.mean() < exact + 0.05
    assert 0.5 < torch.stack([e.error for e in estimates]).mean() / lower.std() < 2


def test_the_marginal_kl_is_that_of_the_aggregate():
    """q(z) = N(0, a^2 + s^2) for the population: KL to N(0, 1) in closed form, to 0.1 nats."""
    a, s = 2.0, 0.5
    found = aggregate_information(*normals(a * keys.normal(KEY, (2000, 1)), s), KEY)
    variance = a**2 + s**2
    assert abs(found.marginal_kl - 0.5 * (variance - 1 - math.log(variance))) < 0.1


def test_chunks_change_nothing_and_discrete_posteriors_work():
    q, p = normals(keys.normal(KEY, (17, 3)), 0.5)
    whole, parts = aggregate_information(q, p, KEY, s=3), aggregate_information(q, p, KEY, s=3, chunk=60)
    for x, y in zip(whole, parts, strict=True):
        torch.testing.assert_close(x, y)
    logits = torch.tensor([[30.0], [-30.0]]).repeat(10, 1)
    found = aggregate_information(Bernoulli(logits), Bernoulli(torch.zeros(20, 1)), KEY)
    assert abs(found.lower - math.log(2)) < 1e-5


def test_one_datum_has_no_aggregate():
    with pytest.raises(ValueError, match="n >= 2 data, got 1"):
        aggregate_information(*normals(torch.zeros(1, 2), 1.0), KEY)
