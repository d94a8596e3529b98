import math

import numpy as np
import pytest
import torch

from jensen.core import keys
from jensen.estimators.diagnostics import predictive_check, two_sample

KEY = keys.key(26)
THREE = torch.tensor([[0.0], [1.0], [3.0]])


def pair(key, shift=0.0, scale=1.0, n=60, m=40, d=2):
    a, b, test = keys.split(key, 3)
    return keys.normal(a, (n, d)), shift + scale * keys.normal(b, (m, d)), test


def test_the_discrepancy_is_its_formula():
    x, y, key = pair(KEY, 0.5, n=7, m=5)
    found = two_sample(x, y, key, 10)
    both = torch.cat([x, y]).double().numpy()
    distance = np.linalg.norm(both[:, None] - both[None], axis=-1)
    pairs = np.sort(distance[np.triu_indices(12, 1)])
    h = pairs[(len(pairs) - 1) // 2]
    k = np.exp(-(distance**2) / (2 * h**2))
    expected = k[:7, :7].mean() + k[7:, 7:].mean() - 2 * k[:7, 7:].mean()
    assert abs(found.bandwidth.item() - h) < 1e-9
    assert abs(found.mmd.item() - expected) < 1e-12


def test_p_values_under_equality_are_uniform():
    """Of 150 tests the share below 10 % is within 4 standard errors (6e-5 by chance)."""
    p = torch.stack([two_sample(*pair(k), 99).p_value for k in keys.split(KEY, 150)])
    assert abs((p <= 0.1).double().mean() - 0.1) < 4 * math.sqrt(0.09 / 150)


def test_p_values_of_samples_with_ties_are_not_too_small():
    """Bernoulli(0.2) data: of 150 tests the shares below levels are at most 4 standard errors above them."""
    p = []
    for key in keys.split(KEY, 150):
        a, b, test = keys.split(key, 3)
        x, y = ((keys.uniform(k, (n, 1)) < 0.2).float() for k, n in ((a, 60), (b, 40)))
        p.append(two_sample(x, y, test, 99).p_value)
    p = torch.stack(p)
    for level in (0.05, 0.1, 0.3):
        assert (p <= level).double().mean() < level + 4 * math.sqrt(level * (1 - level) / 150)
    assert (p <= 0.5).any()


@pytest.mark.parametrize("change", [{"shift": 1.0}, {"scale": 3.0}])
def test_differences_of_location_and_scale_are_detected(change):
    found = two_sample(*pair(KEY, **change, n=100, m=100))
    assert found.p_value.item() == 1 / 501  # the samples as they are count among the permutations
    assert found.verdict().startswith("the samples differ")
    assert two_sample(*pair(KEY, n=100, m=100)).verdict().startswith("no difference is seen")


def test_equal_points_are_no_difference():
    found = two_sample(torch.ones(5, 2), torch.ones(4, 2), KEY)
    assert found.p_value == 1
    assert found.mmd == 0


def test_counts_that_are_mostly_equal_have_a_bandwidth_in_their_own_units():
    """Most distances are 0; the others are 1e-3, so that a bandwidth of 1 would see nothing."""
    a, b, key = keys.split(KEY, 3)
    x, y = (1e-3 * (keys.uniform(k, (200, 1)) < p).double() for k, p in ((a, 0.02), (b, 0.3)))
    found = two_sample(x, y, key)
    assert abs(found.bandwidth.item() - 1e-3) < 1e-15
    assert found.p_value.item() == 1 / 501


@pytest.mark.parametrize("offset", [1e8, -1e12])
def test_locations_far_from_0_change_nothing(offset):
    x, y, key = (t.double() if t.is_floating_point() else t for t in pair(KEY, 1.0))
    x, y = (torch.round(1024 * t) / 1024 for t in (x, y))  # the sums are exact
    near, far = two_sample(x, y, key), two_sample(x + offset, y + offset, key)
    for a, b in zip(near, far, strict=True):
        torch.testing.assert_close(a, b)


def features(x):
    return torch.stack([x.mean(), x.var(), x.amax()])


def test_a_right_model_passes_and_a_wrong_one_names_its_feature():
    """Replicates of the data's own law; then of one with twice the variance, whose mean is still right."""
    x, replicates, _ = pair(KEY, n=200, m=200 * 500, d=1)
    replicates = replicates.reshape(500, 200, 1)
    right = predictive_check(features, x, replicates)
    assert right.verdict().startswith("replicates look like the data in all 3 statistics")
    wrong = predictive_check(features, x, 2**0.5 * replicates)
    assert wrong.p_value[1] > 0.99
    assert 0.025 < wrong.p_value[0] < 0.975
    assert "in statistics 1" in wrong.verdict()
    assert wrong.verdict().endswith("the model misses this feature")
    low = predictive_check(features, x, 0.5**0.5 * replicates)
    assert "in statistics 1" in low.verdict() or "in statistics 1, 2" in low.verdict()


@pytest.mark.parametrize(("s", "t"), [(39, 1), (119, 3), (500, 3)])
def test_a_right_model_is_rejected_in_one_of_twenty_checks_at_most(s, t):
    """Among replicates of its own law a statistic has each rank as often: over all of them, and t times for t."""
    values, rejected = torch.arange(s + 1.0), 0
    for rank in range(s + 1):
        rest = torch.cat([values[:rank], values[rank + 1 :]])
        replicates = torch.stack([rest] + [rest - rest.median()] * (t - 1), 1)  # the others are in the middle
        observed = torch.zeros(t)
        observed[0] = rank
        found = predictive_check(lambda d: d[0], observed[None], replicates[:, None])
        rejected += "do not look like the data" in found.verdict()
    assert 0.04 < t * rejected / (s + 1) <= 0.05 + 1e-12  # and is not conservative


def test_few_replicates_are_too_few_to_judge():
    x, replicates = torch.zeros(3, 1), 1 + torch.zeros(38, 3, 1)
    text = predictive_check(torch.mean, x, replicates).verdict()
    assert text == "no verdict: 38 replicates are too few to judge 1 statistic at a level of 0.05: draw 39 or more"
    assert "draw 119 or more" in predictive_check(features, x + THREE, replicates + THREE).verdict()
    assert "do not look" in predictive_check(torch.mean, x, 1 + torch.zeros(39, 3, 1)).verdict()


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_broken_statistics_are_named(wrong):
    x, replicates, _ = pair(KEY, n=5, m=5 * 500, d=1)
    found = predictive_check(lambda d: torch.stack([d.mean(), d.mean() + wrong]), x, replicates.reshape(500, 5, 1))
    assert found.verdict().startswith("no verdict: statistics 1 of 2 give NaN or infinite numbers")
    replicates = replicates.reshape(500, 5, 1).clone()
    replicates[7, 0] = wrong
    assert predictive_check(torch.mean, x, replicates).verdict().startswith("no verdict: statistics give NaN")


def test_ties_are_judged_by_all_that_are_as_far_out():
    """Of 99 replicates 3 tie with the data's, the most of all: 4 of 100 are as far out, not 2.5."""
    x, replicates = torch.ones(1, 1), (torch.arange(99.0) < 3).float().reshape(99, 1, 1)
    found = predictive_check(torch.mean, x, replicates)
    assert abs(found.p_value.item() - (0.5 + 1.5) / 100) < 1e-12
    assert abs(found.one_sided.item() - 0.04) < 1e-12
    assert found.verdict().startswith("replicates look like the data")


def test_ties_count_by_half():
    x, replicates = torch.zeros(3, 1), torch.zeros(10, 3, 1)
    found = predictive_check(lambda t: t.sum(), x, replicates)
    assert found.p_value.tolist() == [0.5]
    above = predictive_check(lambda t: t.sum(), x, replicates + 1).p_value.item()
    assert abs(above - 10.5 / 11) < 1e-12


def test_bad_input_raises():
    with pytest.raises(ValueError, match=r"samples x \(n, d\) and y \(m, d\)"):
        two_sample(torch.zeros(3, 1), torch.zeros(3, 2), KEY)
    for wrong in (math.nan, math.inf):
        x = torch.zeros(30, 2)
        x[[3, 9], [0, 1]] = wrong
        with pytest.raises(ValueError, match="finite x, got NaN or infinite values in rows 3, 9"):
            two_sample(x, torch.zeros(3, 2), KEY)
        with pytest.raises(ValueError, match="finite y, got NaN or infinite values in rows 3, 9"):
            two_sample(torch.zeros(3, 2), x, KEY)
    with pytest.raises(ValueError, match="permutations, a whole number >= 1, got 0"):
        two_sample(torch.zeros(3, 2), torch.zeros(3, 2), KEY, 0)
    with pytest.raises(ValueError, match=r"replicates \(s, 3, 1\)"):
        predictive_check(torch.sum, torch.zeros(3, 1), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="reduce over data"):
        predictive_check(lambda t: t, torch.zeros(3, 1), torch.zeros(4, 3, 1))
