"""Tails of nearly equal weights: a q that misses little has a light one, and heavy tails stay heavy."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.estimators.diagnostics import ess, psis
from jensen.estimators.evidence import from_log_weights, smooth_tail, tail_size
from jensen.estimators.evidence.tail import nearly_equal

KEY = keys.key(71)
S = 10_000
Z = keys.normal(KEY, (S, 20), torch.float64)  # draws of q = N(0, 1), 20 times


def skewed(c):
    """Of a density with a third cumulant c, by its Edgeworth series: weights with every moment, so that k = 0."""
    return torch.log((1 + c / 6 * (Z**3 - 3 * Z)).clamp_min(0.1))


def peaked(c):
    """The same of a fourth cumulant."""
    return torch.log1p(c / 24 * (Z**4 - 6 * Z**2 + 3))


def contaminated(share, scale=10.0):
    """p = (1 - share) N(0, 1) + share N(0, scale): k = 1 - 1 / scale^2, and a variance that these draws do not see."""
    return torch.log1p(share * (torch.exp(Z.square() / 2 * (1 - scale**-2)) / scale - 1))


def whole(log_w):
    return smooth_tail(log_w.topk(tail_size(S) + 1, 0).values)


@pytest.mark.parametrize("missed", [skewed, peaked])
@pytest.mark.parametrize("c", [1e-6, 0.1])
def test_a_little_that_q_misses_is_no_heavy_tail(missed, c):
    log_w = missed(c)
    found = psis(log_w)
    assert nearly_equal(ess(log_w), S).all()
    assert whole(log_w).k_hat.median() > 1  # of weights just below a local maximum, and the others
    assert found.k_hat.median() < 0.4
    assert (found.k_hat + found.k_hat_error < 0.7).double().mean() >= 0.8
    assert (found.k_hat_error > (1 + found.k_hat) / math.sqrt(80)).all()  # of a quarter of 300


@pytest.mark.parametrize("share", [1e-4, 0.01])
def test_a_heavy_tail_is_heavy_however_few_draws_have_reached_it(share):
    log_w = contaminated(share)
    found = psis(log_w)
    assert nearly_equal(ess(log_w), S).double().mean() > 0.8
    assert found.k_hat.median() > 0.7
    assert (found.k_hat + found.k_hat_error < 0.7).double().mean() <= 0.1


def test_weights_that_are_not_nearly_equal_keep_their_whole_tail():
    log_w = 0.7 * Z  # lognormal: an effective sample size of exp(-0.49) s
    found = psis(log_w)
    assert torch.equal(found.k_hat, whole(log_w).k_hat)
    assert torch.equal(found.k_hat_error, whole(log_w).error)


def test_smoothed_weights_below_the_quarter_are_those_drawn():
    log_w = skewed(0.1)
    order = log_w.argsort(0, descending=True)
    found = psis(log_w).log_weights.gather(0, order)
    off = found - log_w.gather(0, order)
    assert (found.diff(dim=0) <= 1e-12).all()
    torch.testing.assert_close(off[75:], off[-1].expand_as(off[75:]), rtol=0, atol=1e-12)
    assert ((off[:75] - off[-1]).abs().amax(0) > 1e-3).all()


def test_streamed_weights_have_the_k_hat_of_stored_ones():
    log_w = skewed(0.1)
    found = from_log_weights(lambda key: log_w[int(key[1]) : int(key[1]) + 4000], keys.key(0), S)
    torch.testing.assert_close(found.k_hat, psis(log_w).k_hat, rtol=0, atol=1e-9)
