"""The tests of the diagnostics catch known-wrong ones: each bug, planted, fails the test that is there for it."""

import importlib
import math

import pytest
import torch
from scipy import stats

from jensen.core import keys
from jensen.core.distributions import DiagNormal, FullNormal
from jensen.estimators.diagnostics import Stop, calibration, stopping
from jensen.estimators.evidence import fit_pareto, pareto_quantile, tail_size
from tests.core import test_full_normal as normal
from tests.estimators import test_calibration as calibrated
from tests.estimators import test_calibration_with_ties as tied
from tests.estimators import test_gaps as gapped
from tests.estimators import test_posterior_diagnostics as informed
from tests.estimators import test_psis as weighted
from tests.estimators import test_stopping as stopped
from tests.estimators import test_two_sample as sampled


def module(name):
    """The module, where the package holds a function of its name."""
    return importlib.import_module(f"jensen.estimators.diagnostics.{name}")


def sign_of_k_turned(x, count=None):
    """Zhang and Stephens' own k is minus this one."""
    k, sigma = fit_pareto(x, count)
    return -k, sigma


def quantiles_of_the_ends(p, k, sigma):
    return pareto_quantile(p + 0.5 / 95, k, sigma)  # i / m for (i - 1/2) / m


def half_the_tail(k):
    return tail_size(k) // 2


def second_moment_for_a_variance(q, threshold=0.01):
    means = q if isinstance(q, torch.Tensor) else q.mean()
    square = means.square().mean(0)
    return module("activity").ActiveUnits(square, square > threshold, torch.tensor(threshold))


def mean_kl_alone(q, p, epsilon=0.01, delta=0.01):
    """Blind to how the KL is shared by data."""
    kl = q.kl_per_dimension(p).mean(0)
    gone = kl < 10 * epsilon
    return module("activity").Collapse(kl, gone.float(), gone, torch.tensor(epsilon), torch.tensor(delta))


def own_datum_left_in(q, z, index):
    whole, _ = AGGREGATE(q, z, index)
    return whole, whole


def count_forgotten(q, z, index):
    whole, others = AGGREGATE(q, z, index)
    return whole + math.log(len(q[0])), others


def ranks_from_above(theta, draws, u):
    return (draws > theta).sum(0)


def ties_left_out(theta, draws, u):
    return (draws < theta).sum(0)


def ties_counted_as_below(theta, draws, u):
    return (draws <= theta).sum(0)


def ties_by_half(theta, draws, u):
    """The middle of the places, which is not uniform either."""
    return ties_left_out(theta, draws, u) + (draws == theta).sum(0) // 2


def one_degree_too_many(ranks, s, bins):
    """Chi-square with as many degrees of freedom as bins."""
    found = calibration(ranks, s, bins)
    statistic = torch.as_tensor(stats.chi2.isf(found.p_uniform.numpy(), bins - 1))
    return found._replace(p_uniform=torch.as_tensor(stats.chi2.sf(statistic.numpy(), bins)))


def independent_halves(v):
    """u and 1 - u tested as two independent samples, by Kolmogorov and Smirnov (Yao et al., 2018): they are not."""
    t = torch.linspace(v.min(), v.max(), 100)[:, None, None]
    distance = ((v <= t).double().mean(1) - (-v <= t).double().mean(1)).abs().amax(0)
    return (2 * torch.exp(-len(v) * distance.square())).clamp(0, 1)


def ties_in_any_order(v):
    return SYMMETRY(2 * v + (v > 0))  # upper ranks first


def density_of_q_forgotten(log_p, q, key, s):
    return log_p(q.sample(q.noise(key, s)))


def nothing_fitted(log_p, start, *_):
    return start


def diagonal_kept(self):
    return torch.diag_embed(torch.exp(self.log_scale))


def independent_pairs(trace, window):
    pairs = trace[-window:] - trace[-2 * window : -window]
    return pairs.mean(), pairs.std() / window**0.5, window - 1


def every_look_at_the_full_level(level, freedom):
    return STUDENT(min(0.5, 12 * level), freedom)


def no_gain_is_proved(trace, tolerance, level=0.05, window=20):
    """Stops where the gain is not significant, which noise alone brings about."""
    for seen in range(2 * window, len(trace) + 1, window):
        gain, error, _ = stopped.gain_of_last(trace[:seen], window)
        if gain < 1.645 * error:
            return Stop(gain, error, gain, gain, window, seen, True)
    return stopping(trace, tolerance, level, window)._replace(stop=False)


