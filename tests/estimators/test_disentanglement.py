"""Scores of codes that are factors, mixtures of them, or noise; scikit-learn as an oracle."""

import math

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
    assert (s.gap - torch.tensor([3 / 4, 2 / 3])).abs().max() < 0.04  # of the best accuracy of noise
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
    assert c.disentanglement > 0.8  # each dimension still encodes one factor
    assert c.completeness < dci(codes("own"), FACTORS).completeness - 0.2  # (1 + 1/2) / 2 for 1


def test_rotated_codes_are_informative_but_entangled():
    z = codes("rotated")
    m, c = mig(z, FACTORS), dci(z, FACTORS)
    assert m.score < 0.2
    assert c.disentanglement < 0.3
    assert c.informativeness.mean() > dci(codes("noise"), FACTORS).informativeness.mean() + 0.3
    assert "dimensions mix factors" in c.verdict()
    assert "are shared between dimensions" in m.verdict()


def test_noise_scores_0():
    z = codes("noise")
    assert mig(z, FACTORS).score < 0.02
    assert sap(z, FACTORS).score < 0.05
    assert (dci(z, FACTORS).informativeness - torch.tensor([1 / 4, 1 / 3])).abs().max() < 0.06


def random_factors(seed, *classes, n=N):
    return torch.stack(
        [(keys.uniform(k, (n,)) * c).long() for k, c in zip(keys.split(seed, 2), classes, strict=True)], 1
    )


def test_noise_is_not_called_disentangled():
    """Of 40 sets of noise one or more has an importance left with probability 1 - 0.99^40 = 33 %, four with 0.07 %."""
    found = [dci(keys.normal(k, (N, 4)), random_factors(k, 4, 3)) for k in keys.split(KEY, 40)]
    assert sum(bool(f.importance.any()) for f in found) < 4
    assert sum(bool((f.informativeness > f.chance).any()) for f in found) < 4  # likewise at 1 %
    assert not any("pair off" in f.verdict() for f in found)


def test_the_accuracy_of_chance_is_the_largest_share_and_its_errors():
    share = (FACTORS.mode(0).values == FACTORS).double().mean(0)
    expected = share - stats.norm.ppf(0.0025) * torch.sqrt(share * (1 - share) / (N // 2))
    torch.testing.assert_close(dci(codes("noise"), FACTORS).chance, expected)


def test_one_factor_that_is_encoded_does_not_hide_one_that_is_not():
    z = codes("noise")
    z[:, 2] += FACTORS[:, 0]
    text = dci(z, FACTORS).verdict()
    assert "the codes predict factors 1 of 2 no better than chance (accuracy 0." in text
    assert "pair off" not in text


def test_the_importance_of_a_binary_code_is_that_of_its_table():
    """Information less its bias of 1 / (2 n), over the entropy, to second order in one over the counts."""
    code = FACTORS[:, 0] > 1
    other = torch.stack([code ^ (keys.uniform(KEY, (N,)) < 0.3), FACTORS[:, 1] > 0], 1)
    found = dci(other.float(), torch.stack([code, FACTORS[:, 1]], 1)).importance[0, 0]
    information = mutual_info_score(code.numpy(), other[:, 0].numpy())
    expected = (information - 1 / (2 * N)) / mutual_info_score(code.numpy(), code.numpy())
    assert abs(found.item() - expected) < 1e-4


def test_weak_dependence_of_codes_with_few_values_is_certain():
    """2 n I of a binary code is judged by chi^2 of one degree of freedom, not of the n of a continuous code."""
    code = FACTORS[:, 0] > 1
    other = torch.stack([code ^ (keys.uniform(KEY, (N,)) < 0.45), FACTORS[:, 1] > 0], 1)
    assert 0 < dci(other.float(), torch.stack([code, FACTORS[:, 1]], 1)).importance[0, 0] < 0.02


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
    found = dci(z, FACTORS, ridge=1e-12).informativeness
    for k in range(2):
        other = LinearDiscriminantAnalysis(solver="lsqr").fit(z[fit].numpy(), FACTORS[fit, k].numpy())
        assert abs(found[k].item() - other.score(z[test].numpy(), FACTORS[test, k].numpy())) < 2e-3


def test_sap_of_noise_is_chance_however_rare_a_class_is():
    """Balanced accuracy is 1/2, within 4 standard deviations of a guess, though guesses are right in 9 of 10 data."""
    rare = (keys.uniform(keys.fold_in(KEY, 3), (2 * N, 2)) < 0.1).long()
    found = sap(keys.normal(KEY, (2 * N, 3)), rare)
    assert (found.accuracy >= 0.5).all()
    assert (found.accuracy < 0.5 + 4 * math.sqrt(1 / 800 + 1 / 7200) / 2).all()


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.bool])
def test_factors_of_any_integers_and_half_codes_work(dtype):
    factors = (FACTORS > 1).to(dtype)
    for score in (mig, sap, dci):
        expected = score(codes("own").half().double(), factors.long())
        for a, b in zip(score(codes("own").half(), factors), expected, strict=True):
            torch.testing.assert_close(a, b)
    for a, b in zip(mig(codes("own"), 1000 * FACTORS), mig(codes("own"), FACTORS), strict=True):
        torch.testing.assert_close(a, b)  # names of classes are only names


