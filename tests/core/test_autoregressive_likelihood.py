"""Pixels that depend on those before them: a density by enumeration, and samples that have it."""

from itertools import product

import numpy as np
import torch

from jensen import laws
from jensen.core import keys
from jensen.core.models.latent.likelihoods import AUTOREGRESSIVE, AutoregressiveBernoulli
from jensen.core.models.latent.likelihoods.autoregressive import RIDGE

KEY, F64 = keys.key(4), torch.float64
ALL = torch.tensor(list(product([0.0, 1.0], repeat=3)), dtype=F64)
P = AutoregressiveBernoulli(keys.normal(KEY, (2, 3), F64), keys.normal(keys.key(5), (3, 3), F64))


def by_hand(x, row):
    """log P of one image, pixel after pixel."""
    total = torch.zeros((), dtype=F64)
    for i in range(3):
        t = P.logits[row, i] + sum((P.weight[i, j] * x[j] for j in range(i)), torch.zeros((), dtype=F64))
        total = total + torch.where(x[i] == 1, -torch.log1p((-t).exp()), -torch.log1p(t.exp()))
    return total


def test_the_density_is_a_product_of_conditionals_and_sums_to_one():
    log_p = P.log_prob(ALL[:, None].expand(-1, 2, -1))
    torch.testing.assert_close(log_p, torch.stack([torch.stack([by_hand(x, row) for row in (0, 1)]) for x in ALL]))
    torch.testing.assert_close(log_p.exp().sum(0), torch.ones(2, dtype=F64))
    order_matters = AutoregressiveBernoulli(P.logits, P.weight.T).log_prob(ALL[:, None].expand(-1, 2, -1))
    assert (order_matters - log_p).abs().max() > 0.1


def test_samples_have_the_density():
    x = P.sample(P.noise(KEY, 4000))
    places = (x * torch.tensor([4.0, 2.0, 1.0], dtype=F64)).sum(-1).long()
    shown = torch.nn.functional.one_hot(places, 8).double()
    laws.mean_is(shown, P.log_prob(ALL[:, None].expand(-1, 2, -1)).exp().T)


def test_it_starts_at_least_squares_of_each_pixel_on_those_before_it():
    """By NumPy, pixel by pixel; with means in place of pixels the mean is the data's."""
    x = (keys.uniform(KEY, (50, 4), F64) < 0.5).double()
    x[:, 3] = x[:, 0]
    params, bias = AUTOREGRESSIVE.init(x)
    centred, spread = (x - x.mean(0)).numpy(), x.mean(0) * (1 - x.mean(0)) + RIDGE
    for i in range(1, 4):
        rows = np.vstack([centred[:, :i], (50 * RIDGE) ** 0.5 * np.eye(i)])
        solution, *_ = np.linalg.lstsq(rows, np.append(centred[:, i], np.zeros(i)), rcond=None)
        np.testing.assert_allclose(params["weight"][i, :i] * spread[i], solution, rtol=1e-9, atol=1e-12)
    assert not params["weight"].triu().any()
    torch.testing.assert_close(AUTOREGRESSIVE(params, bias.expand(2, 4)).mean(), x.mean(0).expand(2, 4))
