"""Which bijection a distribution has, and the two that distributions are made of: half-lines and compositions."""

import pytest
import torch
from torch import distributions as td
from torch.func import jacrev

from jensen.core import bijections, flows, keys, trees
from jensen.core.distributions import Bernoulli, Beta, DiagNormal, Gamma, Given, Hierarchical, Pushforward, from_torch

KEY = keys.key(13)
ONE = torch.ones(2, 3, dtype=torch.float64)
NORMAL = DiagNormal(0 * ONE, 0 * ONE)
NVP = flows.real_nvp(KEY, 3, 2, dtype=torch.float64)
ABOVE = bijections.Above(torch.tensor([1.0, -2.0, 30.0], dtype=torch.float64))


def layers(q):
    """Both layers alike."""
    return Hierarchical.of((q, 3), (Given({}, lambda params, z: trees.map(lambda t: t.expand_as(z), q)), 3))


CHOSEN = {
    "a family's": (Gamma(ONE, ONE), "Positive"),
    "flows of R^d": (Pushforward(NORMAL, NVP), "Real"),
    "from the first bijection on": (Pushforward(NORMAL, (*NVP, bijections.Positive())), "Positive"),
    "a bijection, then flows": (Pushforward(NORMAL, (bijections.Ordered(), *NVP)), "Composed"),
    "of a constrained base": (Pushforward(Gamma(ONE, ONE), (ABOVE,)), "Composed"),
    "of an unconstrained pushforward": (Pushforward(Pushforward(NORMAL, NVP), (ABOVE,)), "Above"),
    "layers of normals": (layers(NORMAL), "Real"),
    "layers of betas": (layers(Beta(ONE, ONE)), "Concatenated"),
    "torch's reals": (from_torch(td.Independent(td.Gumbel(ONE, ONE), 1)), "Real"),
    "torch's half-line": (from_torch(td.Independent(td.HalfNormal(ONE), 1)), "Positive"),
    "torch's greater than": (from_torch(td.Independent(td.Pareto(ONE, ONE), 1)), "Above"),
    "torch's interval": (from_torch(td.Independent(td.Uniform(ONE, 2 * ONE), 1)), "Interval"),
    "torch's unit interval": (from_torch(td.Independent(td.Kumaraswamy(ONE, ONE), 1)), "UnitInterval"),
    "torch's vectors": (from_torch(td.MultivariateNormal(ONE, torch.eye(3).double())), "Real"),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_the_bijection_is_the_supports(name):
    q, kind = CHOSEN[name]
    onto = q.bijection()
    assert type(onto).__name__ == kind
    z = q.sample(q.noise(KEY, 4))
    assert onto.contains(z).all()
    free, _ = onto.inverse(z)
    torch.testing.assert_close(onto.forward(free)[0], z)


@pytest.mark.parametrize(
    ("q", "message"),
    [
        (layers(Bernoulli(ONE)), "expected z1 continuous, got Bernoulli: no bijection"),
        (layers(CHOSEN["torch's interval"][0]), "that is no function of the fields, got FromTorch on an interval"),
        (Pushforward(Bernoulli(ONE), ()), "expected a continuous base, got Bernoulli"),
        (from_torch(td.Exponential(ONE[:, 0])), r"event axis \(n, d\), got one Exponential per datum: .*Independent"),
    ],
)
def test_what_has_none_says_so(q, message):
    with pytest.raises(TypeError, match=message):
        q.bijection()


@pytest.mark.parametrize(
    "onto",
    [
        ABOVE,
        bijections.Composed((bijections.UnitInterval(), ABOVE)),
        bijections.Composed((bijections.Ordered(), bijections.Positive())),
    ],
    ids=lambda onto: f"{type(onto).__name__} {[type(part).__name__ for part in getattr(onto, 'parts', ())]}",
)
def test_log_dets_are_those_of_jacobians_and_inverses_undo(onto):
    z = keys.normal(KEY, (5, 3), torch.float64)
    value, log_det = onto.forward(z)
    back, minus = onto.inverse(value)
    assert onto.contains(value).all()
    torch.testing.assert_close(back, z)
    torch.testing.assert_close(minus, -log_det)
    for row, found in zip(z, log_det, strict=True):
        jacobian = jacrev(lambda z: onto.forward(z)[0])(row)
        torch.testing.assert_close(found, torch.linalg.slogdet(jacobian).logabsdet)


def test_half_lines_end_inside_their_type():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        onto = bijections.Above(torch.tensor([1.0, -2.0], dtype=dtype))
        for z in (-1e4, 1e4):
            value, _ = onto.forward(torch.full((2,), z, dtype=dtype))
            assert value.isfinite().all()
            assert onto.contains(value)


def test_a_composition_contains_what_comes_from_its_first_set():
    onto = bijections.Composed((bijections.UnitInterval(), ABOVE))  # low + e^u, u in (0, 1)
    low = ABOVE.low
    assert onto.contains(low + 2)
    for off in (0.5, 3.0, -1.0):
        assert not onto.contains(low + off)
