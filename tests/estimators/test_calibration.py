"""Calibration of a conjugate normal: theta ~ N(0, 1), x | theta ~ N(theta, 1), so theta | x ~ N(x / 2, 1 / 2)."""

import math

import pytest
import torch
from scipy import stats
from torch.func import vmap

from jensen.core import keys
from jensen.estimators.diagnostics import Calibration, calibration, coverage, ranks, simulation_based_calibration

KEY = keys.key(23)
S = 99


def simulate(key):
    prior, noise = keys.split(key)
    theta = keys.normal(prior, (2,), torch.float64)
    return theta, theta + keys.normal(noise, (2,), torch.float64)


def posterior(scale=1.0, shift=0.0):
    """Draws of two parameters; the second is always exact."""
    wrong = torch.tensor([scale, 1.0], dtype=torch.float64)
    moved = torch.tensor([shift, 0.0], dtype=torch.float64)

    def draws(key, x):
        return x / 2 + math.sqrt(0.5) * (moved + wrong * keys.normal(key, (S, 1, 2), torch.float64)[:, 0])

    return draws


def run(n=1000, key=KEY, **how):
    return simulation_based_calibration(simulate, posterior(**how), keys.split(key, n))


def test_the_exact_posterior_passes():
    found = run()
    assert (found.p_uniform > 0.01).all()
    assert (found.p_symmetric > 0.01).all()
    assert found.verdict().startswith("calibrated as far as 1000 simulations show")
    assert ((found.spread - 1).abs() < 4 * math.sqrt(0.8 / 1000)).all()  # Var (u - 1/2)^2 = 1 / 180
    cover = coverage(found.ranks, found.s)
    assert ((cover.covered - cover.nominal[:, None]).abs() < 4 * cover.error).all()
    assert cover.verdict().startswith("coverage is right")


def test_a_posterior_20_percent_too_narrow_is_flagged_and_is_symmetric():
    found = run(scale=0.8)
    assert found.p_uniform[0] < 1e-5
    assert found.p_uniform[1] > 0.01
    assert found.p_symmetric[0] > 0.01
    assert found.spread[0] > 1.1
    assert "in parameters 0 of 2" in found.verdict()
    assert "in 0 the posterior is too narrow (spread of ranks 1." in found.verdict()
    cover = coverage(found.ranks, found.s)
    assert cover.verdict().startswith("intervals are too narrow")
    exact = 2 * stats.norm.cdf(0.8 * stats.norm.ppf((1 + cover.nominal) / 2)) - 1
    assert ((cover.covered[:, 0] - torch.as_tensor(exact)).abs() < 4 * cover.error[:, 0]).all()


def test_too_wide_and_biased_posteriors_are_named():
    wide, biased = run(scale=1.3), run(shift=-0.5)
    assert "too wide" in wide.verdict()
    assert coverage(wide.ranks, S).verdict().startswith("intervals are too wide")
    assert biased.p_symmetric[0] < 1e-6
    assert biased.p_symmetric[1] > 0.01
    assert "too low (shift +0." in biased.verdict()


def test_a_biased_posterior_is_not_called_too_narrow():
    """Posteriors 30 % too wide and off to one side, whose mean square about 1/2 is above that of exact ones."""
    for shift, side in ((-0.8, "too low (shift +0.1"), (0.8, "too high (shift -0.1")):
        found = run(scale=1.3, shift=shift)
        assert found.spread[0] < 1
        assert f"in 0 the posterior is {side}" in found.verdict()
        assert "narrow" not in found.verdict()


def test_the_spread_and_the_shift_are_their_formulas():
    found = calibration(uniform_ranks(9, n=100, reps=3), 9)
    r = found.ranks.numpy()
    torch.testing.assert_close(found.spread, torch.as_tensor(r.var(0, ddof=1) / stats.randint(0, 10).var()))
    torch.testing.assert_close(found.shift, torch.as_tensor(r.mean(0) / 9 - 0.5))


def verdict(p_uniform=1.0, p_symmetric=1.0, spread=1.0, shift=0.0, n=1000, d=1):
    """The verdict on parameter 0 of d with these numbers; the others are exact."""
    numbers = torch.ones(4, d, dtype=torch.float64) * torch.tensor([[1.0], [1.0], [1.0], [0.0]])
    numbers[:, 0] = torch.tensor([p_uniform, p_symmetric, spread, shift])
    return Calibration(torch.zeros(n, d, dtype=torch.long), *numbers, S).verdict()


def test_verdicts_name_what_is_significant_alone():
    assert verdict(p_symmetric=1e-6, shift=0.1).startswith("not calibrated: ranks are not uniform in parameters 0 of 1")
    assert "too low (shift +0.10)" in verdict(p_symmetric=1e-6, shift=0.1, spread=0.5)
    assert "too high (shift -0.10)" in verdict(1e-6, 1e-6, shift=-0.1, spread=2.0)
    assert "too narrow (spread of ranks 1.20" in verdict(1e-6, spread=1.2)
    assert "too wide (spread of ranks 0.80" in verdict(1e-6, spread=0.8)
    for shape in ({"spread": 1.03}, {"p_symmetric": 1e-6, "shift": 0.01, "spread": 1.5}):
        assert "the posterior is of the wrong shape" in verdict(1e-6, **shape)


