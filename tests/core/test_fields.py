"""Fields in coordinates without constraints, and those outside their domains."""

import math

import pytest
import torch
from torch import distributions as td
from torch.func import grad, vmap

from jensen.core import keys, trees
from jensen.core.bijections import Positive, Simplex
from jensen.core.distributions import (
    Beta,
    DiagNormal,
    Dirichlet,
    Gamma,
    Given,
    Hierarchical,
    Pushforward,
    from_real,
    from_torch,
    to_real,
)
from jensen.core.distributions.fields import check_domains

KEY = keys.key(6)
ONE = torch.ones(2, 3, dtype=torch.float64)
FAMILIES = {
    "Gamma": Gamma(2 * ONE, 3 * ONE),
    "Beta": Beta(2 * ONE, 3 * ONE),
    "Dirichlet": Dirichlet(2 * ONE),
    "FromTorch": from_torch(td.Independent(td.Weibull(2 * ONE, 3 * ONE), 1)),
    "Pushforward": Pushforward(Gamma(2 * ONE, 3 * ONE), (Positive(),)),
    "Hierarchical": Hierarchical.of((Gamma(2 * ONE, 3 * ONE), 3), (Given({"a": ONE}, lambda p, z: Gamma(z, z)), 3)),
}
each = pytest.mark.parametrize("q", FAMILIES.values(), ids=FAMILIES)


@each
def test_positive_fields_are_logarithms(q):
    free = to_real(q)
    moved = [t for t, was in zip(trees.leaves(free), trees.leaves(q), strict=True) if not torch.equal(t, was)]
    torch.testing.assert_close(moved[0], torch.full_like(moved[0], math.log(2)))
    assert len(moved) == (1 if isinstance(q, Dirichlet) else 2)
    for back, was in zip(trees.leaves(from_real(q, free)), trees.leaves(q), strict=True):
        torch.testing.assert_close(back, was, rtol=1e-14, atol=0)


def test_only_the_kind_gives_the_domains_and_gradients_pass():
    q = FAMILIES["Gamma"]
    free = trees.map(lambda t: t - 100, to_real(q))
    slope = grad(lambda free: from_real(q, free).concentration.log().sum())(free)
    assert torch.equal(slope.concentration, ONE)
    many = vmap(lambda free: from_real(q, free).rate)(trees.map(lambda t: torch.stack([t, t]), free))
    torch.testing.assert_close(many[1], from_real(q, free).rate)
    compiled = torch.compile(lambda free: from_real(q, free), fullgraph=True, backend="eager")
    assert torch.equal(compiled(free).rate, from_real(q, free).rate)


def negative(q):
    return trees.map(lambda t: t - 4.5, q)


@pytest.mark.parametrize("name", ["Gamma", "Beta", "Dirichlet", "FromTorch"])
def test_fields_outside_their_domain_are_refused(name):
    q = FAMILIES[name]
    noise = q.noise(KEY, 2)
    z = q.sample(noise)
    wrong = negative(q)
    calls = [lambda: wrong.sample(noise), lambda: wrong.log_prob(z)]
    if name != "FromTorch":
        calls += [wrong.mean, wrong.entropy, lambda: wrong.kl(q), lambda: q.kl(wrong)]
    for call in calls:
        with pytest.raises(
            ValueError, match=r"expected .*'s .* in the set of bijections.Positive, got -[12].5.*forward"
        ):
            call()


def test_the_error_names_the_field_and_its_wrong_values_alone():
    q = Gamma(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0]]))
    message = (
        r"expected Gamma's rate in the set of bijections.Positive, got 0: "
        r"make it bijections.Positive\(\).forward\(t\)\[0\] of any real t"
    )
    with pytest.raises(ValueError, match=message):
        q.entropy()


def test_nan_passes_and_traced_values_are_not_read():
    nan = Gamma(torch.full((1, 2), math.nan), torch.ones(1, 2))
    assert nan.entropy().isnan().all()
    wrong = Gamma(-torch.ones(3, 1, 2), torch.ones(3, 1, 2))
    assert vmap(lambda q: q.entropy())(wrong).isnan().all()
    with pytest.raises(ValueError, match="Gamma's concentration"):
        grad(lambda q: q.entropy().sum())(Gamma(*(t[0] for t in wrong)))


def test_a_users_own_domain_is_of_rows():
    class Shares(DiagNormal):
        domains = {"loc": Simplex()}  # noqa: RUF012

    check_domains(Shares(torch.full((2, 4), 0.25), torch.zeros(2, 4)))
    with pytest.raises(ValueError, match=r"Shares's loc in the set of bijections.Simplex, got 0.3, 0.3, 0.3:"):
        check_domains(Shares(torch.full((2, 4), 0.3), torch.zeros(2, 4)))
    free = to_real(Shares(torch.full((2, 4), 0.25), torch.zeros(2, 4)))
    assert free.loc.shape == (2, 3)