SHARES = {
    "1 %": (0.99, 0.01),
    "3 %": (0.97, 0.03),
    "50 %": (0.5, 0.5),
    "1 % to 50 %": (0.5, 0.25, 0.12, 0.06, 0.03, 0.02, 0.01, 0.01),
    "32 values": (1 / 32,) * 32,
    "100 values": (0.01,) * 100,
}
MAPS = {
    "turned": torch.neg,
    "exponential": lambda z: torch.exp(z / 4),
    "turned cube": lambda z: -(z**3),
    "reciprocal": lambda z: -1 / (z + 20),
}


def with_shares(shares, n=N):
    """Two factors in random order, each with exactly these shares of classes whose names are in random order too."""
    classes = torch.bucketize((torch.arange(n) + 0.5).double() / n, torch.tensor(shares).double().cumsum(0)[:-1])
    columns = []
    for key in keys.split(keys.fold_in(KEY, 4)):
        names, data = keys.split(key)
        columns.append(keys.permutation(names, len(shares))[classes[keys.permutation(data, n)]])
    return torch.stack(columns, 1)


def entropy(shares):
    return -sum(p * math.log(p) for p in shares)


def deviations(shares):
    """The standard deviations, at most, of MIG and SAP where a code is independent of a factor of N data."""
    information = 0.6 * math.sqrt((1 - sum(p**2 for p in shares)) / N) / entropy(shares)
    return information, math.sqrt(sum(1 / (p * N) for p in shares)) / len(shares)


@pytest.mark.parametrize("shares", SHARES.values(), ids=SHARES)
@pytest.mark.parametrize("f", [MAPS["turned"], MAPS["exponential"]], ids=["turned", "exponential"])
def test_factors_as_codes_score_1(shares, f):
    """One code per factor and one of noise; from 1 by that noise alone, 4 of its standard deviations."""
    factors = with_shares(shares)
    z = torch.cat([f(factors.double()), NOISE[:, :1]], 1)
    information, accuracy = deviations(shares)
    m, s, c = mig(z, factors), sap(z, factors), dci(z, factors)
    assert ((m.gap <= 1) & (m.gap > 1 - 4 * information)).all()
    assert ((s.gap <= s.most) & (s.gap > s.most - 4 * accuracy)).all()
    assert s.accuracy[0, 0] == s.accuracy[1, 1] == 1
    assert (s.most - (1 - 1 / len(shares))).abs().max() < 1e-12
    assert min(c.disentanglement, c.completeness) > 1 - 1e-12
    assert (c.informativeness == 1).all()


