"""Second derivatives, forward and reverse, at ties, in far tails and where exponentials leave the type's range."""

import math

import mpmath as mp
import pytest
import torch
from torch.func import grad, hessian, jacfwd, jacrev, vmap

from jensen.core.bijections import CorrelationCholesky
from jensen.core.distributions import (
    Beta,
    Cauchy,
    ChiSquared,
    ContinuousBernoulli,
    DiagNormal,
    Exponential,
    Gamma,
    Geometric,
    InverseGamma,
    Laplace,
    Logistic,
    LogNormal,
    Pareto,
    Poisson,
    StudentT,
    TruncatedNormal,
    Uniform,
)
from jensen.core.exponential import fisher_information
from jensen.core.exponential.counts import BernoulliFamily
from jensen.core.flows import Radial
from jensen.core.models.bayes import densities
from jensen.core.numerics import length, log_add_exp, log_normal_cdf, size, softplus

F32, F64 = torch.float32, torch.float64
FAR = [-1e6, -1e4, -300.0, -40.0, -12.1, -11.9, -3.0, -1e-3, 0.0, 2.0, 10.0, 30.0]
LOGITS = [-800.0, -40.3, -39.7, -20.0, -5.1, -4.9, 3.0, 40.0]
CUMULATIVE = {
    Gamma: (2.3, 0.8, 2.0),
    InverseGamma: (2.3, 0.8, 0.7),
    ChiSquared: (3.1, 2.0),
    Beta: (0.6, 2.2, 0.4),
    StudentT: (3.5, 0.3, -0.4, 1.1),
    Laplace: (0.3, -0.4, 1.1),
    LogNormal: (0.3, -0.4, 1.1),
}


def number(value, dtype=F64):
    return torch.tensor(value, dtype=dtype)


def second(f):
    return grad(grad(f))


def every_hessian(f, *given):
    """By each order of the two modes."""
    return [jacrev(jacrev(f))(*given), jacfwd(jacrev(f))(*given), jacfwd(jacfwd(f))(*given)]


def exact_slopes_of_log_cdf(x):
    phi, below = mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi), mp.erfc(-x / mp.sqrt(2)) / 2
    hazard = phi / below
    return mp.log(below), hazard, -hazard * (hazard + x)


def agrees(found, exact, tolerance):
    return abs(found.item() - exact) <= tolerance * abs(exact) + torch.finfo(found.dtype).tiny


@pytest.mark.parametrize("gap", [0.0, -3.0, 800.0, -1e200])
def test_the_hessian_of_a_sum_of_two_exponentials_is_of_their_shares(gap):
    share = 1 / (1 + math.exp(gap)) if gap < 700 else 0.0
    exact = share * (1 - share) * number([[1.0, -1.0], [-1.0, 1.0]])
    for found in every_hessian(lambda t: log_add_exp(t[0], t[1]), number([0.0, gap])):
        torch.testing.assert_close(found, exact, rtol=1e-13, atol=0)


def test_that_of_torch_is_nan():
    """Planted: what `log_add_exp` is for."""
    assert hessian(lambda t: torch.logaddexp(t[0], t[1]))(number([0.0, 800.0])).isnan().any()


def test_the_second_derivative_of_softplus_has_all_digits_on_both_sides():
    t = number([-300.0, -40.0, -25.0, -1e-3, 0.0, 1e-3, 25.0, 40.0, 300.0])
    rest = torch.exp(-t.abs())
    exact = rest / (1 + rest).square()
    torch.testing.assert_close(vmap(second(softplus))(t), exact, rtol=1e-14, atol=0)
    assert second(torch.nn.functional.softplus)(t[6]) == 0  # planted: torch's is a line there


@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-12), (F32, 5e-6)])
def test_log_normal_cdf_and_both_its_slopes_are_exact(dtype, tolerance):
    with mp.workdps(250):
        for x in FAR[: None if dtype == F64 else -1]:
            t = number(x, dtype)
            found = log_normal_cdf(t), grad(log_normal_cdf)(t), second(log_normal_cdf)(t)
            exact = exact_slopes_of_log_cdf(mp.mpf(t.item()))
            assert all(map(agrees, found, exact, [tolerance] * 3)), (x, found, exact)
        assert not agrees(second(torch.special.log_ndtr)(number(-1e4)), -1, 0.1)  # planted


