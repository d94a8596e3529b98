"""Which families have an entropy and a KL in closed form, and that pairs without one name the Monte Carlo way."""

import pytest
import torch

from jensen.core import divergences
from jensen.core.contracts import ClosedForm, can
from jensen.core.distributions import Cauchy, Multinomial, Poisson
from jensen.core.trees import Static
from jensen.laws import families, instances

BOTH = {**instances.DISTRIBUTIONS, **families.FAMILIES}
HAVE = (
    "DiagNormal", "FullNormal", "LowRankNormal", "MatrixNormal", "Laplace", "LogNormal", "Uniform", "Pareto", "Gamma",
    "InverseGamma", "ChiSquared", "Exponential", "Beta", "Dirichlet", "ContinuousBernoulli", "VonMisesFisher",
    "Bernoulli", "Binomial", "Categorical", "Geometric",
)  # fmt: skip


@pytest.mark.parametrize("name", HAVE)
def test_entropy_and_kl_are_in_closed_form(name):
    q = BOTH[name]
    assert can(q, ClosedForm)
    assert (divergences.reverse_kl(q, q).abs() < 1e-12).all()
    assert q.entropy().isfinite().all()


@pytest.mark.parametrize("name", [name for name, q in BOTH.items() if not can(q, ClosedForm)])
def test_others_name_the_monte_carlo_way(name):
    q = BOTH[name]
    with pytest.raises(TypeError, match=r"one family with a kl, got .*: average log\(q / p\) over samples instead"):
        divergences.reverse_kl(q, q)


@pytest.mark.parametrize(
    ("one", "other"), [("Gamma", "InverseGamma"), ("DiagNormal", "FullNormal"), ("Beta", "Uniform")]
)
def test_pairs_of_two_families_do_too(one, other):
    with pytest.raises(TypeError, match=r"average log\(q / p\)"):
        BOTH[one].kl(BOTH[other])


def test_what_has_a_kl_alone_has_it():
    """The Poisson has no entropy in closed form, the multinomial neither, and the Cauchy no mean."""
    one = torch.ones(1, 2)
    for q in (Poisson(one), Cauchy(one, one), Multinomial(one, Static(3))):
        assert q.kl(q).item() == 0
        assert not can(q, ClosedForm)
