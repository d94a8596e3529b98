import math

import numpy as np
import pytest
import torch

from jensen.core import keys
from jensen.estimators.diagnostics import predictive_check, two_sample

KEY = keys.key(26)


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


@pytest.mark.parametrize("change", [{"shift": 1.0}, {"scale": 3.0}])
def test_differences_of_place_and_scale_are_seen(change):
    found = two_sample(*pair(KEY, **change, n=100, m=100))
    assert found.p_value <= 1 / 501 + 1e-12
    assert found.verdict().startswith("the samples differ")
    assert two_sample(*pair(KEY, n=100, m=100)).verdict().startswith("no difference is seen")


def test_equal_points_are_no_difference():
    found = two_sample(torch.ones(5, 2), torch.ones(4, 2), KEY)
    assert found.p_value == 1
    assert found.mmd == 0


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


def test_ties_count_by_half():
    x, replicates = torch.zeros(3, 1), torch.zeros(10, 3, 1)
    found = predictive_check(lambda t: t.sum(), x, replicates)
    assert found.p_value.tolist() == [0.5]
    assert predictive_check(lambda t: t.sum(), x, replicates + 1).p_value.tolist() == [1.0]


def test_bad_input_raises():
    with pytest.raises(ValueError, match=r"samples \(n, d\) and \(m, d\)"):
        two_sample(torch.zeros(3, 1), torch.zeros(3, 2), KEY)
    with pytest.raises(ValueError, match=r"replicates \(s, 3, 1\)"):
        predictive_check(torch.sum, torch.zeros(3, 1), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="reduce over data"):
        predictive_check(lambda t: t, torch.zeros(3, 1), torch.zeros(4, 3, 1))