def half_permuted(key, n):
    """Leaves the second half of the joint sample where it is."""
    return torch.cat([PERMUTATION(key, n // 2), torch.arange(n // 2, n)])


PERMUTATION, SYMMETRY = keys.permutation, module("_calibration")._symmetry
AGGREGATE, STUDENT = module("information")._aggregate, module("_stopping").student
TAIL, IMPORTANCE = (importlib.import_module(f"jensen.estimators.evidence.{name}") for name in ("tail", "_importance"))
INFORMATION, GAPS, STOPPING = (module(name) for name in ("information", "gaps", "_stopping"))
CALIBRATION, TWO_SAMPLE = module("_calibration"), module("_two_sample")
PLANTS = [
    (TAIL, "fit_pareto", sign_of_k_turned, lambda: weighted.test_k_hat_of_exponentials_is_the_known_tail(4.0)),
    (TAIL, "pareto_quantile", quantiles_of_the_ends, weighted.test_smoothed_tails_are_scipys_quantiles_of_the_fit),
    (TAIL, "_rounding", lambda peak, units: 0.0 * peak - 1, weighted.test_an_exact_q_has_no_tail),
    (IMPORTANCE, "tail_size", half_the_tail, lambda: weighted.test_streamed_weights_have_the_k_hat_of_stored_ones(37)),
    (
        informed,
        "active_units",
        second_moment_for_a_variance,
        informed.test_constant_means_are_inactive_wherever_they_are,
    ),
    (informed, "collapse", mean_kl_alone, informed.test_a_dimension_used_by_some_data_has_not_collapsed),
    (INFORMATION, "_aggregate", own_datum_left_in, informed.test_two_clusters_have_an_information_of_log_2),
    (INFORMATION, "_aggregate", count_forgotten, informed.test_two_clusters_have_an_information_of_log_2),
    (CALIBRATION, "_places", ranks_from_above, calibrated.test_too_wide_and_biased_posteriors_are_named),
    (CALIBRATION, "_places", ties_left_out, lambda: p_values_with_ties_are_uniform("Beta(0.01, 1)")),
    (CALIBRATION, "_places", ties_counted_as_below, lambda: p_values_with_ties_are_uniform("Bernoulli(1/2)")),
    (CALIBRATION, "_places", ties_by_half, lambda: p_values_with_ties_are_uniform("uniform on 0 … 9")),
    (calibrated, "calibration", one_degree_too_many, calibrated.test_chi_square_is_scipys),
    (CALIBRATION, "_symmetry", ties_in_any_order, lambda: calibrated.test_p_values_of_uniform_ranks_are_uniform(7)),
    (CALIBRATION, "_symmetry", independent_halves, lambda: calibrated.test_p_values_of_uniform_ranks_are_uniform(1000)),
    (GAPS, "_log_weights", density_of_q_forgotten, gapped.test_a_mean_field_splits_the_gap_as_in_closed_form),
    (GAPS, "fit_each", nothing_fitted, gapped.test_a_mean_field_splits_the_gap_as_in_closed_form),
    (FullNormal, "_factor", diagonal_kept, normal.test_it_is_torchs),
    (STOPPING, "gain_of_last", independent_pairs, lambda: stopped_less_than_one_time_in_twenty(0.8, 50, "linear")),
    (
        STOPPING,
        "student",
        every_look_at_the_full_level,
        lambda: stopped_less_than_one_time_in_twenty(0.0, 20, "linear"),
    ),
    (stopped, "stopping", no_gain_is_proved, lambda: stopped_less_than_one_time_in_twenty(0.0, 20, "linear")),
    (TWO_SAMPLE.keys, "permutation", half_permuted, sampled.test_p_values_under_equality_are_uniform),
]


def p_values_with_ties_are_uniform(name):
    tied.test_p_values_with_ties_are_uniform(tied.TIED[name])


def stopped_less_than_one_time_in_twenty(phi, window, shape):
    stopped.test_improving_traces_are_stopped_less_than_one_time_in_twenty(phi, window, shape)


@pytest.mark.parametrize(
    ("place", "name", "wrong", "test"),
    PLANTS,
    ids=[str(getattr(wrong, "__name__", wrong)) for _, _, wrong, _ in PLANTS],
)
def test_the_test_catches(monkeypatch, place, name, wrong, test):
    monkeypatch.setattr(place, name, wrong)
    with pytest.raises(AssertionError):
        test()


def test_a_plant_is_seen_only_where_it_is():
    """Means of data that do not differ give no active unit, however large."""
    q = DiagNormal(torch.full((10, 2), 5.0), torch.zeros(10, 2))
    assert not informed.active_units(q).active.any()
    assert second_moment_for_a_variance(q).active.all()