def test_the_level_is_shared_by_both_tests_of_all_parameters():
    """0.01 / (2 d): 5e-3 for one parameter and 2.5e-4 for twenty."""
    for p, d, flagged in ((4e-3, 1, True), (6e-3, 1, False), (4e-3, 20, False), (2e-4, 20, True)):
        for name in ("p_uniform", "p_symmetric"):
            assert verdict(**{name: p}, d=d).startswith("not calibrated") == flagged


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_ranks_of_any_integers_are_ranks(dtype):
    whole = uniform_ranks(200, n=100, reps=3)
    for found, expected in zip(calibration(whole.to(dtype), 200), calibration(whole, 200), strict=True):
        assert found == expected if isinstance(expected, int) else torch.equal(found, expected)


def test_false_positives_and_power_over_thirty_repetitions():
    """At 1 % over both parameters, 3 or more false positives in 30 have probability 0.3 %; each narrow one is found."""
    each = keys.split(KEY, 30)
    exact = [run(300, k).verdict().startswith("not calibrated") for k in each]
    narrow = [run(1000, k, scale=0.8).verdict().startswith("not calibrated") for k in each]
    assert sum(exact) < 3
    assert all(narrow)


def uniform_ranks(s, n=400, reps=500):
    return (keys.uniform(KEY, (n, reps), torch.float64) * (s + 1)).long().clamp_max(s)


@pytest.mark.parametrize("s", [1, 7, 99, 1000])
def test_p_values_of_uniform_ranks_are_uniform(s):
    """Of 500 p-values the shares below levels are within 4 standard errors of them, or less where ranks are few."""
    found = calibration(uniform_ranks(s), s)
    for p in (found.p_uniform, found.p_symmetric):
        for level in (0.01, 0.05, 0.2):
            share, error = (p < level).double().mean(), math.sqrt(level * (1 - level) / 500)
            assert share < level + 4 * error
            assert s < 20 or share > level - 4 * error


def test_chi_square_is_scipys():
    ranks_ = uniform_ranks(9, n=100, reps=3)
    found = calibration(ranks_, 9, bins=5)
    counts = torch.stack([torch.bincount(column // 2, minlength=5) for column in ranks_.T], 1)
    torch.testing.assert_close(found.p_uniform, torch.as_tensor(stats.chisquare(counts.numpy()).pvalue))


def test_bins_that_do_not_divide_the_ranks_expect_their_shares():
    every = torch.arange(11)[:, None].repeat(30, 1)  # each rank as often as the others
    found = calibration(every, 10, bins=4)
    assert abs(found.p_uniform.item() - 1) < 1e-9
    assert abs(found.spread.item() - 330 / 329) < 1e-9
    assert abs(found.shift.item()) < 1e-9


def test_ranks_count_the_draws_below():
    draws = torch.tensor([1.0, 2.0, 3.0])[:, None, None].expand(3, 4, 1)
    assert ranks(torch.tensor([[0.0], [1.5], [2.5], [9.0]]), draws, KEY)[:, 0].tolist() == [0, 1, 2, 3]


def test_mapped_and_compiled_ranks_are_the_same():
    each, draws = keys.split(KEY, 3), keys.normal(KEY, (9, 40, 2)).round()
    expected = torch.stack([ranks(draws[0], draws, key) for key in each])
    assert torch.equal(vmap(lambda key: ranks(draws[0], draws, key))(each), expected)
    p_uniform = vmap(lambda r: calibration(r, 9).p_uniform)(expected)
    torch.testing.assert_close(p_uniform, torch.stack([calibration(r, 9).p_uniform for r in expected]))
    compiled = torch.compile(ranks, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(draws[0], draws, each[1]), expected[1])


def test_chunks_change_nothing():
    each = keys.split(KEY, 50)
    whole, parts = (simulation_based_calibration(simulate, posterior(), each, chunk=c) for c in (None, 7))
    assert torch.equal(whole.ranks, parts.ranks)


def test_bad_input_raises():
    with pytest.raises(ValueError, match=r"make them with keys\.split"):
        simulation_based_calibration(simulate, posterior(), KEY)
    with pytest.raises(ValueError, match="posterior_draws"):
        simulation_based_calibration(simulate, lambda key, x: x, keys.split(KEY))
    with pytest.raises(ValueError, match=r"draws \(s, 3, 1\) for theta \(3, 1\), got \(3, 5, 1\)"):
        ranks(torch.zeros(3, 1), torch.zeros(3, 5, 1), KEY)
    with pytest.raises(ValueError, match="NaN"):
        ranks(torch.zeros(1, 1), torch.full((2, 1, 1), math.nan), KEY)
    with pytest.raises(ValueError, match="s counts the posterior draws"):
        calibration(torch.tensor([[5], [9]]), 8)
    for wrong, message in (
        (torch.zeros(5, 1), "as integers 0 … s, got torch.float32"),
        (torch.zeros(5, 0, dtype=torch.long), r"d >= 1, got \(5, 0\)"),
    ):
        for f in (calibration, coverage):
            with pytest.raises((TypeError, ValueError), match=message):
                f(wrong, 9)
    with pytest.raises(ValueError, match=r"s, a whole number >= 1, got 0"):
        calibration(torch.zeros(5, 1, dtype=torch.long), 0)
    with pytest.raises(ValueError, match="take more draws"):
        coverage(torch.tensor([[5], [9]]), 9, (0.99,))
    with pytest.raises(ValueError, match="fewer bins"):
        calibration(torch.tensor([[1], [0]]), 1, bins=5)
