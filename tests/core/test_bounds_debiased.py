"""The jackknife's bias by its order, and the roulette's none, from exact expectations."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import grad, vmap

from jensen import laws
from jensen.core import bounds, keys
from jensen.laws import strategies
from jensen.laws.oracles import LinearGaussian, normal_log_density

INF = math.inf
KEY = keys.key(6)


def two_valued(s, p=0.9, low=0.0, high=0.5):
    """(log_w (s, s + 1), masses (s + 1,)): every count of s weights that are e^high with probability p, else e^low."""
    count = torch.arange(s + 1)
    log_w = torch.where(torch.arange(s)[:, None] < count, high, low).double()
    mass = torch.tensor([math.comb(s, i) * p**i * (1 - p) ** (s - i) for i in range(s + 1)], dtype=torch.float64)
    return log_w, mass, math.log((1 - p) * math.exp(low) + p * math.exp(high))


@pytest.mark.parametrize("m", [0, 1, 2, 3])
def test_the_bias_falls_one_order_per_m(m):
    sizes = (8, 16, 32) if m < 3 else (12, 24)
    biases = []
    for s in sizes:
        log_w, mass, evidence = two_valued(s)
        biases.append((mass * bounds.Jackknife(m)(log_w)).sum() - evidence)
    laws.bias_falls(biases, m + 1, 0.4)
    if m == 0:
        assert max(biases) < 0
    assert abs(biases[-1]) > 1e-10  # a bias, and no rounding


def test_the_first_order_is_the_textbook_jackknife():
    log_w = 3 * keys.normal(KEY, (7, 4), torch.float64)
    others = torch.stack([torch.logsumexp(torch.cat([log_w[:i], log_w[i + 1 :]]), 0) - math.log(6) for i in range(7)])
    whole = torch.logsumexp(log_w, 0) - math.log(7)
    torch.testing.assert_close(bounds.Jackknife(1)(log_w), 7 * whole - 6 * others.mean(0))


@pytest.mark.law
@given(strategies.log_weights())
def test_leaving_each_sample_out_is_the_bound_of_the_others(log_w):
    s = len(log_w)
    expected = torch.stack([bounds.iwae(torch.cat([log_w[:i], log_w[i + 1 :]])) for i in range(s)])
    torch.testing.assert_close(bounds.leave_one_out_iwae(log_w), expected, rtol=1e-13, atol=1e-12)
    slope = grad(lambda t: torch.where(expected == -INF, 0.0, bounds.leave_one_out_iwae(t)).sum())(log_w)
    torch.testing.assert_close(slope.sum(0), (expected > -INF).double().sum(0))


def test_leaving_out_infinite_and_unknown_weights_hides_neither():
    log_w = torch.tensor([[INF, INF, math.nan], [0.0, INF, 0.0], [1.0, 0.0, 1.0]], dtype=torch.float64)
    found = bounds.leave_one_out_iwae(log_w)
    expected = torch.stack([bounds.iwae(torch.cat([log_w[:i], log_w[i + 1 :]])) for i in range(3)])
    torch.testing.assert_close(found[:, :2], expected[:, :2])
    assert found[1:, 2].isnan().all()
    with pytest.raises(ValueError, match="s >= 2, got one sample"):
        bounds.leave_one_out_iwae(log_w[:1])


def test_a_long_jackknife_of_first_order_has_the_bias_it_should():
    """5,000 samples, where subsets could not be listed: IWAE's bias, var(w) / (2 s), is gone within 4 errors."""
    log_w = keys.normal(KEY, (5000, 400), torch.float64)  # the evidence is 1/2
    corrected, plain = bounds.Jackknife(1)(log_w) - 0.5, bounds.iwae(log_w) - 0.5
    laws.mean_is(corrected[:, None], torch.zeros(1, dtype=torch.float64))
    laws.mean_is((corrected - plain)[:, None], torch.tensor([(math.e - 1) / 2 / 5000], dtype=torch.float64))


def test_the_jackknife_of_equal_weights_is_their_value_in_float32():
    """Coefficients near 10^6 do not cost their digits."""
    log_w = torch.full((60, 2), -103.7)
    for m in (1, 2):
        torch.testing.assert_close(bounds.Jackknife(m)(log_w), log_w[0], rtol=1e-6, atol=0)


def test_the_jackknife_where_a_subset_has_no_weight():
    log_w = torch.tensor([[-INF, 0.0, 0.0], [2.0, 1.0, 0.5], [-INF, -INF, 1.0], [-INF, -INF, 3.0]], dtype=torch.float64)
    for m, plain in ((1, [True, False, False]), (2, [True, True, False])):
        value, slope = bounds.Jackknife(m)(log_w), grad(lambda t, m=m: bounds.Jackknife(m)(t).sum())(log_w)
        assert torch.isfinite(value).all()
        assert torch.isfinite(slope).all()
        assert ((value == bounds.iwae(log_w)) == torch.tensor(plain)).all()
        torch.testing.assert_close(slope.sum(0), torch.ones(3, dtype=torch.float64))


