"""Every bound: its place under or over log p(x), its identities, its weights and its extremes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jensen import laws
from jensen.core import bounds, keys
from jensen.core.divergences import generators
from jensen.laws import instances, strategies
from jensen.laws.oracles import LinearGaussian, normal_log_density

INF = math.inf
KEY = keys.key(5)
GENERATORS = {
    "reverse KL": generators.reverse_kl,
    "forward KL": generators.forward_kl,
    "chi2": generators.chi2,
    "Hellinger": generators.hellinger,
    "Jensen-Shannon": generators.jensen_shannon,
    "Alpha(0.3)": generators.Alpha(0.3),
}
LOWER = {
    "elbo": bounds.elbo,
    "iwae": bounds.iwae,
    "Renyi(0.4)": bounds.Renyi(0.4),
    "Renyi(2)": bounds.Renyi(2.0),
    "Miwae(2, 2)": bounds.Miwae(2, 2),
    "Ciwae": bounds.Ciwae(0.3),
    "Tvo left": bounds.Tvo(bounds.log_betas(4)),
    **{f"Csiszar, {name}": bounds.Csiszar(f) for name, f in GENERATORS.items()},
}  # in expectation, at every number of samples
MEANS = {
    "elbo": bounds.elbo,
    "iwae": bounds.iwae,
    "Renyi(-1)": bounds.Renyi(-1.0),
    "Renyi(0.4)": bounds.Renyi(0.4),
    "Renyi(2)": bounds.Renyi(2.0),
    "vr_max": bounds.vr_max,
    "Cubo(2)": bounds.Cubo(2.0),
    "Tvo left": bounds.Tvo(bounds.log_betas(4)),
    "Tvo right": bounds.Tvo(bounds.linear_betas(3), "right"),
    "Miwae(2, 3)": bounds.Miwae(2, 3),
    "Ciwae": bounds.Ciwae(0.3),
}  # between the smallest and the largest of six weights
ALL = {
    **MEANS,
    **{name: bound for name, bound in LOWER.items() if name.startswith("Csiszar")},
    "Jackknife(1)": bounds.Jackknife(1),
    "Jackknife(2)": bounds.Jackknife(2),
    "Sumo": bounds.Sumo(),
    "Sumo(2)": bounds.Sumo(2),
    "TailAdaptive": bounds.TailAdaptive(),
}
OTHERS = [bound for bound in ALL.values() if bound not in instances.BOUNDS.values()]
finite_weights = strategies.tensors((6, 2), st.floats(-6, 6))


def expected(bound, log_q, log_w, s):
    """E bound over all s-tuples of the values of z: log_q and log_w (m, n) -> (n,)."""
    m, n = log_w.shape
    tuples = torch.cartesian_prod(*[torch.arange(m)] * s).reshape(-1, s).T
    values = bound(log_w[tuples].reshape(s, -1)).reshape(-1, n)
    return (log_q[tuples].sum(0).exp() * values).sum(0)


@pytest.mark.law
@settings(max_examples=30)
@given(strategies.sigmoid_beliefs())
def test_lower_bounds_are_below_the_evidence_in_expectation(case):
    oracle, logits = case
    z = oracle.support()
    log_q = torch.distributions.Bernoulli(logits=logits).log_prob(z).sum(-1)
    log_w, evidence = oracle.log_joint(z) - log_q, oracle.log_evidence()
    for bound in LOWER.values():
        laws.below(expected(bound, log_q, log_w, 4), evidence)
    for s in (1, 2, 3):
        for bound in (bounds.Csiszar(generators.chi2), bounds.Tvo(bounds.linear_betas(2)), bounds.Renyi(3.0)):
            laws.below(expected(bound, log_q, log_w, s), evidence)


@pytest.mark.law
@given(strategies.populations())
def test_exact_bounds_enclose_the_evidence(case):
    oracle, log_w = case
    evidence = oracle.log_evidence()
    torch.testing.assert_close(bounds.iwae(log_w), evidence)
    lower = [bounds.elbo, bounds.Renyi(0.5), bounds.Renyi(1.5), bounds.Tvo(bounds.linear_betas(4))]
    lower += [bounds.Csiszar(f) for f in GENERATORS.values()]
    upper = [bounds.Cubo(1.0), bounds.Cubo(2.0), bounds.Cubo(5.0), bounds.Tvo((0.0, 0.3, 1.0), "right"), bounds.vr_max]
    for low in lower:
        for high in upper:
            laws.sandwiched(low(log_w), evidence, high(log_w))
    laws.rises([bounds.Renyi(alpha)(log_w) for alpha in (5.0, 1.0, 0.5, 0.0, -1.0, -8.0)])
    laws.rises([bounds.Cubo(n)(log_w) for n in (1.0, 1.5, 2.0, 6.0)])


@pytest.mark.law
@given(strategies.log_weights())
def test_thermodynamic_sums_enclose_their_area(log_w):
    """For every set of weights: the area under the empirical curve is their IWAE bound."""
    for betas in ((0.0, 1.0), bounds.linear_betas(7), bounds.log_betas(5)):
        laws.sandwiched(bounds.Tvo(betas)(log_w), bounds.iwae(log_w), bounds.Tvo(betas, "right")(log_w), 1e-9 * 1e4)


@pytest.mark.law
@given(strategies.log_weights(6))
def test_means_lie_between_the_smallest_and_the_largest_weight(log_w):
    for name, bound in MEANS.items():
        assert (bound(log_w) <= log_w.amax(0) + 1e-8).all(), name
        assert (bound(log_w) >= log_w.amin(0) - 1e-8).all(), name


@pytest.mark.law
@settings(max_examples=20)
@given(strategies.log_weights(6), finite_weights, st.floats(-100, 100))
def test_bounds_of_other_parameters_obey_the_laws_of_the_table(log_w, finite, shift):
    for bound in OTHERS:
        laws.bounds.no_weight_has_no_gradient(bound, log_w)
        laws.shifts_pass_through(bound, finite, shift)


@pytest.mark.law
@given(strategies.log_weights(6))
def test_identities(log_w):
    rounding = 1e-12 + 1e-15 * log_w.nan_to_num(neginf=0).abs().max().item()  # of sums that cancel

    def same(a, b):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=rounding)

    s, inside = len(log_w), (log_w != -INF).all(0)
    elbo, iwae = bounds.elbo(log_w), bounds.iwae(log_w)
    for bound in (bounds.Renyi(0.0), bounds.Miwae(1, s), bounds.Ciwae(0.0), bounds.Cubo(1.0), bounds.Jackknife(0)):
        same(bound(log_w), iwae)
    for bound in (bounds.Renyi(1.0), bounds.Miwae(s, 1), bounds.Ciwae(1.0), bounds.Tvo((0.0, 1.0))):
        same(bound(log_w), elbo)
    same(bounds.Csiszar(generators.reverse_kl)(log_w[:, inside]), elbo[inside])
    same(bounds.Renyi(1 - 2.0)(log_w), bounds.Cubo(2.0)(log_w))
    pi = torch.softmax(log_w, 0)
    posterior = torch.where(pi > 0, pi * log_w, 0.0).sum(0)  # the self-normalised E_posterior log w
    same(bounds.Tvo((0.0, 1.0), "right")(log_w), torch.where(iwae == -INF, -INF, posterior))


@pytest.mark.law
@given(finite_weights)
def test_renyi_is_the_elbo_in_the_limit(log_w):
    """|Renyi(1 - e) - elbo| <= e range^2 / 8, from either side, and without cancellation at e = 1e-12."""
    most = (log_w.amax(0) - log_w.amin(0)).square() / 8
    for e in (1e-2, 1e-6, 1e-12):
        for alpha in (1 - e, 1 + e):
            gap = (bounds.Renyi(alpha)(log_w) - bounds.elbo(log_w)).abs()
            assert (gap <= 1.001 * e * most + 1e-13).all()
    assert (bounds.Renyi(1 - 1e-4)(log_w) >= bounds.elbo(log_w) - 1e-13).all()
    for alpha in (1 - 1e-4, 1 + 1e-4):  # its slope in alpha there is -var / 2
        near = (bounds.Renyi(alpha)(log_w) - bounds.elbo(log_w)) / (1 - alpha)
        torch.testing.assert_close(near, log_w.var(0, unbiased=False) / 2, rtol=1e-2, atol=1e-6)
    far = bounds.Renyi(-1e6)(log_w)
    torch.testing.assert_close(far, bounds.vr_max(log_w), rtol=0, atol=1e-5)


def test_fine_thermodynamic_sums_meet_at_the_area():
    log_w = 3 * keys.normal(KEY, (8, 3), torch.float64)
    area = bounds.iwae(log_w)
    gaps = []
    for k in (10, 100, 1000):
        left, right = (bounds.Tvo(bounds.linear_betas(k), side)(log_w) for side in ("left", "right"))
        spread = bounds.Tvo((0.0, 1.0), "right")(log_w) - bounds.elbo(log_w)
        torch.testing.assert_close(right - left, spread / k)  # the sums telescope
        gaps.append((0.5 * (left + right) - area).abs().max())
    assert gaps[1] < 0.02 * gaps[0]
    assert gaps[2] < 0.02 * gaps[1]  # the trapezium's error falls as the square


def test_betas():
    assert bounds.linear_betas(4) == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert bounds.log_betas(3, 0.01) == pytest.approx((0, 0.01, 0.1, 1))
    assert bounds.log_betas(1) == bounds.linear_betas(1) == (0.0, 1.0)


def test_cubo_is_its_quadrature():
    """s quantiles of q are midpoints of a rule for E_q w^2; Gauss and Hermite give the same expectation."""
    oracle = LinearGaussian(
        torch.tensor([[0.8], [-0.5]], dtype=torch.float64), torch.tensor([0.2, 0.1], dtype=torch.float64),
        torch.tensor(-0.3, dtype=torch.float64), torch.tensor([[1.0, 0.3], [-0.4, 0.9]], dtype=torch.float64),
    )  # fmt: skip
    mean, covariance = oracle.posterior()
    loc, log_scale = mean + 0.2, 0.5 * torch.log(1.5 * covariance[0]).expand(2, 1)
    points, mass = (torch.as_tensor(a) for a in np.polynomial.hermite_e.hermegauss(120))

    def log_weights(eps):
        z = loc + torch.exp(log_scale) * eps[:, None, None]
        return oracle.log_joint(z) - normal_log_density(z, loc, log_scale)

    exact = 0.5 * torch.logsumexp(2 * log_weights(points) + torch.log(mass / mass.sum())[:, None], 0)
    quantiles = torch.special.ndtri((torch.arange(40_000, dtype=torch.float64) + 0.5) / 40_000)
    torch.testing.assert_close(bounds.Cubo(2.0)(log_weights(quantiles)), exact, rtol=0, atol=1e-5)
    assert (exact > oracle.log_evidence() + 0.005).all()
    draws = log_weights(keys.normal(KEY, (30_000,), torch.float64)).reshape(10_000, 3, 2).movedim(1, 0)
    values = bounds.Cubo(2.0)(draws.reshape(3, -1)).reshape(10_000, 2)
    laws.mean_is(torch.exp(2 * values), torch.exp(2 * exact))  # unbiased before the logarithm
    laws.mean_is_at_most(values, exact)
