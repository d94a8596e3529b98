"""Distributions of whole numbers against scipy: masses, distribution functions, exact draws, entropies, KLs, relations.

Each row is a family of one component, and scipy's distribution of the same fields.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch.func import grad

from jensen.core import keys
from jensen.core.contracts import Distribution
from jensen.core.distributions import (
    Bernoulli,
    Binomial,
    Categorical,
    Geometric,
    Multinomial,
    NegativeBinomial,
    Poisson,
)
from jensen.core.trees import Static

KEY = keys.key(32)
U = np.array([1e-9, 1e-4, 0.021, 0.31, 0.502, 0.83, 0.98, 1 - 1e-6])


class Row(NamedTuple):
    family: Callable[..., Distribution]
    oracle: Callable[..., Any]
    typical: tuple[tuple[float, ...], tuple[float, ...]]
    extreme: tuple[tuple[float, ...], ...]


def binomial(total):
    return Row(
        lambda logits: Binomial(logits, Static(total)),
        lambda logits: stats.binom(total, special.expit(logits)),
        ((0.3,), (-0.8,)),
        ((-14.0,), (14.0,)),
    )


ROWS = {
    "Poisson": Row(Poisson, stats.poisson, ((3.5,), (5.0,)), ((1e-6,), (40.0,), (1e6,))),
    "Geometric": Row(
        Geometric, lambda logits: stats.geom(special.expit(logits), loc=-1), ((0.3,), (-0.8,)), ((-14.0,), (14.0,))
    ),
    "Binomial of 6": binomial(6),
    "Binomial of 1": binomial(1),
    "Binomial of 1000": binomial(1000),
    "NegativeBinomial": Row(
        NegativeBinomial,
        lambda r, logits: stats.nbinom(r, special.expit(-logits)),
        ((2.5, 0.3), (4.0, -0.8)),
        ((1e-3, 1.0), (1e4, -9.0), (3.0, 7.0)),
    ),
}
each = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


def made(row, *fields, dtype=torch.float64):
    """The family of one row per tuple of fields, (n, 1), and scipy's of the fields as the type rounds them."""
    tensors = [torch.tensor(column, dtype=dtype)[:, None] for column in zip(*fields, strict=True)]
    return row.family(*tensors), row.oracle(*(t[:, 0].double().numpy() for t in tensors))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@each
def test_masses_and_distribution_functions_are_scipys(row, dtype):
    q, oracle = made(row, *row.typical, *row.extreme, dtype=dtype)
    z = torch.from_numpy(oracle.ppf(U[:, None])).to(dtype)[..., None]
    exact = z[..., 0].double().numpy()
    rounding = 2e-8 if dtype == torch.float64 else 1e-6
    np.testing.assert_allclose(q.log_prob(z).double().numpy(), oracle.logpmf(exact), rtol=rounding, atol=rounding)
    np.testing.assert_allclose(q.cdf(z)[..., 0].double().numpy(), oracle.cdf(exact), rtol=rounding, atol=0)
    assert q.log_prob(z).dtype == q.cdf(z).dtype == dtype
    torch.testing.assert_close(q.cdf(z + 0.5), q.cdf(z), rtol=0, atol=0)


@each
def test_quantiles_and_draws_are_the_least_values_that_reach_u(row):
    q, oracle = made(row, *row.typical, *row.extreme)
    u = torch.from_numpy(U)[:, None, None].expand(-1, *q[0].shape)
    exact = torch.from_numpy(oracle.ppf(U[:, None]))
    torch.testing.assert_close(q.quantile(u)[..., 0], exact, rtol=0, atol=0)
    if row.family is not NegativeBinomial:  # whose draws are two quantiles
        torch.testing.assert_close(q.sample(u)[..., 0], exact, rtol=0, atol=0)
    ends = q.quantile(torch.tensor([0.0, 1.0], dtype=torch.float64)[:, None, None].expand(-1, *q[0].shape))
    assert (ends[0] == 0).all()
    np.testing.assert_array_equal(ends[1, :, 0].numpy(), np.broadcast_to(oracle.support()[1], len(q[0])))


