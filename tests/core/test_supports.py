"""Supports of the distributions that others are made of, and the rules at their edges."""

import math

import pytest
import torch
from torch import distributions as td
from torch.func import grad

from jensen import laws
from jensen.core import bijections, keys
from jensen.core.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    ContinuousBernoulli,
    DiagNormal,
    Dirichlet,
    Gamma,
    Given,
    Hierarchical,
    LinearBernoulli,
    LinearCategorical,
    Pushforward,
    from_torch,
)

KEY = keys.key(12)
ONE = torch.ones(2, 2, dtype=torch.float64)
UNIT = DiagNormal(0.3 * ONE, -0.2 * ONE)
INDEPENDENT = {
    "exponential": td.Exponential(ONE),
    "uniform": td.Uniform(ONE, 3 * ONE),
    "Pareto": td.Pareto(ONE, 3 * ONE),
    "Kumaraswamy": td.Kumaraswamy(2 * ONE, 3 * ONE),
    "half-normal": td.HalfNormal(ONE),
}
MADE = {
    "log-normal": Pushforward(UNIT, (bijections.Positive(),)),
    "logistic normal": Pushforward(UNIT, (bijections.Simplex(),)),
    "shifted gamma": Pushforward(Gamma(3 * ONE, ONE), (bijections.Above(torch.tensor(1.0).double()),)),
    "Hierarchical of gammas": Hierarchical.of(
        (Gamma(3 * ONE, ONE), 2), (Given({"rate": ONE[0]}, lambda p, z: Gamma(2 + 0 * z, p["rate"] + z)), 2)
    ),
    "Hierarchical of betas": Hierarchical.of(
        (Beta(3 * ONE, 2 * ONE), 2), (Given({}, lambda p, z: Beta(2 + z, 3 - z)), 2)
    ),
    "Hierarchical of Dirichlets": Hierarchical.of(
        (Dirichlet(3 * ONE), 2), (Given({}, lambda p, z: Dirichlet(2 + z)), 2)
    ),
    **{name: from_torch(td.Independent(d, 1)) for name, d in INDEPENDENT.items()},
}
OWED = ("log_prob_is_minus_infinity_outside_the_support", "nan_stays_nan", "the_bijection_is_onto_the_support")


@pytest.mark.parametrize("name", OWED)
@pytest.mark.parametrize("q", MADE.values(), ids=MADE)
def test_laws_of_supports(q, name):
    (law,) = (law for law in laws.laws_for(q) if law.name == name)
    law(laws.Subject(q), 15)


def at(q, *values):
    """log_prob of one datum of these components."""
    dtype = torch.float64
    return q.log_prob(torch.tensor([[values]], dtype=dtype)).item()


def one(*values):
    return torch.tensor([values], dtype=torch.float64)


def test_edges_have_the_limit_of_the_density():
    rate = one(3.0)
    for concentration, limit in ((0.5, math.inf), (1.0, math.log(3)), (2.0, -math.inf)):
        assert at(Gamma(one(concentration), rate), 0.0) == pytest.approx(limit)
        for beta, end in ((Beta(one(concentration), one(1.0)), 0.0), (Beta(one(1.0), one(concentration)), 1.0)):
            assert at(beta, end) == pytest.approx(limit if math.isinf(limit) else 0.0, abs=1e-14)
    logit = ContinuousBernoulli(one(2.0))
    assert at(logit, 1.0) - at(logit, 0.0) == pytest.approx(2.0)
    assert at(Dirichlet(one(1.0, 1.0)), 0.0, 1.0) == pytest.approx(0.0, abs=1e-14)


@pytest.mark.parametrize(("off", "inside"), [(5e-7, True), (-5e-7, True), (2e-6, False), (-2e-6, False)])
def test_the_simplex_is_that_of_the_bijection(off, inside):
    shares = torch.tensor([[[0.2, 0.3, 0.5 + off]]], dtype=torch.float64)
    assert bijections.Simplex().contains(shares).item() == inside
    assert Dirichlet(one(2.0, 1.0, 3.0)).log_prob(shares).isfinite().item() == inside
    assert Categorical(one([0.1, 0.2, 0.3])).log_prob(shares[..., None, :]).isfinite().item() == inside


