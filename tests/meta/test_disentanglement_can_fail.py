"""The tests of disentanglement scores catch known-wrong ones, as in `test_diagnostics_can_fail`."""

import math
from importlib import import_module

import pytest
import torch

from tests.estimators import test_disentanglement as disentangled
from tests.estimators import test_neighbours as near


def bins_of_equal_counts(z, v, k):
    """The plug-in entropy in 20 bins, each with its lower cut, as of `torch.quantile`."""
    code = z.start.double()
    cuts = torch.quantile(code, torch.linspace(0, 1, 21, dtype=torch.float64)[1:-1])
    return plugin(torch.searchsorted(cuts, code, right=True), v[z.data])


def plugin(bins, v):
    """H(v | bin) of the shares, which is too small on average."""
    joint = torch.zeros(int(bins.max()) + 1, int(v.max()) + 1, dtype=torch.float64)
    joint = joint.index_put((bins, v), torch.ones(len(v), dtype=torch.float64), accumulate=True) / len(v)
    share = joint / joint.sum(1, keepdim=True).clamp_min(1e-300)
    return -torch.xlogy(joint, share).sum()


def logarithm_for_psi(count):
    return count.clamp_min(1).double().log()


def upwards_alone(codes, factors, f):
    """Codes that tie with a neighbour beyond, or lie to the left, are preferred."""
    return torch.stack([torch.stack([f(NEIGHBOURS.ordered(code), v) for v in factors.T]) for code in codes.T])


def datum_left_in(z, v):
    """Each datum is its own neighbour too, which favours its class."""
    reach, same = 40, v[z.data]
    place = torch.arange(len(v))
    window = (place[:, None] + torch.arange(-reach, reach + 1)).clamp(0, len(v) - 1)
    share = torch.stack([(same[window] == c).double().sum(1) / (same == c).sum() for c in range(int(v.max()) + 1)], 1)
    return torch.stack([(share.argmax(1) == c)[same == c].double().mean() for c in range(share.shape[1])]).mean()


def best_alone(scores):
    return scores.amax(0)


FACTORS, NEIGHBOURS, DCI, DISENTANGLEMENT = (
    import_module(f"jensen.estimators.diagnostics.{name}")
    for name in ("_factors", "_neighbours", "_dci", "disentanglement")
)


def factors_as_codes_score_1(name):
    disentangled.test_factors_as_codes_score_1(disentangled.SHARES[name], torch.neg)


def monotone_functions_change_nothing(digits):
    disentangled.test_strictly_monotone_functions_of_codes_change_nothing_at_all(torch.neg, digits)


def independent_code_has_no_information(name):
    near.test_a_code_independent_of_the_classes_has_no_information_on_average(near.CODES[name], (4, 3), 2)


PLANTS = [
    (FACTORS, "conditional_entropy", bins_of_equal_counts, lambda: factors_as_codes_score_1("3 %")),
    (FACTORS, "conditional_entropy", bins_of_equal_counts, lambda: factors_as_codes_score_1("32 values")),
    (NEIGHBOURS, "_psi", logarithm_for_psi, lambda: independent_code_has_no_information("distinct")),
    (NEIGHBOURS, "_psi", logarithm_for_psi, lambda: independent_code_has_no_information("two values")),
    (FACTORS, "pairs", upwards_alone, lambda: monotone_functions_change_nothing(0)),
    (FACTORS, "pairs", upwards_alone, lambda: monotone_functions_change_nothing(7)),
    (
        DISENTANGLEMENT,
        "balanced_accuracy",
        datum_left_in,
        disentangled.test_sap_of_noise_is_chance_however_rare_a_class_is,
    ),
    (DCI, "LEVEL", math.inf, lambda: disentangled.test_codes_independent_of_factors_score_0((0.5, 0.5))),
    (
        DISENTANGLEMENT,
        "_two_best",
        best_alone,
        disentangled.test_a_factor_in_two_dimensions_has_no_gap_and_is_incomplete,
    ),
]


@pytest.mark.parametrize(
    ("place", "name", "wrong", "test"),
    PLANTS,
    ids=[str(getattr(wrong, "__name__", wrong)) for _, _, wrong, _ in PLANTS],
)
def test_the_test_catches(monkeypatch, place, name, wrong, test):
    monkeypatch.setattr(place, name, wrong)
    with pytest.raises(AssertionError):
        test()
