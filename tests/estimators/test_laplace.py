"""Laplace's approximation against closed forms and quadrature, inside supports and where there is no mode."""

import math

import pytest
import torch
from scipy import integrate

from jensen.core import bijections
from jensen.core.contracts import Estimate
from jensen.core.distributions import Beta, ContinuousBernoulli, Dirichlet, Gamma
from jensen.estimators.evidence import bayes_factor, find_mode, importance, laplace
from tests.estimators import normalisers as gates
from tests.estimators.normalisers import F64, KEY, untouched

ORACLE, _ = gates.linear_gaussian()
ROUGHLY = 0.2  # nats for each coordinate of a posterior of one observation


def test_laplace_is_exact_for_a_normal_posterior():
    found = laplace(ORACLE.log_joint, find_mode(ORACLE.log_joint, torch.full((6, 2), 3.0, dtype=F64)).z)
    mean, covariance = ORACLE.posterior()
    torch.testing.assert_close(found.log_p, ORACLE.log_evidence())
    torch.testing.assert_close(found.mode, mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.covariance, covariance.expand(6, 2, 2))
    assert (found.climb < 1e-9).all()


def test_its_error_is_never_known_and_neither_is_what_rests_on_it():
    found = laplace(ORACLE.log_joint, find_mode(ORACLE.log_joint, torch.zeros(6, 2, dtype=F64)).z)
    estimate = importance(ORACLE.log_joint, found.posterior, KEY, 50)
    torch.testing.assert_close(estimate.log_p, ORACLE.log_evidence())  # q is the posterior
    assert (estimate.standard_error < 1e-6).all()
    assert isinstance(found, Estimate)
    assert found.standard_error.isnan().all()
    assert found.verdict() == (
        "the error of log p(x) by Laplace's approximation is not estimated; it is 0 for a normal posterior"
    )
    assert bayes_factor(found, estimate).standard_error.isnan().all()


def test_off_the_mode_there_is_no_value_but_how_far_it_is():
    mean, covariance = ORACLE.posterior()
    off = mean + torch.tensor([0.3, 0.3], dtype=F64)
    step = torch.full((2,), 0.3, dtype=F64)
    climb = 0.5 * step @ torch.linalg.inv(covariance) @ step
    with pytest.raises(ValueError, match=rf"got none: not at a mode .*, a step would gain {climb.item():.2g} nats"):
        laplace(ORACLE.log_joint, off)
    found = laplace(ORACLE.log_joint, off, tolerance=math.inf)
    torch.testing.assert_close(found.climb, climb.expand(6))
    torch.testing.assert_close(found.log_p + found.climb, ORACLE.log_evidence())


def test_it_improves_with_the_number_of_observations():
    """x successes of N, uniform prior on the probability: the evidence is 1 / (N + 1)."""
    n = torch.tensor([10.0, 100.0, 1000.0], dtype=F64)

    def log_joint(z):
        x = 0.3 * n
        binomial = torch.lgamma(n + 1) - torch.lgamma(x + 1) - torch.lgamma(n - x + 1)
        return binomial + x * z[..., 0].log() + (n - x) * torch.log1p(-z[..., 0])

    start = torch.full((3, 1), 0.9, dtype=F64)
    found = laplace(log_joint, find_mode(log_joint, start, bijections.UnitInterval()).z, bijections.UnitInterval())
    gap = (found.log_p + torch.log(n + 1)).abs()
    assert (gap * n < 2).all()
    assert (gap[1:] < 0.2 * gap[:-1]).all()


def scale(*values):
    return torch.tensor(values, dtype=F64)[:, None]


SHAPES = scale(1.0, 1.0, 1.0)
PRIORS = {  # and the data that likelihoods N(x; z, sd^2) have, below, inside and above the support
    "exponential": (Gamma(SHAPES, SHAPES), (-3.0, -1.0, 2.0), 1.0, math.inf),
    "uniform": (Beta(SHAPES, SHAPES), (-1.0, 0.5, 2.0), 0.5, 1.0),
    "continuous Bernoulli": (ContinuousBernoulli(scale(-2.0, 0.0, 3.0)), (-0.5, 0.3, 1.5), 0.2, 1.0),
}