def discrete(dtype=torch.float64):
    """Those whose log_prob takes relaxed values, with the fields (1, 2) or (1, 1, 2) of one logit 0.3 and -0.7."""
    logits, eye = torch.tensor([[0.3, -0.7]], dtype=dtype), torch.eye(2, dtype=dtype)
    nothing = torch.zeros(2, dtype=dtype)
    return {
        "Bernoulli": Bernoulli(logits),
        "LinearBernoulli": LinearBernoulli(logits, eye, nothing),
        "LinearBernoulli of samples": LinearBernoulli(logits[None], eye, nothing),
        "Hierarchical": Hierarchical.of(
            (Bernoulli(logits[:, :1]), 1), (Given({"shift": logits[0, 1:]}, lambda p, z: Bernoulli(z + p["shift"])), 1)
        ),
    }


@pytest.mark.parametrize("name", discrete())
def test_between_its_values_a_bernoulli_has_a_cross_entropy_and_beyond_them_no_mass(name):
    q = discrete()[name]
    x = torch.tensor([[0.25, 1.0]], dtype=torch.float64)
    value = q.log_prob(x).squeeze()
    given = 0.25 - 0.7 if name == "Hierarchical" else -0.7
    exact = 0.25 * math.log(1 / (1 + math.exp(-0.3))) + 0.75 * math.log(1 / (1 + math.exp(0.3)))
    assert value.item() == pytest.approx(exact - math.log(1 + math.exp(-given)))
    for wrong in (-0.5, 1.5, 255.0, -math.inf, math.inf):
        outside = torch.tensor([[0.25, wrong]], dtype=torch.float64)
        assert (q.log_prob(outside) == -math.inf).all()
        assert (grad(lambda x: q.log_prob(x).sum())(outside) == 0).all()


def test_rounding_leaves_no_support():
    """Weights of an interpolation that sum to 1 but for rounding."""
    weights = torch.tensor([0.2, 0.3, 0.5]) / torch.tensor([0.2, 0.3, 0.5]).sum() * (1 + 2**-23)
    grey = weights.sum()[None, None]
    assert grey > 1
    assert Bernoulli(torch.zeros(1, 1)).log_prob(grey).isfinite().all()
    assert Bernoulli(torch.zeros(1, 1)).log_prob(grey + 1e-5) == -math.inf


def test_choices_off_the_simplex_have_no_mass():
    q = Categorical(one([0.3, -0.7], [0.1, 0.2]))
    for wrong in ([0.0, 0.0], [1.0, 1.0], [1.5, -0.5], [2.0, 0.0], [math.inf, 0.0]):
        z = torch.tensor([[[wrong, [0.0, 1.0]]]], dtype=torch.float64)
        assert q.log_prob(z).item() == -math.inf
        (slope,), of_value = grad(lambda q, z: q.log_prob(z).sum(), (0, 1))(q, z)
        assert (slope == 0).all()
        assert (of_value == 0).all()


@pytest.mark.parametrize("h", [one(1.0), one(1.0)[None]])
def test_counts_are_many_choices(h):
    q = LinearCategorical(h, torch.tensor([[0.3], [-0.7]], dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
    share = 1 / (1 + math.exp(-1.0))
    assert q.log_prob(one(3.0, 2.0)).item() == pytest.approx(3 * math.log(share) + 2 * math.log(1 - share))
    for wrong in (-1.0, math.inf):
        assert q.log_prob(one(wrong, 2.0)).item() == -math.inf


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_draws_are_inside_in_every_type(dtype):
    tenth = torch.full((1, 40), 0.1, dtype=dtype)
    for q in (
        Gamma(tenth, tenth),
        Beta(tenth, tenth),
        Dirichlet(tenth),
        ContinuousBernoulli(100 * tenth),
        Bernoulli(tenth),
        Categorical(tenth[None]),
    ):
        assert q.log_prob(q.sample(q.noise(KEY, 200))).isfinite().all(), type(q).__name__
