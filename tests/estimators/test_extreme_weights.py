"""Weights that are streamed, all zero, infinite, or all but one negligible."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.core.bounds import iwae
from jensen.estimators.evidence import from_log_weights

MANY = 1_000_000


def streamed(log_w, chunk):
    return from_log_weights(lambda key: log_w[int(key[1]) : int(key[1]) + chunk], keys.key(0), len(log_w))


def million():
    log_w = 3 * keys.normal(keys.key(5), (MANY, 3), torch.float32).double()
    log_w[:, 1] = -torch.inf
    log_w[123_456, 2] = 800.0  # e^800 overflows float64
    return log_w


def test_a_million_in_chunks_is_a_million_at_once():
    log_w = million()
    whole = streamed(log_w, MANY)
    for chunk in (4096, 99_991):
        for a, b in zip(whole, streamed(log_w, chunk), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(whole.log_p, iwae(log_w))
    assert whole.log_p[1] == -torch.inf
    assert abs(whole.log_p[2].item() - (800 - math.log(MANY))) < 1e-9
    assert abs(whole.ess[2].item() - 1) < 1e-9
    assert whole.standard_error[2] == torch.inf  # one draw of a million carries it


@pytest.mark.parametrize("chunk", [1, 2, 3, 6])
def test_an_infinite_weight_gives_infinity_and_nan_gives_nan(chunk):
    inf, nan = math.inf, math.nan
    columns = [
        [0.0, inf, -inf, 1, 2, 3],
        [inf, inf, 0, 0, 0, 0],
        [nan, 0, 0, 0, 0, 0],
        [0, inf, 0, 0, 0, nan],
        [inf] * 6,
    ]
    log_w = torch.tensor(columns, dtype=torch.float64).T
    estimate = streamed(log_w, chunk)
    torch.testing.assert_close(
        estimate.log_p, torch.tensor([inf, inf, nan, nan, inf], dtype=torch.float64), equal_nan=True
    )
    assert (estimate.standard_error[[0, 1, 4]] == inf).all()
    torch.testing.assert_close(estimate.ess[[0, 1, 4]], torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64))
    infinite = [0, 1, 4]
    torch.testing.assert_close(iwae(log_w)[infinite], estimate.log_p[infinite])