def joint(name, dtype=F64):
    """log p(x, z) (1, 3), as a function of z."""
    prior, x, sd, _ = PRIORS[name]
    data, prior = torch.tensor(x, dtype=dtype), type(prior)(*(field.to(dtype) for field in prior))

    def log_p(z):
        normal = -0.5 * ((data - z[..., 0]) / sd).square() - math.log(sd) - 0.5 * math.log(2 * math.pi)
        return prior.log_prob(z) + normal

    return log_p


def by_quadrature(name):
    log_p, high = joint(name), PRIORS[name][-1]

    def weight(z, i):
        return log_p(torch.full((1, 3, 1), z, dtype=F64))[0, i].exp().item()

    return torch.tensor([integrate.quad(weight, 0, high, (i,), epsabs=0, epsrel=1e-8)[0] for i in range(3)]).log()


@pytest.mark.parametrize("name", PRIORS)
def test_likelihoods_that_push_out_of_the_support(name):
    exact, bijection = by_quadrature(name).double(), PRIORS[name][0].bijection()
    if name == "exponential":
        assert exact[1].item() == pytest.approx(-2.2832, abs=1e-4)
    for dtype in (F64, torch.float32):
        log_p, start = joint(name, dtype), torch.full((3, 1), 0.5, dtype=dtype)
        found = laplace(log_p, find_mode(log_p, start, bijection).z, bijection)
        assert ((found.log_p.double() - exact).abs() < ROUGHLY).all()
        assert bijection.contains(found.posterior.sample(found.posterior.noise(KEY, 1000))).all()


def test_an_exponential_posterior_at_an_edge_costs_a_twelfth_of_a_nat_however_narrow():
    """p(z) e^(-r z) integrates to 1 / r; in log z the mode is -log r, of height -log r - 1 and curvature 1."""
    rate = torch.tensor([1.0, 1e3], dtype=F64)
    start = torch.ones(2, 1, dtype=F64)
    found = find_mode(lambda z: -rate * z[..., 0], start, bijections.Positive())
    log_p = laplace(lambda z: -rate * z[..., 0], found.z, bijections.Positive()).log_p
    exact = -rate.log() - 1 + 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(log_p, exact, atol=1e-5, rtol=0)
    torch.testing.assert_close(log_p + rate.log(), torch.full((2,), -0.0811, dtype=F64), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "inside"), [("exponential", 2), ("uniform", 1), ("continuous Bernoulli", 1)])
def test_a_walk_along_the_edge_of_the_support_ends_in_words_and_spoils_no_other_datum(name, inside):
    log_p = joint(name)
    found = laplace(log_p, find_mode(log_p, torch.full((3, 1), 0.5, dtype=F64)).z)
    edge = torch.arange(3) != inside
    assert torch.equal(found.log_p.isnan(), edge)
    assert found.climb[inside] < 1e-9
    assert (found.log_p[inside] - by_quadrature(name)[inside]).abs() < 0.5  # the edge is near, but its mode is one
    data = ", ".join(str(i) for i in range(3) if i != inside)
    assert f"not at a mode (data {data}), a step would gain" in found.verdict()
    assert "give the bijection onto it" in found.verdict()
    draws = found.posterior.sample(found.posterior.noise(KEY, 10))
    assert draws[:, inside].isfinite().all()


@pytest.mark.parametrize("counts", [(3.0, 1.0, 2.0), (0.0, 0.0, 9.0)])
def test_a_dirichlet_prior_with_counts(counts):
    a, counts = torch.tensor([1.0, 2.0, 3.0], dtype=F64), torch.tensor(counts, dtype=F64)
    prior = Dirichlet(a[None])
    bijection = prior.bijection()

    def log_p(z):
        return prior.log_prob(z) + (counts * z.log()).sum(-1)

    def log_normaliser(a):
        return torch.lgamma(a).sum() - torch.lgamma(a.sum())

    exact = log_normaliser(a + counts) - log_normaliser(a)
    found = laplace(log_p, find_mode(log_p, torch.full((1, 3), 1 / 3, dtype=F64), bijection).z, bijection)
    assert (found.log_p - exact).abs() < 2 * ROUGHLY
    assert bijection.contains(found.posterior.sample(found.posterior.noise(KEY, 1000))).all()


