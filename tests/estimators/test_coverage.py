"""Coverage of central intervals: its tests are exact, and it refuses what the tests of ranks refuse."""

import numpy as np
import pytest
import torch
from scipy import stats

from jensen.estimators.diagnostics import Coverage, coverage
from tests.estimators.test_calibration import uniform_ranks


@pytest.mark.parametrize("n", [20, 100, 2000])
def test_coverage_is_judged_at_one_percent_by_exact_tails(n):
    """The probability of a false positive, summed over counts and levels, is at most 1 %; p-values are scipy's."""
    false_positive, count = 0.0, torch.arange(n + 1, dtype=torch.float64)[None] / n
    for level in (0.5, 0.9, 0.99):
        nominal = torch.tensor([level], dtype=torch.float64)
        found = Coverage(nominal, count, nominal[:, None], n)._p_values()[0]
        both = stats.binom.cdf(range(n + 1), n, level), stats.binom.sf(range(-1, n), n, level)
        expected = 2 * torch.as_tensor(np.minimum(*both)).clamp_max(0.5)
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-300)
        false_positive += stats.binom.pmf(range(n + 1), n, level)[(found < 0.01 / 3).numpy()].sum()
    assert false_positive <= 0.01


def test_coverage_of_few_simulations_has_its_rate_of_false_positives():
    """Of 1,000 sets of 20 exact simulations 19 or more with probability 0.7 %; by standard errors there were 34."""
    each = uniform_ranks(199, n=20, reps=1000).split(1, 1)
    rejected = [coverage(r, 199, (0.5, 0.9, 0.99)).verdict().startswith("intervals are too") for r in each]
    assert sum(rejected) < 19