@each
def test_draws_are_of_the_distribution(row):
    """Pearson's chi-squared over cells of at least 50: a right sampler fails once in 10,000, and keys are fixed."""
    q, _ = made(row, *row.typical)
    z = q.sample(q.noise(KEY, 5000))[..., 0].numpy()
    for i, fields in enumerate(row.typical):
        oracle = row.oracle(*fields)
        edges = np.unique(oracle.ppf(np.linspace(0.02, 0.98, 25)))
        expected = np.diff(oracle.cdf(edges), prepend=0, append=1) * len(z)
        edges = edges[expected[:-1] > 50]
        expected = np.diff(oracle.cdf(edges), prepend=0, append=1) * len(z)
        counts = np.bincount(np.searchsorted(edges, z[:, i]), minlength=len(expected))
        kept = expected > 0
        assert stats.chisquare(counts[kept], expected[kept]).pvalue > 1e-4


@each
def test_entropy_and_kl_are_the_sums(row):
    q, _ = made(row, row.typical[0])
    p, _ = made(row, row.typical[1])
    oracle, other = (row.oracle(*fields) for fields in row.typical)
    z = np.arange(min(oracle.ppf(1 - 1e-15), 1e5) + 1)
    mass = oracle.pmf(z)
    if hasattr(q, "entropy"):
        assert q.entropy().item() == pytest.approx(special.entr(mass).sum(), rel=1e-9)
    if hasattr(q, "kl"):
        held = mass > 0
        exact = (mass * (oracle.logpmf(z) - other.logpmf(z)))[held].sum()
        assert q.kl(p).item() == pytest.approx(exact, rel=1e-8)
        assert q.kl_per_dimension(p).item() == q.kl(p).item()
    assert q.mean().item() == pytest.approx(oracle.mean(), rel=1e-9)


def test_many_trials_are_inverted_exactly():
    q = Binomial(torch.tensor([[0.3], [-14.0]], dtype=torch.float64), Static(100_000))
    u = torch.from_numpy(U)[:, None, None].expand(-1, 2, 1)
    exact = stats.binom(100_000, special.expit(q.logits[:, 0].numpy())).ppf(U[:, None])
    np.testing.assert_array_equal(q.sample(u)[..., 0].numpy(), exact)


def test_rare_events_come_as_rarely_on_both_sides():
    """Odds of e^-8 = 3.4e-4 in 80,000 draws, 27 expected: 5 to 60 but for one right sampler in 100,000."""
    logit = torch.tensor([[8.0]])
    never, some = Geometric(logit), Geometric(-logit)
    assert 5 < (never.sample(never.noise(KEY, 80_000)) > 0).sum() < 60
    assert 5 < (some.sample(some.noise(KEY, 80_000)) == 0).sum() < 60
    rate = Poisson(torch.tensor([[3.4e-4, 8.0]]))
    z = rate.sample(rate.noise(KEY, 80_000))
    assert 5 < (z[..., 0] > 0).sum() < 60
    assert 5 < (z[..., 1] == 0).sum() < 60


def test_a_binomial_of_one_is_a_bernoulli_and_a_multinomial_of_one_a_categorical():
    logits = keys.normal(KEY, (4, 3), torch.float64)
    one, coin = Binomial(logits, Static(1)), Bernoulli(logits)
    z = coin.support()
    torch.testing.assert_close(one.log_prob(z), coin.log_prob(z), rtol=1e-12, atol=1e-12)
    for name in ("mean", "entropy", "log_masses", "support"):
        torch.testing.assert_close(getattr(one, name)(), getattr(coin, name)(), rtol=1e-12, atol=1e-12)
    choice = Categorical(logits[:, None])
    torch.testing.assert_close(
        Multinomial(logits, Static(1)).log_prob(choice.support()[:, :, 0]), choice.log_prob(choice.support())
    )
    p = logits.roll(1, 0)
    torch.testing.assert_close(
        Multinomial(logits, Static(1)).kl(Multinomial(p, Static(1))), choice.kl(Categorical(p[:, None]))
    )


