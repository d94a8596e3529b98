"""R-hat, effective sample sizes and errors of chains: closed forms, and values of an independent implementation."""

import pytest
import torch

from jensen.core import keys
from jensen.estimators.diagnostics import mixing


def autoregressive(rho, seed, t=500, m=4, d=3):
    noise = keys.normal(keys.key(seed), (t, m, d), torch.float64)
    x = [noise[0]]
    for i in range(1, t):
        x.append(rho * x[-1] + (1 - rho**2) ** 0.5 * noise[i])
    return torch.stack(x)


def test_values_of_arviz():
    """By arviz 0.21 on the same draws: R-hat, bulk and tail sizes, errors of the mean and the standard deviation."""
    apart = autoregressive(0.9, 3)[..., :1] + 0.1 * torch.arange(4)[:, None]
    x = torch.cat([autoregressive(a, seed)[..., :1] for a, seed in ((0.0, 0), (0.7, 1), (-0.3, 2))] + [apart], -1)
    skewed = torch.exp(autoregressive(0.5, 5)[..., :1])
    skewed[:, 0] = 0.6 * skewed[:, 0] + 0.4  # which draws folded about their mean, and not their median, show less
    x = torch.cat([x, torch.tan(x[..., :1]), skewed], -1)
    found = mixing(x)
    expected = {
        "r_hat": [1.0011, 1.0044, 0.9994, 1.0729, 1.0015, 1.0253],
        "bulk_ess": [1923.7891, 345.9182, 4025.5723, 46.6277, 1966.6549, 752.9417],
        "tail_ess": [1779.6144, 659.3534, 2103.9024, 213.9843, 2012.1861, 971.4129],
        "standard_error": [0.0225, 0.0533, 0.0157, 0.1410, 0.6003, 0.0673],
        "sd_error": [0.0159, 0.0262, 0.0158, 0.0420, 6.7363, 0.4747],
    }
    for name, values in expected.items():
        off = (getattr(found, name) - torch.tensor(values, dtype=torch.float64)).abs()
        tolerance = 6e-5 + 1e-6 * torch.tensor(values)  # of four digits, and of normal quantiles
        tolerance[3] += 0.01 * values[3]  # correlations stay above 0 to the end, where arviz leaves out three lags
        assert (off <= tolerance).all(), name


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.8])
def test_the_size_of_an_autoregression(rho):
    x = autoregressive(rho, 7, t=4000, m=8, d=4)
    found, expected = mixing(x), 32_000 * (1 - rho) / (1 + rho)
    assert ((found.bulk_ess / expected).log().abs() < 0.15).all()
    assert ((found.standard_error * expected**0.5 - 1).abs() < 0.1).all()
    assert (found.r_hat - 1).abs().max() < 0.003
    assert found.mixed.all()
    assert "the chains have mixed" in found.verdict()


def test_chains_apart_are_seen_in_their_place_in_their_scale_and_in_their_halves():
    x = keys.normal(keys.key(0), (400, 4, 3), torch.float64)
    x[:, 0, 0] += 1
    x[:, 0, 1] *= 3
    x[200:, :, 2] += 0.5
    found = mixing(x)
    assert (found.r_hat > 1.03).all()
    assert "not mixed in quantities 0, 1, 2" in found.verdict()
    names = ["tau", *["theta"] * (len(found.r_hat) - 1)]
    assert "not mixed in tau, theta: R-hat" in found.verdict(names)


def test_heavy_tails_have_a_size_and_ties_a_rank():
    cauchy = torch.tan(torch.pi * (keys.uniform(keys.key(0), (500, 4, 1), torch.float64) - 0.5))
    coin = (keys.uniform(keys.key(1), (500, 4, 1), torch.float64) < 0.3).double()
    found = mixing(torch.cat([cauchy, coin], -1))
    assert (found.bulk_ess > 1500).all()
    assert (found.r_hat < 1.01).all()
    assert found.tail_ess[0] > 1500
    torch.testing.assert_close(
        found.tail_ess[1], found.bulk_ess[1], rtol=1e-6, atol=0
    )  # of its one quantile that varies
    assert found.mixed.all()


def test_equal_draws_have_their_mean_rank():
    """So that the order of values does not matter: no rank but the mean one mirrors when all draws do."""
    u = keys.uniform(keys.key(2), (500, 4, 1), torch.float64)
    counts = (u > 0.2).double() + (u > 0.3).double() + 4 * (u > 0.9).double()
    found, mirrored = mixing(counts), mixing(-counts)
    torch.testing.assert_close(found.r_hat, mirrored.r_hat, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.bulk_ess, mirrored.bulk_ess, rtol=1e-9, atol=0)


def test_the_middle_draw_of_an_odd_number_is_left_out():
    x = autoregressive(0.5, 4, t=101)
    found, expected = mixing(x), mixing(torch.cat([x[:50], x[51:]]))
    for name in ("r_hat", "bulk_ess", "tail_ess", "standard_error", "sd_error"):
        assert torch.equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("scale", [1e-250, 1e250])
def test_no_scale_is_too_large_or_too_small(scale):
    x = autoregressive(0.5, 0)
    found, expected = mixing(scale * x), mixing(x)
    torch.testing.assert_close(found.bulk_ess, expected.bulk_ess)
    torch.testing.assert_close(found.standard_error / scale, expected.standard_error)
    torch.testing.assert_close(found.sd_error / scale, expected.sd_error)


def test_one_chain_constants_and_nan_have_no_verdict():
    x = keys.normal(keys.key(0), (100, 2, 3))
    x[..., 1], x[3, 0, 2] = 2.0, torch.nan
    found = mixing(x)
    assert found.r_hat.isnan().tolist() == [False, True, True]
    assert not found.mixed[1:].any()
    assert "quantities 1, 2 are constant" in found.verdict()
    assert "one chain" in mixing(x[:, :1]).verdict()


def test_refusals():
    with pytest.raises(ValueError, match=r"t >= 8, got \(7, 2, 1\)"):
        mixing(torch.zeros(7, 2, 1))
    with pytest.raises(ValueError, match="draws"):
        mixing(torch.zeros(100, 2))
    with pytest.raises(TypeError, match="draws"):
        mixing([1.0, 2.0])