def test_sizes_and_lengths_keep_even_functions_smooth_at_0():
    zero = number(0.0)
    for even in (lambda x: torch.exp(-size(x)) - 1 + size(x), lambda x: torch.cosh(size(x))):
        assert grad(even)(zero) == 0
        assert all(each == 1 for each in every_hessian(even, zero))
    assert second(lambda x: torch.cosh(x.abs()))(zero) == 0  # planted
    for found in every_hessian(lambda t: length(t), torch.zeros(3, dtype=F64)):
        assert (found == 0).all()
    away = number([3.0, 4.0])
    exact = (torch.eye(2, dtype=F64) - away[:, None] * away / 25) / 5
    torch.testing.assert_close(hessian(length)(away), exact)


def test_the_information_of_a_laplace_is_its_precision():
    """(1 / scale^2, 1) in loc and log_scale, though its density has a kink."""
    log_scale = number([[-0.7, 0.2]])
    exact = torch.diag(torch.cat([torch.exp(-2 * log_scale[0]), torch.ones(2, dtype=F64)]))
    torch.testing.assert_close(fisher_information(Laplace(number([[0.3, 1.0]]), log_scale))[0], exact)


def test_the_cdf_of_a_laplace_has_its_density_for_slope_at_loc_too():
    q = Laplace(torch.zeros(1, 1, dtype=F64), torch.zeros(1, 1, dtype=F64))
    assert grad(lambda z: q.cdf(z.reshape(1, 1, 1)).sum())(number(0.0)) == 0.5


def test_entropy_and_kl_of_geometrics_and_their_slopes_are_exact():
    def log1pexp(x):
        return mp.log(1 + mp.exp(x))

    def entropy(x):
        return log1pexp(-x) + mp.exp(-x) * log1pexp(x)

    def found_entropy(t):
        return Geometric(t.reshape(1, 1)).entropy().sum()

    with mp.workdps(400):
        step = mp.mpf(10) ** -60
        for logits in LOGITS:
            x, q = mp.mpf(logits), number(logits)
            other, p = x + mp.mpf("0.5"), Geometric((q + 0.5).reshape(1, 1))

            def kl(x, other=other):
                return log1pexp(-other) - log1pexp(-x) + mp.exp(-x) * (log1pexp(other) - log1pexp(x))

            def found_kl(t, p=p):
                return Geometric(t.reshape(1, 1)).kl(p).sum()

            for f, exact in ((found_entropy, entropy), (found_kl, kl)):
                slopes = exact(x), mp.diff(exact, x, 1, h=step), mp.diff(exact, x, 2, h=step)
                assert all(map(agrees, (f(q), grad(f)(q), second(f)(q)), slopes, [1e-12] * 3)), (logits, slopes)


@pytest.mark.parametrize("logits", [800.0, -81.0])
def test_the_kl_of_continuous_bernoullis_of_far_logits_has_both_derivatives(logits):
    """That of exponential densities, E(log(p / q)), whose Hessian is 1 / q^2 at p = q."""
    one = number([logits])
    for found in every_hessian(lambda t: ContinuousBernoulli(t[None]).kl(ContinuousBernoulli(one[None])).sum(), one):
        torch.testing.assert_close(found, number([[logits**-2]]), rtol=1e-12, atol=0)


def test_the_information_of_sure_bernoullis_is_their_variance():
    logits = number([[-40.0, -25.0, 25.0, 40.0]])
    found = hessian(lambda t: BernoulliFamily().log_partition({"z": t[None]}).sum())(logits[0])
    rest = torch.exp(-logits[0].abs())
    torch.testing.assert_close(found.diagonal(), rest / (1 + rest).square(), rtol=1e-14, atol=0)


def test_the_log_det_of_correlations_bends_at_0():
    """log(1 - tanh^2) = -z^2 + ...; two of the three count towards a third entry's scale."""
    for found in every_hessian(lambda z: CorrelationCholesky().forward(z)[1], torch.zeros(3, dtype=F64)):
        torch.testing.assert_close(found, torch.diag(number([-2.0, -3.0, -2.0])))


