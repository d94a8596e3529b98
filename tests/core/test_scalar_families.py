"""Scalar families against scipy: densities, distribution functions, quantiles, draws, entropies, KLs and paths.

Each row is a family of one component: its fields, typical and extreme, and scipy's distribution of the same fields.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.func import grad

from jensen.core import keys
from jensen.core.contracts import Distribution
from jensen.core.distributions import (
    Beta,
    Cauchy,
    ChiSquared,
    ContinuousBernoulli,
    DiagNormal,
    Exponential,
    Gamma,
    InverseGamma,
    Laplace,
    Logistic,
    LogNormal,
    Pareto,
    StudentT,
    TruncatedNormal,
    Uniform,
)

KEY = keys.key(31)
U = [1e-12, 1e-6, 0.02, 0.3, 0.5, 0.8, 0.98, 1 - 1e-6]


class Row(NamedTuple):
    family: Callable[..., Distribution]
    oracle: Callable[..., Any]  # scipy's, of the same fields
    typical: tuple[tuple[float, ...], tuple[float, ...]]  # the fields of q and of p
    extreme: tuple[tuple[float, ...], ...]
    free: int | None = None  # how many of the fields are no constants


def located(kind):
    return lambda loc, log_scale: kind(loc, np.exp(log_scale))


def truncated(loc, log_scale, low, high):
    scale = np.exp(log_scale)
    return stats.truncnorm((low - loc) / scale, (high - loc) / scale, loc, scale)


LOCATED = (((0.3, -0.4), (-0.8, 0.2)), ((0.0, -15.0), (0.0, 15.0), (-5.0, 3.0)))
ROWS = {
    "DiagNormal": Row(DiagNormal, located(stats.norm), *LOCATED),
    "Gamma": Row(
        Gamma,
        lambda a, rate: stats.gamma(a, scale=1 / rate),
        ((3.5, 0.7), (2.5, 1.1)),
        ((1e-3, 1e-6), (1e4, 1e6), (1.0, 1.0)),
    ),
    "Beta": Row(Beta, stats.beta, ((3.5, 0.7), (2.5, 1.1)), ((1e-3, 2.0), (1e4, 3e3), (1.0, 1.0), (1e-3, 1e4))),
    "ContinuousBernoulli": Row(
        ContinuousBernoulli,
        lambda logits: stats.truncexpon(np.abs(logits), scale=1 / np.abs(logits)),  # of logits < 0
        ((-2.0,), (-0.5,)),
        ((-200.0,), (-0.3,), (-0.011,)),
    ),
    "Laplace": Row(Laplace, located(stats.laplace), *LOCATED),
    "Logistic": Row(Logistic, located(stats.logistic), *LOCATED),
    "Cauchy": Row(Cauchy, located(stats.cauchy), *LOCATED),
    "StudentT": Row(
        StudentT,
        lambda df, loc, log_scale: stats.t(df, loc, np.exp(log_scale)),
        ((3.5, 0.3, -0.4), (6.0, -0.8, 0.2)),
        ((0.05, 0.0, 0.0), (1.0, 0.0, 15.0), (1e4, 0.0, -15.0)),
    ),
    "Uniform": Row(
        Uniform,
        lambda low, high: stats.uniform(low, high - low),
        ((-0.5, 1.5), (-1.0, 3.0)),
        ((0.0, 1e-6), (-1e6, 1e6)),
    ),
    "TruncatedNormal": Row(
        TruncatedNormal,
        truncated,
        ((0.3, -0.4, -0.5, np.inf), (-0.8, 0.2, -1.0, 2.0)),
        ((0.0, 0.0, 30.0, np.inf), (0.0, 0.0, -np.inf, -9.0), (0.0, 0.0, -1.0, 1.001), (0.0, 2.0, 40.0, 41.0)),
        free=2,
    ),
    "LogNormal": Row(
        LogNormal,
        lambda loc, log_scale: stats.lognorm(np.exp(log_scale), scale=np.exp(loc)),
        LOCATED[0],
        ((0.0, -6.0), (-30.0, 1.0)),
    ),
    "Exponential": Row(Exponential, lambda rate: stats.expon(scale=1 / rate), ((0.7,), (2.0,)), ((1e-6,), (1e6,))),
    "InverseGamma": Row(
        InverseGamma,
        lambda a, rate: stats.invgamma(a, scale=rate),
        ((3.5, 0.7), (2.5, 1.1)),
        ((0.3, 1e-6), (1e4, 1e6), (2.0, 1e6)),
    ),
    "ChiSquared": Row(ChiSquared, lambda df: stats.chi2(df), ((3.0,), (4.5,)), ((0.05,), (1e4,), (1.0,))),
    "Pareto": Row(
        Pareto,
        lambda scale, a: stats.pareto(a, scale=scale),
        ((0.7, 2.5), (0.4, 3.5)),
        ((1e-6, 1.0), (1e6, 1e4), (1.0, 0.3)),
    ),
}
each = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


def made(row, *fields, dtype=torch.float64):
    """The family of one row per tuple of fields, (n, 1), and scipy's of the fields as the type rounds them."""
    tensors = [torch.tensor(column, dtype=dtype)[:, None] for column in zip(*fields, strict=True)]
    return row.family(*tensors), row.oracle(*(t[:, 0].double().numpy() for t in tensors))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@each
