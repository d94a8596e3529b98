"""Scores of codes that are factors, mixtures of them, or noise; numpy and scikit-learn as oracles."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import mutual_info_score

from jensen.core import keys
from jensen.estimators.diagnostics import dci, mig, sap

KEY = keys.key(27)
N = 4000
FACTORS = torch.stack([(keys.uniform(k, (N,)) * c).long() for k, c in zip(keys.split(KEY), (4, 3), strict=True)], 1)
NOISE = keys.normal(keys.fold_in(KEY, 1), (N, 4))


def codes(kind):
    z = 0.1 * NOISE.clone()
    if kind == "own":
        z[:, 2] += FACTORS[:, 0]
        z[:, 0] -= FACTORS[:, 1]
    elif kind == "rotated":
        a, b = (FACTORS[:, k] - FACTORS[:, k].float().mean() for k in (0, 1))
        z[:, 0] += a + b
        z[:, 1] += a - b
    elif kind == "twice":
        z[:, 2] += FACTORS[:, 0]
        z[:, 3] += FACTORS[:, 0]
        z[:, 0] -= FACTORS[:, 1]
    return z


def test_factors_in_dimensions_of_their_own_score_near_one():
    z = codes("own")
    m, s, c = mig(z, FACTORS), sap(z, FACTORS), dci(z, FACTORS)
    assert m.score > 0.9
    assert s.score > 0.6  # at most 1 - chance: 3/4 and 2/3
    assert (s.gap - torch.tensor([3 / 4, 2 / 3])).abs().max() < 0.08  # of the noise's best bins
    assert m.information.argmax(0).tolist() == [2, 0]
    assert min(c.disentanglement, c.completeness) > 0.9
    assert c.verdict().endswith("each score being at least 0.5")
    assert "factors have dimensions of their own" in m.verdict()
    assert "0 in 2 (" in m.verdict()
    assert "1 in 0 (" in s.verdict()


def test_a_factor_in_two_dimensions_has_no_gap_and_is_incomplete():
    m, s, c = mig(codes("twice"), FACTORS), sap(codes("twice"), FACTORS), dci(codes("twice"), FACTORS)
    assert m.gap[0] < 0.05
    assert m.gap[1] > 0.9
    assert s.gap[0] < 0.02
    assert c.disentanglement > 0.8  # each dimension still tells one factor
    assert c.completeness < dci(codes("own"), FACTORS).completeness - 0.2  # (1 + 1/2) / 2 for 1


def test_rotated_codes_are_informative_but_entangled():
    z = codes("rotated")
    m, c = mig(z, FACTORS), dci(z, FACTORS)
    assert m.score < 0.2
    assert c.disentanglement < 0.3
    assert c.informativeness.mean() > dci(codes("noise"), FACTORS).informativeness.mean() + 0.3
    assert "dimensions mix factors" in c.verdict()
    assert "are shared between dimensions" in m.verdict()


def test_noise_scores_nothing():
    z = codes("noise")
    assert mig(z, FACTORS).score < 0.02
    assert sap(z, FACTORS).score < 0.05
    assert (dci(z, FACTORS).informativeness - torch.tensor([1 / 4, 1 / 3])).abs().max() < 0.06


def random_factors(seed, *classes, n=N):
    return torch.stack(
        [(keys.uniform(k, (n,)) * c).long() for k, c in zip(keys.split(seed, 2), classes, strict=True)], 1
    )


def test_noise_does_not_pair_off():
    """Of 40 sets of noise one or more has an importance left with probability 1 - 0.99^40 = 33 %, four with 0.07 %."""
    found = [dci(keys.normal(k, (N, 4)), random_factors(k, 4, 3)) for k in keys.split(KEY, 40)]
    assert sum(bool(f.importance.any()) for f in found) < 4
    assert sum(bool((f.informativeness > f.chance).any()) for f in found) < 4  # likewise at 1 %
    assert not any("pair off" in f.verdict() for f in found)


def test_the_accuracy_of_chance_is_the_largest_share_and_its_errors():
    share = (FACTORS.mode(0).values == FACTORS).double().mean(0)
    expected = share - stats.norm.ppf(0.005) * torch.sqrt(share * (1 - share) / (N // 2))
    torch.testing.assert_close(dci(codes("noise"), FACTORS).chance, expected)


def test_one_factor_that_is_told_does_not_hide_one_that_is_not():
    z = codes("noise")
    z[:, 2] += FACTORS[:, 0]
    text = dci(z, FACTORS).verdict()
    assert "predicts factors 1 of 2 no better than chance (accuracy 0." in text
    assert "pair off" not in text


def test_the_bias_taken_off_is_that_of_the_bins_in_use():
    """A binary code of a binary factor: information less 1 / (2 n), over the entropy."""
    code = FACTORS[:, 0] > 1
    other = torch.stack([code ^ (keys.uniform(KEY, (N,)) < 0.3), FACTORS[:, 1] > 0], 1)
    found = dci(other.float(), torch.stack([code, FACTORS[:, 1]], 1)).importance[0, 0]
    information = mutual_info_score(code.numpy(), other[:, 0].numpy())
    expected = (information - 1 / (2 * N)) / mutual_info_score(code.numpy(), code.numpy())
    assert abs(found.item() - expected) < 1e-9


@pytest.mark.parametrize("classes", [2, 3, 5, 10])
def test_perfect_codes_of_ordered_classes_are_perfectly_informative(classes):
    factors = random_factors(KEY, classes, 3)
    for z in (factors + 0.01 * NOISE[:, :2], factors.double(), torch.cat([factors, NOISE], 1)):
        assert (dci(z, factors).informativeness == 1).all()


def test_data_in_factorial_order_are_predicted_as_well():
    i = torch.arange(4096)
    factors = torch.stack([i // 2 % 3, i % 2], 1)
    found = dci(factors + 0.01 * keys.normal(KEY, (4096, 2)), factors)
    assert (found.informativeness == 1).all()
    assert "pair off" in found.verdict()


def test_discriminants_are_scikit_learns():
    z, half = codes("rotated").double() + NOISE, keys.permutation(keys.key(0), N)
    fit, test = half[0::2], half[1::2]
    found = dci(z, FACTORS, ridge=0.0).informativeness
    for k in range(2):
        other = LinearDiscriminantAnalysis(solver="lsqr").fit(z[fit].numpy(), FACTORS[fit, k].numpy())
        assert abs(found[k].item() - other.score(z[test].numpy(), FACTORS[test, k].numpy())) < 2e-3


def test_sap_of_noise_is_chance_however_rare_a_class_is():
    """Balanced accuracy: 1/2, and what the best of bins of some 400 overstate, though guesses are right in 9 of 10."""
    rare = (keys.uniform(keys.fold_in(KEY, 3), (2 * N, 2)) < 0.1).long()
    found = sap(keys.normal(KEY, (2 * N, 3)), rare)
    assert ((found.accuracy > 0.5) & (found.accuracy < 0.6)).all()


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.bool])
def test_factors_of_any_integers_and_half_codes_work(dtype):
    factors = (FACTORS > 1).to(dtype)
    for score in (mig, sap, dci):
        expected = score(codes("own").half().double(), factors.long())
        for a, b in zip(score(codes("own").half(), factors), expected, strict=True):
            torch.testing.assert_close(a, b)
    for a, b in zip(mig(codes("own"), 1000 * FACTORS), mig(codes("own"), FACTORS), strict=True):
        torch.testing.assert_close(a, b)  # names of classes are only names


def test_information_is_scikit_learns():
    z = codes("rotated").double()
    found = mig(z, FACTORS, bins=10)
    for i in range(4):
        cuts = np.quantile(z[:, i].numpy(), np.linspace(0, 1, 11)[1:-1])
        index = np.searchsorted(cuts, z[:, i].numpy(), side="right")
        for k in range(2):
            expected = mutual_info_score(FACTORS[:, k].numpy(), index)
            assert abs(found.information[i, k].item() - expected) < 1e-9
    entropy = mutual_info_score(FACTORS[:, 0].numpy(), FACTORS[:, 0].numpy())
    best = found.information[:, 0].sort().values
    assert abs(found.gap[0].item() - ((best[-1] - best[-2]) / entropy).item()) < 1e-9


def test_dci_of_a_given_importance_is_its_formula():
    r = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 2.0]])
    found = dci(codes("own"), FACTORS, importance=r)
    h = -(1 / 3 * math.log(1 / 3) + 2 / 3 * math.log(2 / 3))
    assert abs(found.disentanglement.item() - (1 * 1 + 2 * 0 + 2 * 1) / 5) < 1e-6
    assert abs(found.completeness.item() - 0.5 * ((1 - math.log(2) / math.log(4)) + (1 - h / math.log(4)))) < 1e-6


def test_scales_shifts_and_order_of_dimensions_change_nothing():
    z = codes("own").double()
    order = [3, 1, 0, 2]
    moved = (z * torch.tensor([10.0, 0.1, 3.0, 1e4]) + 5)[:, order]
    for score in (mig, sap):
        torch.testing.assert_close(score(moved, FACTORS).score, score(z, FACTORS).score)
    torch.testing.assert_close(dci(moved, FACTORS).disentanglement, dci(z, FACTORS).disentanglement)


def test_a_dead_dimension_is_no_trouble():
    z = codes("own")
    z[:, 3] = 7.0
    assert mig(z, FACTORS).score > 0.9
    assert torch.isfinite(dci(z, FACTORS).disentanglement)
    assert dci(z, FACTORS).importance[3].max() == 0


def test_bad_input_raises():
    z = codes("own")
    for wrong, message in (
        ((z, FACTORS.float()), "bin continuous factors first"),
        ((z, FACTORS * 0), r"got one value only in \[0, 1\]"),
        ((z[:, :1], FACTORS), "d >= 2"),
        ((z[:5], FACTORS), r"got \(5, 4\) and \(4000, 2\)"),
        ((z * math.nan, FACTORS), "finite codes"),
        ((z[:0], FACTORS[:0]), "n >= 2 and f >= 1"),
        ((z, FACTORS[:, :0]), "n >= 2 and f >= 1"),
    ):
        for score in (mig, sap, dci):
            with pytest.raises(ValueError, match=message):
                score(*wrong)
    with pytest.raises(ValueError, match="two factors or more"):
        dci(z, FACTORS[:, :1])
    with pytest.raises(ValueError, match=r"expected importance \(4, 2\)"):
        dci(z, FACTORS, importance=torch.ones(2, 4))