@pytest.mark.parametrize("shares", SHARES.values(), ids=SHARES)
def test_factors_with_a_little_noise_score_1_less_what_boundaries_cost(shares):
    """3 / n nats at each boundary, and for accuracies up to four data of a class."""
    factors = with_shares(shares)
    z = torch.cat([factors + 0.01 * NOISE[:, :2], NOISE[:, 2:]], 1)
    cost = 3 * (len(shares) - 1) / N / entropy(shares)
    m, s, c = mig(z, factors), sap(z, factors), dci(z, factors)
    assert (m.gap > 1 - cost - 4 * deviations(shares)[0]).all()
    assert (s.accuracy[[0, 1], [0, 1]] > 1 - sum(4 / (p * N) for p in shares) / len(shares)).all()
    assert min(c.disentanglement, c.completeness) > 1 - 1e-12


@pytest.mark.parametrize("shares", SHARES.values(), ids=SHARES)
def test_codes_independent_of_factors_score_0(shares):
    factors, z = with_shares(shares), NOISE[:, :3]
    information, accuracy = deviations(shares)
    assert (mig(z, factors).gap < 4 * information).all()
    assert (sap(z, factors).gap < 4 * accuracy).all()
    assert dci(z, factors).disentanglement == dci(z, factors).completeness == 0


@pytest.mark.parametrize("f", MAPS.values(), ids=MAPS)
@pytest.mark.parametrize("digits", [0, 2, 7])
def test_strictly_monotone_functions_of_codes_change_nothing_at_all(f, digits):
    """Every other dimension by the map; codes of a few values, of some that tie, and without ties."""
    z, factors = (codes("rotated").double() + NOISE)[:1000].round(decimals=digits), FACTORS[:1000]
    moved = torch.where(torch.arange(4) % 2 == 0, f(z), z)
    assert all(len(a.unique()) == len(b.unique()) for a, b in zip(z.T, moved.T, strict=True))
    for score in (mig, sap, lambda *each: dci(*each)._replace(informativeness=FACTORS)):
        for a, b in zip(score(moved, factors), score(z, factors), strict=True):
            assert torch.equal(a, b)


@pytest.mark.slow
def test_more_rows_than_torch_takes_quantiles_of():
    """2^24 + 1 of them: a code that is the factor, and noise."""
    n = 2**24 + 1
    factor = (torch.arange(n) % 97 == 0)[:, None]
    z = torch.cat([-factor.float(), keys.uniform(KEY, (n, 1))], 1)
    assert abs(mig(z, factor).score - 1) < 1e-3
    assert abs(sap(z, factor).score - 0.5) < 4e-3


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


def test_a_constant_dimension_scores_0():
    z = codes("own")
    z[:, 3] = 7.0
    assert mig(z, FACTORS).score > 0.9
    assert torch.isfinite(dci(z, FACTORS).disentanglement)
    assert dci(z, FACTORS).importance[3].max() == 0


def test_bad_input_raises():
    z = codes("own")
    for wrong, message in (
        ((z, FACTORS.float()), "codes come first; bin continuous factors"),
        ((z, FACTORS * 0), "got one value only in columns 0, 1"),
        ((z, FACTORS - 1), "got -1: number the classes from 0"),
        ((z[:, :1], FACTORS), "d >= 2"),
        ((z[:5], FACTORS), r"got \(5, 4\) and \(4000, 2\)"),
        ((z * math.nan, FACTORS), "finite codes"),
        ((z[:0], FACTORS[:0]), "n >= 2"),
        ((z, FACTORS[:, :0]), "f >= 1"),
    ):
        for score in (mig, sap, dci):
            with pytest.raises((TypeError, ValueError), match=message):
                score(*wrong)
    with pytest.raises(ValueError, match="two factors or more"):
        dci(z, FACTORS[:, :1])
    with pytest.raises(ValueError, match=r"expected importance \(4, 2\)"):
        dci(z, FACTORS, importance=torch.ones(2, 4))
