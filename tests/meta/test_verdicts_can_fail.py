"""The tests of the diagnostics' verdicts and corrections catch known-wrong ones, as in `test_diagnostics_can_fail`."""

import importlib

import pytest
import torch
from sklearn.metrics import mutual_info_score

from jensen.estimators.diagnostics import (
    Calibration,
    Coverage,
    Dci,
    Gaps,
    PredictiveCheck,
    aggregate_information,
    calibration,
    two_sample,
)
from tests.estimators import test_calibration as calibrated
from tests.estimators import test_coverage as covered
from tests.estimators import test_diagnostics as measured
from tests.estimators import test_disentanglement as disentangled
from tests.estimators import test_gaps as gapped
from tests.estimators import test_posterior_diagnostics as informed
from tests.estimators import test_stopping as stopped
from tests.estimators import test_tied_weights as tied
from tests.estimators import test_two_sample as sampled


def module(name):
    """The module, where the package holds a function of its name."""
    return importlib.import_module(f"jensen.estimators.diagnostics.{name}")


def first_draw_alone(q, p, key, s=1):
    """`lower` and its error of the first of s draws."""
    one = aggregate_information(q, p, key)
    return aggregate_information(q, p, key, s)._replace(lower=one.lower, error=one.error)


def each_parameter_at_the_full_level(self):
    worst = int(torch.minimum(self.p_uniform, self.p_symmetric).argmin())
    return CALIBRATION_VERDICT(Calibration(*(t[..., worst : worst + 1] for t in self[:5]), self.s))


def uniformity_alone(self):
    return CALIBRATION_VERDICT(self._replace(p_symmetric=torch.ones_like(self.p_symmetric)))


def never_too_high(self):
    return CALIBRATION_VERDICT(self).replace("too high", "too low")


def spread_about_one_half(ranks, s, bins=None):
    """A mean square, which a bias makes larger."""
    found, u = calibration(ranks, s, bins), (ranks.double() + 0.5) / (s + 1)
    return found._replace(spread=12 * (u - 0.5).square().mean(0))


def shift_of_middles(ranks, s, bins=None):
    return calibration(ranks, s, bins)._replace(shift=(ranks.double() + 0.5).mean(0) / (s + 1) - 0.5)


def normal_tails(self):
    off = (self.covered - self.nominal[:, None]) / self.error
    return 2 * torch.special.ndtr(-off.abs())


def the_data_left_out(x, y, key, permutations=500):
    """p without the one in numerator and denominator."""
    found = two_sample(x, y, key, permutations)
    return found._replace(p_value=(found.p_value * (1 + permutations) - 1) / permutations)


def no_batches(trace, window):
    """The autoregression's variance alone."""
    gain, _, freedom = GAIN(trace, window)
    pairs = trace[-window:] - trace[-2 * window : -window]
    rest = pairs - pairs.mean()
    phi = (rest[1:] * rest[:-1]).sum() / rest.square().sum()
    return gain, (rest.square().mean() * (1 + phi) / (1 - phi) / window).sqrt(), freedom


def unbalanced(z, v):
    """The share of data that are predicted by the most frequent class."""
    return (v == v.mode().values).double().mean()


def bias_left_in(z, v, k):
    """H(v) - I(z; v) of the shares, H(v) as of neighbours."""
    classes = v[z.data].numpy()
    return module("_neighbours").entropy(torch.bincount(v)) - mutual_info_score(z.start.numpy(), classes)


def scores_without_chance(self):
    return DCI_VERDICT(self._replace(chance=torch.zeros_like(self.chance)))


def order_of_the_data(key, n):
    return torch.arange(n)


def a_fixed_limit(level, freedom):
    return 4.0


def the_larger_wins(self):
    return "a richer family gains more" if self.approximation.mean() > self.amortisation.mean() else "a larger encoder"


