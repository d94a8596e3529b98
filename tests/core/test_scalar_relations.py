"""Relations between scalar families, and what scipy cannot tell: far tails, small quantiles, missing means."""

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.func import grad

from jensen.core import keys
from jensen.core.distributions import (
    Categorical,
    Cauchy,
    ChiSquared,
    ContinuousBernoulli,
    Exponential,
    InverseGamma,
    Laplace,
    Logistic,
    Pareto,
    StudentT,
    TruncatedNormal,
    Uniform,
)

KEY = keys.key(36)


def test_squares_of_normals_are_chi_squared_and_their_sums_too():
    """Z^2 ~ chi^2(1) by distribution functions; the sum of chi^2(2) and chi^2(3) is chi^2(5), by draws."""
    root = torch.linspace(0.05, 6, 40, dtype=torch.float64)[:, None, None]
    one = ChiSquared(torch.ones(1, 1, dtype=torch.float64))
    between = 1 - 2 * torch.special.ndtr(-root)
    torch.testing.assert_close(one.cdf(root.square()), between, rtol=1e-12, atol=1e-14)
    parts = ChiSquared(torch.tensor([[2.0, 3.0]], dtype=torch.float64))
    total = parts.sample(parts.noise(KEY, 10_000)).sum(-1).flatten().numpy()
    assert stats.kstest(total, stats.chi2(5).cdf).pvalue > 1e-4