def test_densities_and_distribution_functions_are_scipys(row, dtype):
    q, oracle = made(row, *row.typical, *row.extreme, dtype=dtype)
    u = np.array(U)[:, None]
    z = torch.from_numpy(oracle.ppf(u) + 0 * u)[..., None].to(dtype)
    z = z.clamp(-torch.finfo(dtype).max, torch.finfo(dtype).max)
    exact = z[..., 0].double().numpy()
    range_ = torch.finfo(dtype)
    edge = (z.abs() <= range_.tiny) | (z.abs() == range_.max) | (z == 1 - range_.eps / 2)  # `edge_cells`
    inside = (oracle.pdf(exact) > 0) & ~edge[..., 0].numpy()  # rounding to float32 may leave the support
    rounding = 1e-8 if dtype == torch.float64 else 3e-6
    atol = {Pareto: 1e-15, TruncatedNormal: 1e-13}.get(row.family, 1e-30)  # by the rounding of z - low
    log_p, below = q.log_prob(z).double().numpy(), q.cdf(z)[..., 0].double().numpy()
    with np.errstate(over="ignore", divide="ignore"):
        np.testing.assert_allclose(log_p[inside], oracle.logpdf(exact)[inside], rtol=rounding, atol=rounding)
    np.testing.assert_allclose(below, oracle.cdf(exact), rtol=100 * rounding, atol=atol)
    assert q.log_prob(z).dtype == q.cdf(z).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@each
def test_quantiles_are_scipys_and_reach_the_ends(row, dtype):
    q, oracle = made(row, *row.typical, *row.extreme, dtype=dtype)
    u = torch.tensor(U, dtype=dtype)[:, None, None].expand(-1, *q[0].shape)
    found = q.quantile(u)[..., 0].double().numpy()
    least, most = torch.finfo(dtype).tiny, torch.finfo(dtype).max
    exact = oracle.ppf(u[..., 0].double().numpy())
    fits = (np.abs(exact) < min(most, 1e120)) & (np.abs(exact) > least)  # scipy's t is wrong beyond
    spread = np.maximum(np.abs(exact), oracle.ppf(0.75) - oracle.ppf(0.25))  # what is rounded near a median of 0
    rounding = 1e-7 if dtype == torch.float64 else 2e-5
    assert (np.abs(found - exact) <= rounding * spread)[fits].all(), (found, exact)
    ends = torch.tensor([0.0, 1.0], dtype=dtype)[:, None, None].expand(-1, *q[0].shape)
    low, high = (np.broadcast_to(end, len(q[0])) for end in oracle.support())
    np.testing.assert_allclose(q.quantile(ends)[..., 0].double().numpy(), np.stack([low, high]), rtol=1e-6)


