"""The normal with a full covariance, beside torch's."""

import re

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence
from torch.func import grad, vmap

from jensen import laws
from jensen.core import keys, trees
from jensen.core.distributions import DiagNormal, FullNormal

KEY = keys.key(24)


def value(key, n=3, d=4):
    loc_key, scale_key, lower_key = keys.split(key, 3)
    lower = keys.normal(lower_key, (n, d * d), torch.float64).reshape(n, d, d)
    return FullNormal(*(keys.normal(k, (n, d), torch.float64) for k in (loc_key, scale_key)), lower)


def torchs(q):
    return MultivariateNormal(q.loc, scale_tril=torch.tril(q.lower, -1) + torch.diag_embed(q.log_scale.exp()))


def test_it_is_torchs():
    q, p = value(KEY), value(keys.key(25))
    z = q.sample(q.noise(KEY, 7))
    torch.testing.assert_close(q.log_prob(z), torchs(q).log_prob(z))
    torch.testing.assert_close(q.entropy(), torchs(q).entropy())
    torch.testing.assert_close(q.kl(p), kl_divergence(torchs(q), torchs(p)))
    assert q.mean() is q.loc
    draws = q.sample(q.noise(KEY, 20_000))[:, 0] - q.loc[0]
    products = draws[:, :, None] * draws[:, None]
    laws.mean_is(draws, torch.zeros(4, dtype=torch.float64))
    laws.mean_is(products, torchs(q).covariance_matrix[0])


def test_of_a_diagonal_it_is_the_same_distribution():
    q, p = (DiagNormal(v.loc, v.log_scale) for v in (value(KEY), value(keys.key(25))))
    full, other = FullNormal.from_diagonal(q), FullNormal.from_diagonal(p)
    eps = q.noise(KEY, 5)
    torch.testing.assert_close(full.sample(eps), q.sample(eps))
    torch.testing.assert_close(full.log_prob(eps), q.log_prob(eps))
    torch.testing.assert_close(full.kl(other), q.kl(p))


@pytest.mark.parametrize("size", [1e-2, 1e-3])
def test_small_kls_keep_their_digits_in_float32(size):
    q = value(KEY, d=2)
    near = FullNormal(*(a + size * b for a, b in zip(q, value(keys.key(26), d=2), strict=True)))
    q, near = (FullNormal(*(t.float() for t in each)) for each in (q, near))
    exact = FullNormal(*(t.double() for t in near)).kl(FullNormal(*(t.double() for t in q)))
    torch.testing.assert_close(near.kl(q).double(), exact, rtol=1e-4, atol=0)
    laws.kl_is_zero_iff_equal(lambda a, b: a.kl(b), q, near)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_drawn_in_its_type_and_scored_in_float32(dtype):
    q, p = (FullNormal(*(t.to(dtype) for t in value(keys.key(seed)))) for seed in (24, 25))
    z = q.sample(q.noise(KEY, 5))
    assert z.dtype == dtype
    wide = FullNormal(*(t.double() for t in q))
    for found, exact in (
        (q.log_prob(z), wide.log_prob(z.double())),
        (q.kl(p), wide.kl(FullNormal(*(t.double() for t in p)))),
    ):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-4)


def test_the_worked_case():
    """mu = (1, -2), Sigma = [[2, .8], [.8, 1]], x_2 = -1: mean 1.8 and variance 1.36."""
    covariance = torch.tensor([[2.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    q = FullNormal.from_covariance(torch.tensor([[1.0, -2.0]], dtype=torch.float64), covariance)
    first = q.condition(1, torch.tensor([[-1.0]], dtype=torch.float64))
    assert first.loc.item() == pytest.approx(1.8, abs=1e-12)
    assert (2 * first.log_scale).exp().item() == pytest.approx(1.36, abs=1e-12)
    values = torch.linalg.eigvalsh(covariance)
    torch.testing.assert_close(q.condition_number(), (values[1] / values[0])[None])


@pytest.mark.parametrize("index", [[0], [2, 0], [3, 1, 0]])
def test_conditioning_is_by_the_schur_complement(index):
    """Mean and covariance by the formula; log q(a, b) = log q(b) + log q(a given b); Sigma_AA is larger by a square."""
    q = value(KEY)
    covariance = torchs(q).covariance_matrix
    rest = [i for i in range(4) if i not in index]
    z = keys.normal(keys.key(27), (3, 4), torch.float64)
    given, marginal = q.condition(index, z[:, index]), q.marginal(index)
    within, across = covariance[:, index][:, :, index], covariance[:, rest][:, :, index]
    gain = torch.linalg.solve(within, across.mT).mT
    torch.testing.assert_close(torchs(marginal).covariance_matrix, within)
    torch.testing.assert_close(marginal.loc, q.loc[:, index])
    torch.testing.assert_close(given.loc, q.loc[:, rest] + (gain @ (z - q.loc)[:, index, None])[..., 0])
    left = torchs(given).covariance_matrix
    torch.testing.assert_close(left, covariance[:, rest][:, :, rest] - gain @ across.mT)
    assert torch.linalg.eigvalsh(covariance[:, rest][:, :, rest] - left).amin() >= -1e-9
    torch.testing.assert_close(q.log_prob(z[None]), (marginal.log_prob(z[None, :, index])
                               + given.log_prob(z[None, :, rest])))  # fmt: skip


def test_nearly_singular_covariances_say_which_jitter_to_add():
    """With it they are taken; what is definite to rounding is taken as it is; the difference of Schur would not be."""
    loc = torch.zeros(1, 3, dtype=torch.float64)
    for rank_one in (torch.ones(3, 3, dtype=torch.float64), torch.diag(torch.tensor([1.0, 1.0, -1e-3])).double()):
        with pytest.raises(
            ValueError, match="expected covariance positive definite for each datum, got eigenvalues"
        ) as refusal:
            FullNormal.from_covariance(loc, rank_one)
        jitter = float(re.search(r"add a jitter of (\S+) to", str(refusal.value))[1])
        FullNormal.from_covariance(loc, rank_one + jitter * torch.eye(3, dtype=torch.float64))
    near = torch.full((3, 3), 1 - 1e-12, dtype=torch.float64) + 1e-12 * torch.eye(3, dtype=torch.float64)
    q = FullNormal.from_covariance(loc, near)
    assert q.condition_number().item() == pytest.approx(3e12, rel=1e-2)
    given = q.condition([0], torch.ones(1, 1, dtype=torch.float64))
    exact = 1 - (1 - 1e-12) ** 2
    assert (2 * given.log_scale[0, 0]).exp().item() == pytest.approx(exact, rel=1e-3)
    alike = FullNormal(loc, torch.tensor([[0.0, -19.0, 0.0]]).double(), torch.ones(1, 3, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="add a jitter of"):
        alike.condition([0, 1], torch.zeros(1, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match="got NaN or inf in it"):
        FullNormal.from_covariance(loc, torch.nan * near)


def test_conditioning_transforms():
    """vmap over data is the whole, and gradients reach every field."""
    q = value(KEY)
    z = keys.normal(keys.key(28), (3, 2), torch.float64)

    def density(q, z):
        return q.condition([1, 3], z[None]).log_prob(0 * z[None]).sum()

    slopes = vmap(grad(density))(trees.map(lambda t: t[:, None], q), z)
    one = grad(lambda q: q.condition([1, 3], z).log_prob(0 * z).sum())(q)
    for mapped, whole in zip(slopes, one, strict=True):
        torch.testing.assert_close(mapped[:, 0], whole)
        assert (whole != 0).any()
