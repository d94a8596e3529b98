"""Von Mises-Fisher vectors against Bessel functions, scipy, closed forms in three dimensions and integrals."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats
from torch.func import grad, jacrev, vjp

from jensen import laws
from jensen.core import keys
from jensen.core.bijections import Stereographic
from jensen.core.distributions import VonMisesFisher
from jensen.core.distributions.polar_angle import PolarAngle
from jensen.laws import families

KEY = keys.key(37)
CONCENTRATIONS = torch.tensor([1e-3, 0.1, 1.0, 30.0, 1e3, 1e4], dtype=torch.float64)
U = torch.tensor([2.0**-32, 1e-6, 0.01, 0.3, 0.5, 0.9, 1 - 1e-6], dtype=torch.float64)[:, None].expand(-1, 6)


def of(loc, *concentrations):
    k = torch.tensor(concentrations, dtype=torch.float64)[:, None]
    return VonMisesFisher(torch.tensor(loc, dtype=torch.float64).expand(len(k), -1), k)


@pytest.mark.parametrize("d", [2, 3, 4, 10, 100, 1000])
def test_density_mean_and_entropy_are_those_of_bessel_functions(d):
    q = VonMisesFisher(torch.ones(6, d, dtype=torch.float64), CONCENTRATIONS[:, None])
    log_p, shrinkage, entropy = [], [], []
    with mpmath.workdps(40):
        for k in CONCENTRATIONS.tolist():
            v = mpmath.mpf(d) / 2 - 1
            level = v * mpmath.log(k) - (v + 1) * mpmath.log(2 * mpmath.pi) - mpmath.log(mpmath.besseli(v, k))
            ratio = mpmath.besseli(v + 1, k) / mpmath.besseli(v, k)
            log_p.append(float(level + k))
            shrinkage.append(float(1 - ratio))
            entropy.append(float(-level - k * ratio))
    exact = torch.tensor([log_p, shrinkage, entropy], dtype=torch.float64)
    torch.testing.assert_close(q.log_prob(q.loc[None] / d**0.5)[0], exact[0], rtol=1e-12, atol=1e-11)
    torch.testing.assert_close(PolarAngle.of(CONCENTRATIONS, d).versine(), exact[1], rtol=1e-12, atol=0)
    torch.testing.assert_close(q.mean()[:, 0], (1 - exact[1]) / d**0.5, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(q.entropy(), exact[2], rtol=1e-11, atol=1e-11)


def test_angles_are_quantiles_in_closed_form_for_three_dimensions():
    """1 - cos t = -log(1 - u (1 - e^(-2 k))) / k, and its derivative in k."""

    def exact(k):
        return 2 * torch.asin(torch.sqrt(-torch.log1p(U * torch.expm1(-2 * k)) / k / 2))

    def found(k):
        return PolarAngle.of(k, 3).quantile(U)

    torch.testing.assert_close(found(CONCENTRATIONS), exact(CONCENTRATIONS), rtol=1e-9, atol=0)
    slopes = [vjp(f, CONCENTRATIONS)[1](torch.ones_like(U))[0] for f in (found, exact)]
    torch.testing.assert_close(*slopes, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("d", "k"), [(2, 3.0), (4, 1e-3), (10, 1e3), (100, 1e4)])
def test_tails_of_the_angle_are_the_integrals(d, k):
    angle = PolarAngle.of(torch.tensor([k], dtype=torch.float64), d)
    low, high = angle.low.item(), angle.high.item()

    def mass(start, end):
        parts = [start + (end - start) * i / 20 for i in range(21)]
        return mpmath.quad(lambda t: mpmath.exp(k * (mpmath.cos(t) - 1)) * mpmath.sin(t) ** (d - 2), parts)

    whole, t = mass(low, high), angle.quantile(U[:, :1])[:, 0].tolist()
    for u, one in zip(U[:, 0].tolist(), t, strict=True):
        share, exact = (mass(low, one), u) if u < 0.5 else (mass(one, high), 1 - u)
        assert float(share / whole) == pytest.approx(exact, rel=1e-9)


def test_draws_are_scipys():
    """By Kolmogorov and Smirnov: angles on the circle, heights on the sphere, about whose axis they are uniform."""
    circle = of([0.6, -0.8], 2.5)
    z = circle.sample(circle.noise(KEY, 10_000))[:, 0]
    angles = torch.atan2(z[:, 1], z[:, 0]).numpy()
    assert stats.kstest(angles, stats.vonmises(2.5, math.atan2(-0.8, 0.6)).cdf).pvalue > 1e-4
    sphere = of([-2.0, 1.0, 2.0], 4.0)
    z = sphere.sample(sphere.noise(KEY, 10_000))[:, 0]
    heights = (z @ sphere.loc[0] / 3).numpy()
    assert stats.kstest(heights, lambda w: np.expm1(4 * (w + 1)) / math.expm1(8)).pvalue > 1e-4
    excess = z - sphere.mean()
    assert (excess.mean(0).abs() < 4.5 * z.std(0) / 100).all()
    exact = stats.vonmises_fisher(np.array([-2, 1, 2]) / 3, 4.0).logpdf(z.numpy())
    np.testing.assert_allclose(sphere.log_prob(z[:, None])[:, 0].numpy(), exact, rtol=1e-10)


def test_kl_is_the_integral_and_exact_for_tiny_values():
    q, p = of([0.6, -0.8], 2.5, 2.5, 2.5), of([1.0, 0.2], 40.0, 2.6, 0.01)

    t = torch.arange(400, dtype=torch.float64) * 2 * math.pi / 400  # a periodic integrand: exact to rounding
    z = torch.stack([t.cos(), t.sin()], -1)[:, None].expand(-1, 3, -1)
    log_q, log_p = q.log_prob(z), p.log_prob(z)
    exact = (log_q.exp() * (log_q - log_p)).mean(0) * 2 * math.pi
    torch.testing.assert_close(q.kl(p), exact, rtol=1e-10, atol=0)
    for d, k, change in ((3, 30.0, 1e-9), (3, 1e-3, 1e-5), (3, 1e4, 1e-3)):
        one, other = of([1.0, *[0.0] * (d - 1)], k), of([1.0, *[0.0] * (d - 1)], k * (1 + change))
        with mpmath.workdps(60):  # log of 4 pi sinh(k) / k, and its slope coth k - 1 / k
            k, other_k = (mpmath.mpf(each.concentration.item()) for each in (one, other))
            level = mpmath.log(mpmath.sinh(other_k) / other_k) - mpmath.log(mpmath.sinh(k) / k)
            exact = float(level - (other_k - k) * (mpmath.coth(k) - 1 / k))
        assert one.kl(other).item() == pytest.approx(exact, rel=1e-8)


def test_nothing_lies_off_the_sphere():
    """Beyond 1e-6 of |z|^2, or ten of the type's epsilons, log_prob is -inf without a gradient; nearer of z / |z|."""
    q = families.FAMILIES["VonMisesFisher"]
    z = q.sample(q.noise(KEY, 2))
    torch.testing.assert_close(q.log_prob(z * (1 + 4e-7)), q.log_prob(z), rtol=1e-9, atol=1e-9)
    for off in (z * (1 + 1e-6), z * 0, z * 2, z * math.inf):
        assert (q.log_prob(off) == -math.inf).all()
        of_fields, of_z = grad(lambda q, z: q.log_prob(z).sum(), (0, 1))(q, off)
        assert all((slope == 0).all() for slope in (*of_fields, of_z))
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        low = VonMisesFisher(*(t.to(dtype) for t in q))
        assert low.log_prob(low.sample(low.noise(KEY, 100))).isfinite().all()