def each_statistic_at_the_full_level(self):
    worst = self.one_sided.argmin()[None]
    return CHECK_VERDICT(PredictiveCheck(*(t[worst] for t in self[:5]), self.s))


CALIBRATION_VERDICT, DCI_VERDICT, CHECK_VERDICT = Calibration.verdict, Dci.verdict, PredictiveCheck.verdict
GAIN = stopped.gain_of_last
TAIL = importlib.import_module("jensen.estimators.evidence.tail")
FACTORS = module("_factors")
PLANTS = [
    (informed, "aggregate_information", first_draw_alone, informed.test_every_draw_counts),
    (
        informed,
        "aggregate_information",
        first_draw_alone,
        informed.test_the_error_falls_with_draws_where_data_are_alike,
    ),
    (
        Calibration,
        "verdict",
        each_parameter_at_the_full_level,
        calibrated.test_the_level_is_shared_by_both_tests_of_all_parameters,
    ),
    (
        Calibration,
        "verdict",
        uniformity_alone,
        calibrated.test_the_level_is_shared_by_both_tests_of_all_parameters,
    ),
    (Calibration, "verdict", never_too_high, calibrated.test_a_biased_posterior_is_not_called_too_narrow),
    (Calibration, "verdict", never_too_high, calibrated.test_verdicts_name_what_is_significant_alone),
    (calibrated, "calibration", spread_about_one_half, calibrated.test_the_spread_and_the_shift_are_their_formulas),
    (calibrated, "calibration", shift_of_middles, calibrated.test_the_spread_and_the_shift_are_their_formulas),
    (Coverage, "_p_values", normal_tails, covered.test_coverage_of_few_simulations_has_its_rate_of_false_positives),
    (
        sampled,
        "two_sample",
        the_data_left_out,
        lambda: sampled.test_differences_of_location_and_scale_are_detected({"shift": 1.0}),
    ),
    (
        PredictiveCheck,
        "verdict",
        each_statistic_at_the_full_level,
        lambda: sampled.test_a_right_model_is_rejected_in_one_of_twenty_checks_at_most(119, 3),
    ),
    (stopped, "gain_of_last", no_batches, stopped.test_the_error_includes_slow_noise_under_fast),
    (
        module("disentanglement"),
        "balanced_accuracy",
        unbalanced,
        disentangled.test_sap_of_noise_is_chance_however_rare_a_class_is,
    ),
    (
        FACTORS,
        "conditional_entropy",
        bias_left_in,
        disentangled.test_the_importance_of_a_binary_code_is_that_of_its_table,
    ),
    (
        Dci,
        "verdict",
        scores_without_chance,
        disentangled.test_one_factor_that_is_encoded_does_not_hide_one_that_is_not,
    ),
    (
        FACTORS.keys,
        "permutation",
        order_of_the_data,
        disentangled.test_data_in_factorial_order_are_predicted_as_well,
    ),
    (
        module("gradients"),
        "student",
        a_fixed_limit,
        lambda: measured.test_unbiased_gradients_are_called_biased_in_one_group_of_a_hundred(100, 5),
    ),
    (
        Gaps,
        "verdict",
        the_larger_wins,
        lambda: gapped.test_verdicts_recommend_what_is_significant((0.5, 0.1), (0.4, 0.1), "about equal", 1),
    ),
    (
        TAIL,
        "_rounding",
        lambda peak, units: 0.0 * peak - int(units == 4),
        tied.test_the_fit_is_of_the_weights_above_the_cutoff_alone,
    ),
    (TAIL, "_rounding", lambda peak, units: 0.0 * peak, tied.test_weights_equal_to_rounding_are_equal),
]


@pytest.mark.parametrize(
    ("place", "name", "wrong", "test"), PLANTS, ids=[f"{name} {wrong.__name__}" for _, name, wrong, _ in PLANTS]
)
def test_the_test_catches(monkeypatch, place, name, wrong, test):
    monkeypatch.setattr(place, name, wrong)
    with pytest.raises(AssertionError):
        test()