def test_a_multinomial_has_scipys_masses_and_binomial_margins():
    logits = keys.normal(KEY, (1, 3), torch.float64)
    q, share = Multinomial(logits, Static(200)), torch.softmax(logits, -1)[0].numpy()
    z = q.sample(q.noise(KEY, 5000))
    assert (z.sum(-1) == 200).all()
    np.testing.assert_allclose(q.log_prob(z)[:, 0], stats.multinomial(200, share).logpmf(z[:, 0].numpy()), rtol=1e-9)
    error = z.std(0) / 5000**0.5
    assert ((z.mean(0) - q.mean()).abs() < 4.5 * error).all()
    covariance = np.cov(z[:, 0].numpy().T)
    np.testing.assert_allclose(covariance, 200 * (np.diag(share) - np.outer(share, share)), atol=4)


def test_a_geometric_is_a_negative_binomial_of_one():
    logits = torch.tensor([[0.3], [-2.0]], dtype=torch.float64)
    z = torch.arange(30, dtype=torch.float64)[:, None, None].expand(-1, 2, 1)
    one = NegativeBinomial(torch.ones_like(logits), -logits)
    torch.testing.assert_close(one.log_prob(z), Geometric(logits).log_prob(z), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(one.cdf(z), Geometric(logits).cdf(z), rtol=1e-12, atol=0)


def test_a_large_poisson_is_nearly_its_normal():
    """Berry and Esseen: within 0.4748 / sqrt(rate) plus half a step, and closer as the rate grows."""
    gaps = []
    for rate in (100.0, 1e4, 1e6):
        q = Poisson(torch.tensor([[rate]], dtype=torch.float64))
        normal = q.normal()
        z = (rate + rate**0.5 * torch.linspace(-4, 4, 81, dtype=torch.float64)).floor()[:, None, None]
        phi = torch.special.ndtr((z - normal.loc) / normal.log_scale.exp())
        gaps.append((q.cdf(z) - phi).abs().max().item())
        assert gaps[-1] < 0.4748 / rate**0.5
    assert gaps[0] > 5 * gaps[1] > 25 * gaps[2]


@each
def test_scores_are_derivatives_in_the_fields(row):
    fields = row.typical[0]
    q, oracle = made(row, fields)
    z = oracle.ppf(np.array([0.02, 0.4, 0.97]))
    slopes = grad(lambda q: q.log_prob(torch.from_numpy(z)[:, None, None]).sum())(q)
    for i in range(len(fields)):
        step = 1e-5
        above, below = ([f + s * (j == i) for j, f in enumerate(fields)] for s in (step, -step))
        exact = (row.oracle(*above).logpmf(z) - row.oracle(*below).logpmf(z)).sum() / (2 * step)
        assert slopes[i].item() == pytest.approx(exact, rel=1e-4, abs=1e-5)


@each
def test_only_counts_have_mass(row):
    q, _ = made(row, row.typical[0])
    for wrong in (-1.0, 0.5, -torch.inf, torch.inf):
        z = torch.tensor([[[wrong]]], dtype=torch.float64)
        assert q.log_prob(z).item() == -torch.inf
        assert (grad(lambda q, z=z: q.log_prob(z).sum())(q)[0] == 0).all()
    assert q.log_prob(torch.full((1, 1, 1), torch.nan, dtype=torch.float64)).isnan().all()


def test_trials_that_fit_no_binomial_are_refused():
    logits = torch.zeros(1, 2)
    with pytest.raises(TypeError, match=r"expected total_count, a static whole number, got 3: pass Static\(3\)"):
        Binomial(logits, 3).mean()
    with pytest.raises(ValueError, match=r"expected p of 3 trials as q, got 4: average log\(q / p\) over samples"):
        Binomial(logits, Static(3)).kl(Binomial(logits, Static(4)))
    off = Multinomial(logits, Static(3)).log_prob(torch.tensor([[[1.0, 1.0]], [[1.0, 2.0]]]))
    assert off[0].item() == -torch.inf
    assert off[1].isfinite().all()