def test_a_radial_flow_has_a_hessian_at_its_centre():
    flow = Radial(torch.zeros(2, dtype=F64), number(0.3), number(-0.4))
    for found in every_hessian(lambda z: flow.forward(z)[1], torch.zeros(2, dtype=F64)):
        assert found.isfinite().all()


def test_samples_of_a_log_normal_have_second_derivatives():
    eps = number([[[0.7]]])
    f = lambda t: LogNormal(t[:1, None], t[1:, None]).sample(eps).sum()  # noqa: E731
    plain = lambda t: torch.exp(t[0] + torch.exp(t[1]) * 0.7)  # noqa: E731
    at = number([0.3, -0.2])
    torch.testing.assert_close(hessian(f)(at), hessian(plain)(at))


def test_a_count_of_0_has_a_gradient_at_a_rate_of_0():
    """A rate that has underflown."""
    zero = number(0.0)
    assert grad(lambda rate: densities.poisson(zero, rate))(zero) == -1
    assert grad(lambda rate: Poisson(rate.reshape(1, 1)).log_prob(zero.reshape(1, 1, 1)).sum())(zero + 1e-320) == -1


@pytest.mark.parametrize("x", [999.0, 1001.0, 9.9e7, 1.1e8, 1e200])
def test_half_cauchies_are_exact_in_their_tail(x):
    exact = math.log(2 / math.pi) - 2 * math.log(x) - math.log1p(x**-2)
    torch.testing.assert_close(densities.half_cauchy(number(x)), number(exact), rtol=1e-15, atol=0)


@pytest.mark.parametrize("away", [3.0, 30.0, 1e3, 1e5])
def test_a_normal_cut_far_from_its_mean_has_both_derivatives(away):
    """On (away, inf), in loc, of which the slope is z less the hazard at away, to eps away^2 of it."""
    z, tolerance = number([[[away + 2 / away]]]), 1e-11 + 4e-16 * away**2
    end = number([[away]])

    def log_p(loc):
        return TruncatedNormal(loc.reshape(1, 1), 0 * end, end, end + math.inf).log_prob(z).sum()

    with mp.workdps(60):
        _, hazard, bend = exact_slopes_of_log_cdf(-mp.mpf(away))
        exact = mp.mpf(z.item()) - hazard, -1 - bend
        assert agrees(grad(log_p)(number(0.0)), exact[0], tolerance)
        for found in every_hessian(log_p, number(0.0)):
            assert agrees(found, exact[1], tolerance)


@pytest.mark.parametrize("family", CUMULATIVE)
def test_the_hessian_of_a_cdf_is_of_its_density_in_z_and_the_slope_of_its_gradient_in_the_fields(family):
    at = number(CUMULATIVE[family])

    def cdf(v):
        return family(*(field.reshape(1, 1) for field in v[:-1])).cdf(v[-1].reshape(1, 1, 1)).sum()

    def density(v):
        return family(*(field.reshape(1, 1) for field in v[:-1])).log_prob(v[-1].reshape(1, 1, 1)).exp().sum()

    slopes = torch.stack([(grad(cdf)(at + h) - grad(cdf)(at - h)) / 2e-4 for h in 1e-4 * torch.eye(len(at), dtype=F64)])
    found = hessian(cdf)(at)
    torch.testing.assert_close(found[-1], grad(density)(at), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found, slopes, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("family", [*CUMULATIVE, DiagNormal, Logistic, Cauchy, Exponential, Pareto, Uniform])
def test_an_interval_without_an_end_has_a_gradient(family):
    """That of the tail: log(F(inf) - F(z)) for data of which a lower end alone is known."""
    fields = number([[0.4]]), number([[0.9]]), number([[0.1]])
    q, z = family(*fields[: len(family._fields)]), number([[[0.8]]])

    def log_p(q, end):
        return torch.log(q.cdf(z + end) - q.cdf(z)).sum()

    found = grad(log_p)(q, math.inf)
    torch.testing.assert_close(found, grad(lambda q: torch.log(1 - q.cdf(z)).sum())(q))
    assert log_p(q, math.inf) == torch.log(1 - q.cdf(z)).sum()