@pytest.mark.law
@given(strategies.tensors((7, 2), st.floats(-30, 30)), st.integers(1, 3), st.integers(1, 4))
def test_the_roulette_has_the_mean_of_all_terms(log_w, first, tail):
    """For every set of weights: over the roulette's ends, the mean is the IWAE bound of all samples."""
    sumo = bounds.Sumo(first, tail, 0.6)
    lengths = list(range(1, 8 - first))
    survival = [1 / k if k < tail else 0.6 ** (k - tail) / tail for k in lengths]
    torch.testing.assert_close(sumo.survival(torch.tensor(lengths)), torch.tensor(survival, dtype=torch.float64))
    values = [sumo(log_w[: first + k]) for k in lengths]
    laws.roulette_is_unbiased(values, survival, bounds.iwae(log_w))
    for k, value in zip(lengths, values, strict=True):  # samples beyond the roulette's end are not used
        torch.testing.assert_close(sumo(log_w, torch.full((2,), k)), value)
    mixed = sumo(log_w, torch.tensor([1, lengths[-1]]))
    torch.testing.assert_close(mixed, torch.stack([values[0][0], values[-1][1]]))


def test_roulettes_end_as_they_say():
    sumo, n = bounds.Sumo(tail=6, decay=0.8), 40_000
    terms = sumo.draw(KEY, n)
    assert terms.dtype == torch.int64
    assert terms.min() == 1
    for k in (1, 2, 3, 5, 6, 7, 12, 20):
        chance = 1 / k if k < 6 else 0.8 ** (k - 6) / 6
        share = (terms >= k).double().mean().item()
        assert abs(share - chance) <= 4 * math.sqrt(chance * (1 - chance) / n) + 1e-12, k
    assert torch.equal(sumo.draw(keys.at(KEY, datum=5), 7), terms[5:12])  # a datum's draw is its own
    assert bounds.Sumo().draw(KEY, 100_000).max() <= 260


def test_the_longest_roulette_has_the_chance_it_should(monkeypatch):
    monkeypatch.setattr(keys, "uniform", lambda key, shape, dtype: torch.zeros(shape, dtype=dtype))
    for sumo in (bounds.Sumo(), bounds.Sumo(tail=6, decay=0.8)):
        longest = sumo.draw(KEY, 1)
        assert 2.0**-32 <= sumo.survival(longest).item() <= 2.0**-31


def test_mapped_and_compiled_terms_below_one_are_nan():
    log_w, terms = torch.zeros(4, 2), torch.tensor([0, 2])
    assert vmap(bounds.Sumo())(log_w[None], terms[None]).isnan().tolist() == [[True, False]]
    compiled = torch.compile(lambda w, k: bounds.Sumo()(w, k), fullgraph=True, backend="eager")
    assert compiled(log_w, terms).isnan().tolist() == [True, False]


def test_sumo_is_unbiased_for_the_evidence():
    """One datum, many roulettes: iwae of the same first samples is many standard errors off."""
    oracle = LinearGaussian(
        torch.tensor([[1.0]], dtype=torch.float64), torch.zeros(1, dtype=torch.float64),
        torch.tensor(0.0, dtype=torch.float64), torch.tensor([[1.2]], dtype=torch.float64),
    )  # fmt: skip
    reps, sumo = 20_000, bounds.Sumo(2, 5, 0.8)
    draw_key, noise_key = keys.split(KEY)
    terms = sumo.draw(draw_key, reps)
    loc, log_scale = torch.tensor([[0.1]]).double(), torch.tensor([[-0.1]]).double()
    z = loc + torch.exp(log_scale) * keys.normal(noise_key, (2 + int(terms.max()), reps, 1), torch.float64)
    log_w = oracle.log_joint(z) - normal_log_density(z, loc, log_scale)
    evidence = oracle.log_evidence()
    laws.mean_is(sumo(log_w, terms)[:, None], evidence)
    with pytest.raises(AssertionError, match="standard errors off"):
        laws.mean_is(bounds.iwae(log_w[:3])[:, None], evidence, errors=10)


def test_a_roulette_longer_than_its_samples_is_nan_and_one_without_a_start_has_no_value():
    log_w = torch.zeros(4, 3, dtype=torch.float64)
    log_w[0, 2] = -INF
    assert bounds.Sumo()(log_w, torch.tensor([4, 3, 3])).isnan().tolist() == [True, False, False]
    slope = grad(lambda t: bounds.Sumo()(t)[1:].sum())(log_w)
    assert bounds.Sumo()(log_w)[2] == -INF
    assert (slope[:, 2] == 0).all()
    torch.testing.assert_close(slope[:, 1].sum(), torch.tensor(1.0, dtype=torch.float64))