def test_families_meet():
    """t of 1 degree is the Cauchy; Gamma(1) is exponential; log of a Pareto is; t of many degrees is normal."""
    zero, one = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    z = torch.linspace(0.1, 30, 20, dtype=torch.float64)[:, None, None]
    for name in ("log_prob", "cdf"):
        student, cauchy = (getattr(q, name)(-z) for q in (StudentT(one, zero, zero), Cauchy(zero, zero)))
        torch.testing.assert_close(student, cauchy, rtol=1e-11, atol=0)
        square, exponential = (getattr(q, name)(z) for q in (ChiSquared(2 * one), Exponential(0.5 * one)))
        torch.testing.assert_close(square, exponential, rtol=1e-11, atol=0)
    torch.testing.assert_close(Pareto(one, 3 * one).cdf(z.exp()), Exponential(3 * one).cdf(z), rtol=1e-12, atol=0)
    normal = StudentT(1e12 * one, zero, zero)
    exact = torch.distributions.Normal(0.0, 1.0).log_prob(z[..., 0])
    torch.testing.assert_close(normal.log_prob(z), exact, rtol=1e-9, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_continuous_bernoullis_of_opposite_logits_mirror_each_other_across_the_uniform(dtype):
    logits = torch.tensor([[-3.0, -0.1, -0.009, -1e-5, 0.0]], dtype=dtype)
    x = torch.tensor([0.0, 1e-4, 0.3, 0.7, 1.0], dtype=dtype)[:, None, None].expand(-1, 1, 5)
    q, mirrored = ContinuousBernoulli(logits), ContinuousBernoulli(-logits)
    rounding = 1e-12 if dtype == torch.float64 else 1e-6
    torch.testing.assert_close(mirrored.cdf(x), 1 - q.cdf(1 - x), rtol=0, atol=rounding)
    exact = torch.expm1(logits.double() * x.double()) / torch.expm1(torch.where(logits == 0, 1e-9, logits.double()))
    exact = torch.where(logits == 0, x.double(), exact)
    torch.testing.assert_close(q.cdf(x).double(), exact, rtol=rounding, atol=0)
    torch.testing.assert_close(q.quantile(q.cdf(x)), x, rtol=0, atol=100 * rounding)


@pytest.mark.parametrize(("low", "high"), [(300.0, np.inf), (-1e4, -9999.0), (50.0, 50.01), (-8.0, 9.0), (0.0, 1e-3)])
def test_truncated_normals_in_the_far_tail(low, high):
    """Mean, entropy and the cdf at its own quantiles, by mpmath in 60 digits."""
    q = TruncatedNormal(*torch.tensor([0.0, 0.0, low, high], dtype=torch.float64)[:, None, None])
    with mpmath.workdps(60):
        ends = [mpmath.mpf(low), mpmath.mpf(high)]
        mass = mpmath.erfc(ends[0] / mpmath.sqrt(2)) - mpmath.erfc(ends[1] / mpmath.sqrt(2))
        if high <= 0:
            mass = mpmath.erfc(-ends[1] / mpmath.sqrt(2)) - mpmath.erfc(-ends[0] / mpmath.sqrt(2))
        mass = mass / 2
        heights = [0 if mpmath.isinf(end) else mpmath.npdf(end) for end in ends]
        mean = (heights[0] - heights[1]) / mass
        moment = [0 if mpmath.isinf(end) else end * height for end, height in zip(ends, heights, strict=True)]
        entropy = mpmath.log(mpmath.sqrt(2 * mpmath.pi) * mass) + (1 + (moment[0] - moment[1]) / mass) / 2
    assert q.mean().item() == pytest.approx(float(mean), rel=1e-9, abs=1e-9)
    assert q.entropy().item() == pytest.approx(float(entropy), abs=1e-7)
    u = torch.tensor([1e-9, 0.01, 0.5, 0.99], dtype=torch.float64)[:, None, None]
    z = q.quantile(u)
    torch.testing.assert_close(q.cdf(z), u, rtol=1e-6, atol=1e-7 if low == -1e4 else 1e-10)  # the rounding of z


def test_small_quantiles_of_inverse_gammas_keep_their_digits():
    """Those of the gamma's upper tail, at which its cdf is 1 to rounding."""
    q = InverseGamma(torch.tensor([[1e-3, 0.3, 3.5, 1e4]], dtype=torch.float64), torch.ones(1, 4, dtype=torch.float64))
    u = torch.tensor([1e-60, 1e-20, 1e-9, 0.4], dtype=torch.float64)[:, None, None].expand(-1, 1, 4)
    torch.testing.assert_close(q.cdf(q.quantile(u)), u, rtol=1e-8, atol=0)
    q, u = type(q)(*(t[:, 1:] for t in q)), u[..., 1:]  # that of e^690 overflows
    slope = grad(lambda q: q.quantile(u).sum())(q).concentration
    step = 1e-6 * q.concentration
    above, below = (q._replace(concentration=q.concentration + s).quantile(u).sum((0, 1)) for s in (step, -step))
    torch.testing.assert_close(slope[0], (above - below) / (2 * step[0]), rtol=1e-4, atol=1e-10)


@settings(deadline=None)
@given(st.lists(st.floats(-60, 60), min_size=5, max_size=5))
def test_the_entropy_of_choices_is_between_0_and_that_of_equal_ones(logits):
    """0 <= H <= log k, 1.609438 for five, and less than that by KL(q || uniform), which is 0 of equal logits alone."""
    values = torch.tensor([[logits]], dtype=torch.float64)
    q, uniform = Categorical(values), Categorical(torch.zeros_like(values))
    assert uniform.entropy().item() == pytest.approx(1.609438, abs=5e-7)
    assert q.entropy() >= 0
    gap = q.kl(uniform)
    torch.testing.assert_close(uniform.entropy() - q.entropy(), gap, rtol=1e-9, atol=1e-12)
    if values.amax() - values.amin() > 1e-6:
        assert gap > 0


def test_what_has_no_mean_says_so():
    one = torch.ones(1, 1)
    assert StudentT(one, one, one).mean().isnan().all()
    assert Pareto(one, one).mean() == InverseGamma(one, one).mean() == torch.inf
    with pytest.raises(ValueError, match=r"expected high above low, got 1 and 2: exchange them"):
        Uniform(2 * one, one).mean()
    with pytest.raises(TypeError, match=r"expected p, a Laplace as q is, got .*average log\(q / p\)"):
        Laplace(one, one).kl(Logistic(one, one))
