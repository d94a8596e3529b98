"""Active units, collapse and information, with planted latents and informations in closed form."""

import math

import pytest
import torch

from jensen.core import flows, keys
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
)
from jensen.core.divergences import kl_per_dimension
from jensen.estimators.diagnostics import Information, active_units, aggregate_information, collapse

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
        "3 of 10 units active, by posterior means whose variance over data is above 0.01: all but 0, 2, 3, 5, 6, 8, 9"
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


def test_verdicts_that_differ_name_their_rules_and_how_near_they_are():
    """A unit whose mean is constant but whose KL is 0.02 nats: inactive by one rule, not collapsed by the other."""
    q, p = planted(d=8)
    loc = torch.ones_like(q.loc) * torch.arange(500.0)[:, None]
    loc[:, 7] = 0.2
    q = DiagNormal(loc, torch.zeros_like(loc))
    assert active_units(q).verdict() == (
        "7 of 8 units active, by posterior means whose variance over data is above 0.01: all but 7"
    )
    assert collapse(q, p).verdict() == (
        "no dimension of 8 has collapsed (KL below 0.01 nats on at least 0.99 of the data): the least mean KL is 0.02 "
        "nats, dimension 7"
    )
    loc[:, 3] = 0.0
    assert collapse(q, p).verdict().endswith("the least mean KL of the others is 0.02 nats, dimension 7")
    assert active_units(loc[:, 3:4]).verdict().endswith("above 0.01: none")
    assert active_units(loc[:, :2]).verdict().endswith("above 0.01: every one")
    assert "others" not in collapse(DiagNormal(0 * loc, 0 * loc), p).verdict()


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_broken_dimensions_are_named_and_neither_unused_nor_used(wrong):
    q, p = planted()
    q.loc[17, 4] = wrong
    assert active_units(q).verdict().startswith("no verdict: posterior means of units 4 of 10 give NaN or infinite")
    assert collapse(q, p).verdict().startswith("no verdict: KLs of dimensions 4 of 10 give NaN or infinite numbers")


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


@pytest.mark.parametrize("family", [DiagNormal, Bernoulli, Categorical, ContinuousBernoulli, Gamma, Beta])
def test_kl_by_dimension_sums_to_the_kl(family):
    shape = (4, 3, 5) if family is Categorical else (4, 3)
    fields = len(family._fields)
    draw = [[keys.normal(k, shape, torch.float64) for k in keys.split(keys.fold_in(KEY, i), fields)] for i in (0, 1)]
    q, p = (family(*(t.exp() if family in (Gamma, Beta) else t for t in each)) for each in draw)
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
        active_units(Hierarchical.of((planted()[0], 2), (Given({}, lambda params, z: planted()[0]), 2)))
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


def test_two_clusters_have_an_information_of_log_2():
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


def test_every_draw_counts():
    """Draw i of s is the first draw of the key moved on by i, and the values are the means over draws."""
    q, p = normals(keys.normal(KEY, (17, 2)), 0.5)
    each = [aggregate_information(q, p, keys.at(KEY, particle=i)) for i in range(3)]
    whole = aggregate_information(q, p, KEY, s=3)
    for name in ("lower", "upper"):
        torch.testing.assert_close(getattr(whole, name), torch.stack([getattr(e, name) for e in each]).mean())


def test_the_error_falls_with_draws_where_data_are_alike():
    """On a circle data have equal information: what is left of the error is noise of draws, a tenth at s = 100."""
    angle = torch.arange(30.0) * 2 * math.pi / 30
    q, p = normals(2 * torch.stack([angle.cos(), angle.sin()], 1), 0.5)
    few, many = (aggregate_information(q, p, KEY, s=s).error for s in (1, 100))
    assert 0.05 < many / few < 0.2


def test_verdicts_on_information_are_in_order_and_never_below_zero():
    def information(lower, upper):
        return Information(*torch.tensor([lower, upper, 0.03, 0.5]), 100)

    assert information(-0.02, -0.03).verdict().startswith("z carries between 0.00 and 0.00 nats about x (± 0.03)")
    assert information(0.32, 0.30).verdict().startswith("z carries between 0.30 and 0.32 nats")
    assert information(0.69, math.inf).verdict().startswith("z carries between 0.69 and inf nats")
    assert information(math.nan, 0.0).verdict().startswith("no verdict")


def test_information_needs_a_family_with_a_kl():
    q = normals(keys.normal(KEY, (5, 2)), 0.5)[0]
    full = FullNormal.from_diagonal(q)
    a, b = aggregate_information(q, q, KEY), aggregate_information(full, full, KEY)
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y)
    flow = Pushforward(q, flows.real_nvp(KEY, 2, n=5, dtype=torch.float64))
    for wrong, p in ((full, q), (flow, flow), (Hierarchical.of((q, 2), (Given({}, lambda params, z: q), 2)), q)):
        with pytest.raises(TypeError, match=f"of (one|a) family.* got {type(wrong).__name__}"):
            aggregate_information(wrong, p, KEY)


def test_one_datum_has_no_aggregate():
    with pytest.raises(ValueError, match="n >= 2 data, got 1"):
        aggregate_information(*normals(torch.zeros(1, 2), 1.0), KEY)