@each
def test_draws_are_of_the_distribution(row):
    """Kolmogorov and Smirnov: 2 of 20,000 right samplers fail at this level, and keys are fixed."""
    q, _ = made(row, *row.typical)
    z = q.sample(q.noise(KEY, 10_000))[..., 0].numpy()
    for i, fields in enumerate(row.typical):
        assert stats.kstest(z[:, i], row.oracle(*fields).cdf).pvalue > 1e-4


@each
def test_entropy_and_kl_are_the_integrals(row):
    q, _ = made(row, row.typical[0])
    p, _ = made(row, row.typical[1])
    oracle, other = (row.oracle(*fields) for fields in row.typical)

    def mean(f):
        return integrate.quad(lambda u: f(oracle.ppf(u)), 0, 1, epsabs=1e-7, epsrel=1e-7, limit=200)[0]

    assert q.entropy().item() == pytest.approx(mean(lambda z: -oracle.logpdf(z)), abs=1e-6)
    if hasattr(q, "kl"):
        exact = mean(lambda z: oracle.logpdf(z) - other.logpdf(z))
        assert q.kl(p).item() == pytest.approx(exact, abs=1e-6)
        assert q.kl_per_dimension(p).item() == q.kl(p).item()
    if hasattr(q, "mean"):
        assert q.mean().item() == pytest.approx(oracle.mean(), rel=1e-12)


@pytest.mark.parametrize("name", [name for name in ROWS if name not in ("Beta", "StudentT")])  # of two draws
def test_paths_move_with_the_quantile(name):
    """d sample / d field = -(d cdf / d field) / density, scipy's cdf by central differences."""
    row = ROWS[name]
    fields = row.typical[0]
    q, oracle = made(row, fields)
    u = torch.tensor([0.02, 0.3, 0.8, 0.98], dtype=torch.float64)[:, None, None]
    if row.family in (DiagNormal, LogNormal):
        u = torch.special.ndtri(u)
    z = q.sample(u)[:, 0, 0].numpy()
    for i in range(row.free or len(fields)):
        step = 1e-5
        above, below = ([f + s * (j == i) for j, f in enumerate(fields)] for s in (step, -step))
        exact = -(row.oracle(*above).cdf(z) - row.oracle(*below).cdf(z)) / (2 * step) / oracle.pdf(z)
        slope = torch.stack([grad(lambda q, one=one: q.sample(one[None]).sum())(q)[i][0, 0] for one in u])
        np.testing.assert_allclose(slope.numpy(), exact, rtol=1e-4, atol=1e-6)


@each
def test_the_cdf_is_differentiable(row):
    """By autograd, in z its density, and in each field scipy's central differences."""
    fields = row.typical[0]
    q, oracle = made(row, fields)
    z = torch.from_numpy(oracle.ppf(np.array([0.1, 0.45, 0.9])))[:, None, None]
    slope = grad(lambda z: q.cdf(z).sum())(z)
    torch.testing.assert_close(slope[..., 0], q.log_prob(z).exp(), rtol=1e-8, atol=1e-12)
    for i in range(row.free or len(fields)):
        above, below = ([f + s * (j == i) for j, f in enumerate(fields)] for s in (1e-5, -1e-5))
        exact = (row.oracle(*above).cdf(z[:, 0, 0]) - row.oracle(*below).cdf(z[:, 0, 0])) / 2e-5
        slopes = [grad(lambda q, one=one: q.cdf(one[None]).sum())(q)[i].item() for one in z]
        np.testing.assert_allclose(slopes, exact, rtol=1e-5, atol=1e-7)
