"""Small odds, counted over the words that noise is made of: a rare value has its probability to the word's resolution.

Two of the 2^32 words give each multiple of 2^-31. Near 1 a float32 number is one of 2^-24 only.
"""

import math

import pytest
import torch

from jensen.core import keys
from jensen.core.distributions import Bernoulli, Categorical, ContinuousBernoulli
from jensen.core.distributions.uniform import exponential, logistic

WORDS = 2**15  # from 0: u up to 1.5e-5


def noise(dtype):
    return keys.to_uniform(torch.arange(WORDS), dtype)


def share(rare):
    """The probability of the noise below 1.5e-5 that gives the rare value, of 2^31 places in all."""
    return rare.double().sum().item() / 2**31


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("odds", [1e-5, 1e-6, 1e-7, 1e-8, 4e-9])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_rare_value_of_a_bernoulli_is_as_rare(odds, sign, dtype):
    logit = sign * math.log(odds)
    q, u = Bernoulli(torch.full((1, 1), logit, dtype=dtype)), noise(dtype)[:, None, None]
    value = 1 if sign > 0 else 0
    rare = q.sample(u) == value
    assert abs(share(rare) - odds) < 2**-31 + 1e-5 * odds
    assert (q.sample(torch.full_like(u[:1], 0.5)) != value).all()
    above = q.perturbed(u) > 0
    assert (above != (q.sample(u) == 1)).sum() <= 1  # at u = p itself


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("odds", [1e-5, 1e-6, 1e-7, 1e-8])
def test_a_rare_choice_is_as_rare(odds, dtype):
    """Against another category's noise v the rare one has E < odds * -log(1 - v): probability 1 - (1 - v)^odds."""
    logits = torch.tensor([[[0.0, math.log(odds)]]], dtype=dtype)
    for v in (0.3, 0.7):
        u = torch.stack([torch.full((WORDS,), v, dtype=dtype), noise(dtype)], -1)[:, None, None]
        found = share(Categorical(logits).sample(u)[..., 1] == 1)
        exact = -math.expm1(odds * math.log1p(-u[0, 0, 0, 0].item()))
        assert abs(found - exact) < 2**-31 + 2e-5 * exact


def test_the_planted_bug_is_seen():
    """u < sigmoid(logits) of a logit of 16: P(0) = 1.1e-7 lies between 1 and 2 steps of float32 below 1."""
    top = 1 - 2.0**-24 * torch.arange(1, 9)
    zeros = (top >= torch.sigmoid(torch.tensor(16.0))).sum().item() * 2**-24
    assert abs(zeros / torch.sigmoid(torch.tensor(-16.0)).item() - 1) > 0.03


@pytest.mark.parametrize("logit", [-300.0, -3.0, -0.2])
def test_small_quantiles_of_a_continuous_bernoulli_have_their_digits(logit):
    """F(x) = (e^(a x) - 1) / (e^a - 1): at a small u, x = u (1 - e^a) / -a. 1 - u would keep none of it."""
    u = torch.tensor([[[2.0**-31]], [[1e-8]], [[1e-6]]])
    x = ContinuousBernoulli(torch.full((1, 1), logit)).sample(u)
    exact = -torch.log1p(u.double() * math.expm1(logit)) / -logit
    torch.testing.assert_close(x.double(), exact, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_noise_of_half_precision_fields_is_in_float32(dtype):
    field = torch.zeros(2, 3, dtype=dtype)
    for q in (Bernoulli(field), ContinuousBernoulli(field), Categorical(field[None])):
        assert q.noise(keys.key(0), 4).dtype == torch.float32


def test_noise_of_zero_and_of_one_is_finite():
    u = torch.tensor([0.0, 1.0, 2.0**-31])
    assert exponential(u).isfinite().all()
    assert (exponential(u) > 0).all()
    assert exponential(u)[0] == exponential(u)[2] / 2
    assert logistic(u).isfinite().all()