def test_fields_are_checked():
    one = torch.ones(2, 1)
    with pytest.raises(ValueError, match=r"expected loc \(n, d\) with d >= 2, got \(2, 1\): a line has no angles"):
        VonMisesFisher(one, one).entropy()
    with pytest.raises(ValueError, match="expected loc other than 0, got a vector of length 0: give it a direction"):
        VonMisesFisher(torch.zeros(2, 3), one).entropy()
    with pytest.raises(ValueError, match=r"expected concentration \(\.\.\., 1\), got \(2,\): one per datum"):
        VonMisesFisher(torch.ones(2, 3), torch.ones(2)).entropy()
    with pytest.raises(ValueError, match=r"expected VonMisesFisher's concentration in the set of bijections\.Positive"):
        VonMisesFisher(torch.ones(2, 3), -one).entropy()


@pytest.mark.parametrize("first", [0.9, -0.9, 0.0])
def test_stereographic_coordinates_have_the_surfaces_volume(first):
    """log det = log det(J^T J) / 2, J the Jacobian; back and forth is the identity, far from the centre too."""
    onto = Stereographic(torch.tensor([first, 0.3, -0.2, 0.1], dtype=torch.float64))
    z = keys.normal(KEY, (3,), torch.float64) * torch.tensor([1e-3, 1.0, 1e3], dtype=torch.float64)[:, None, None]
    for one in z.flatten(0, 1):
        value, log_det = onto.forward(one)
        assert onto.contains(value)
        jacobian = jacrev(lambda z: onto.forward(z)[0])(one)
        assert log_det.item() == pytest.approx(torch.logdet(jacobian.T @ jacobian).item() / 2, abs=1e-6)
        again, opposite = onto.inverse(value)
        torch.testing.assert_close(again, one, rtol=1e-9, atol=1e-12)
        assert opposite.item() == pytest.approx(-log_det.item(), rel=1e-9)


def test_paths_keep_to_the_sphere():
    """A sample's derivative is normal to it, in loc and in the concentration."""
    q = families.FAMILIES["VonMisesFisher"]
    u = q.noise(KEY, 3)
    z, (of_loc, of_concentration) = q.sample(u), jacrev(lambda q: q.sample(u))(q)
    laws.rows_sum_to_one(z.square())
    assert torch.einsum("sni,sni...->sn...", z, of_loc).abs().max() < 1e-12
    assert torch.einsum("sni,sni...->sn...", z, of_concentration).abs().max() < 1e-12
