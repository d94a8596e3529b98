"""The normal with a full covariance, beside torch's."""

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from jensen import laws
from jensen.core import keys
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