def test_without_the_jacobian_none_of_it_would_hold():
    class Bare(bijections.Positive):
        def forward(self, z, context=None, /):
            value, log_det = super().forward(z, context)
            return value, 0 * log_det

    log_p, start = joint("exponential"), torch.full((3, 1), 0.5, dtype=F64)
    found = laplace(log_p, find_mode(log_p, start, Bare()).z, Bare())
    assert ((found.log_p - by_quadrature("exponential"))[:2].abs() > 5).all()


def test_data_without_a_mode_are_named_with_the_reason():
    """A saddle, a flat direction, a mode, a point off it, one outside and one of NaN derivatives."""

    def log_p(z):
        x, y = z[..., 0], z[..., 1]
        bowl = -0.5 * (x.square() + y.square())
        return torch.stack(
            [
                -bowl[:, 0] - y[:, 0].square() / 2 * 3,
                -0.5 * (x + y)[:, 1].square(),
                bowl[:, 2],
                bowl[:, 3],
                torch.where(x[:, 4] > 0, bowl[:, 4], -math.inf),
                -x[:, 5].abs().pow(1.5) + bowl[:, 5],
            ],
            1,
        )

    points = torch.tensor([[0.0, 0.0], [0, 0], [0, 0], [1, 0], [-1, 0], [0, 0]], dtype=F64)
    found = laplace(log_p, points)
    assert found.log_p.isnan().tolist() == [True, True, False, True, True, True]
    torch.testing.assert_close(found.log_p[2].item(), math.log(2 * math.pi))
    words = found.verdict()
    assert "(data 4, 5), log_p or a derivative is not finite there: start inside the support" in words
    assert "(data 0, 1), minus the Hessian of log_p is not positive definite there" in words
    assert "(data 3), a step would gain 0.5 nats" in words
    draws = found.posterior.sample(found.posterior.noise(KEY, 10))
    assert draws.isfinite().all(-1).all(0).tolist() == [False, False, True, True, False, False]


def test_it_compiles_and_maps():
    def log_p(z):
        return -0.5 * (z - 1).square().sum(-1)

    point = torch.ones(2, 3, dtype=F64)
    exact = torch.full((2,), 1.5 * math.log(2 * math.pi), dtype=F64)
    compiled = torch.compile(laplace, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(log_p, point).log_p, exact)
    mapped = torch.func.vmap(lambda z: laplace(log_p, z).log_p)(point.expand(4, 2, 3))
    torch.testing.assert_close(mapped, exact.expand(4, 2))


def test_bad_arguments_are_named():
    point = torch.ones(1, 1)
    cases = [
        ((point, untouched), {}, TypeError, "expected log_p, a function"),
        ((untouched, point.numpy()), {}, TypeError, r"got a NumPy array .* torch.as_tensor\(mode\)"),
        ((untouched, point.int()), {}, TypeError, "expected mode in floating point, got torch.int32"),
        ((untouched, point[None]), {}, ValueError, r"expected mode \(n, d\), got \(1, 1, 1\): one point per datum"),
        ((untouched, find_mode(lambda z: -z.square().sum(-1), point)), {}, TypeError, "got a Mode"),
        ((untouched, point, bijections.Positive), {}, TypeError, "got the class Positive"),
        ((untouched, point), {"tolerance": -1.0}, ValueError, "expected tolerance in"),
        ((lambda z: z[..., 0] * math.nan, point), {}, ValueError, "log_p or a derivative is not finite there"),
    ]
    for arguments, options, error, words in cases:
        with pytest.raises(error, match=words) as caught:
            laplace(*arguments, **options)
        assert "\n" not in str(caught.value)
