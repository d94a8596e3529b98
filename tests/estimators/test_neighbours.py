"""Entropy and accuracy from neighbours in order: by enumeration, and for Gaussian codes by quadrature."""

import itertools
import math

import pytest
import torch
from scipy import integrate, special, stats
from sklearn.metrics import mutual_info_score

from jensen.core import keys
from jensen.estimators.diagnostics import _neighbours as neighbours

KEY = keys.key(28)
CODES = {
    "distinct": [0.3, -1.0, 2.0, 0.5, 7.0, 1.5, -3.0],
    "tied": [0.0, 1.0, 0.0, 2.0, 1.0, 1.0, 0.0],
    "two values": [0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0],
    "some tied": [0.0, 0.0, 1.0, 2.0, 2.0, 3.0, 4.0],
    "one value": [5.0] * 7,
}


def conditional(code, v, k):
    up, down = neighbours.ordered(code), neighbours.ordered(-code)
    return (neighbours.conditional_entropy(up, v, k) + neighbours.conditional_entropy(down, v, k)) / 2


def information(code, v, k=5):
    return (neighbours.entropy(torch.bincount(v)) - conditional(code, v, k)).item()


def labellings(*size):
    """Every assignment of classes of these sizes to data."""
    names = [c for c, count in enumerate(size) for _ in range(count)]
    return sorted(set(itertools.permutations(names)))


def by_definition(code, v, k):
    """mean psi(T) - psi(k): for each datum its neighbours in turn, over every order of those that tie with it."""
    n, order = len(v), sorted(range(len(v)), key=lambda i: code[i])
    z, v = [code[i] for i in order], [v[i] for i in order]
    total = 0.0
    for i in range(n):
        start, end = z.index(z[i]), n - z[::-1].index(z[i])
        tied = [j for j in range(start, end) if j != i]
        left, right = list(range(start - 1, -1, -1)), list(range(end, n))
        beyond = [j for pair in itertools.zip_longest(left, right) for j in pair if j is not None]
        need = min(k, v.count(v[i]) - 1)
        if need == 0:
            total += special.digamma(n) - special.digamma(1)
            continue
        orders = list(itertools.permutations(tied)) if sum(v[j] == v[i] for j in tied) >= need else [tied]
        places = [[t for t, j in enumerate([*each, *beyond], 1) if v[j] == v[i]][need - 1] for each in orders]
        total += sum(special.digamma(t) for t in places) / len(places) - special.digamma(need)
    return total / n


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_entropy_is_its_definition(code, k):
    z = neighbours.ordered(torch.tensor(code, dtype=torch.float64))
    for v in labellings(4, 2, 1)[::7]:
        found = neighbours.conditional_entropy(z, torch.tensor(v), k).item()
        assert abs(found - by_definition(code, list(v), k)) < 1e-12


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
@pytest.mark.parametrize(("size", "k"), [((4, 3), 1), ((4, 3), 2), ((5, 2), 3), ((3, 2, 2), 2), ((4, 2, 1), 2)])
def test_a_code_independent_of_the_classes_has_no_information_on_average(code, size, k):
    """Exactly: the mean over every assignment of the classes to the data."""
    z = neighbours.ordered(torch.tensor(code, dtype=torch.float64))
    found = [neighbours.conditional_entropy(z, torch.tensor(v), k) for v in labellings(*size)]
    assert abs(torch.stack(found).mean() - neighbours.entropy(torch.tensor(size))) < 1e-12


def test_the_information_of_a_table_is_scikit_learns_less_its_bias():
    """(values - 1) (classes - 1) / (2 n), to second order in one over the counts."""
    n = 20_000
    u = keys.uniform(KEY, (2, 1, n))[:, 0]
    v = (4 * u[0]).long()
    code = torch.where(u[1] < 0.3, v, (5 * keys.uniform(keys.fold_in(KEY, 1), (n,))).long())
    expected = mutual_info_score(code.numpy(), v.numpy()) - 4 * 3 / (2 * n)
    assert abs(information(code.double(), v) - expected) < 1e-6


def exact_information(means, shares):
    """I(z; v) in nats of z ~ N(means[v], 1), by quadrature."""

    def integrand(z):
        density = stats.norm.pdf(z, means)
        marginal = (shares * density).sum()
        return (shares * special.xlogy(density, density / marginal)).sum()

    return integrate.quad(integrand, min(means) - 9, max(means) + 9, limit=200)[0]


GAUSSIAN = [
    ((0.0, 1.0), (0.5, 0.5)),
    ((0.0, 3.0), (0.5, 0.5)),
    ((0.0, 2.0), (0.97, 0.03)),
    ((0.0, 4.0), (0.99, 0.01)),
    ((3.0, 0.0, 6.0), (0.3, 0.6, 0.1)),
    (tuple(float(i) for i in range(10)), (0.1,) * 10),
]


@pytest.mark.parametrize(("means", "shares"), GAUSSIAN)
def test_the_information_of_a_gaussian_code_is_its_integral(means, shares):
    """The mean of 20 sets of 4,000 data, within 4 standard errors (6e-5 by chance) and 1 % for what k smooths."""
    found = []
    for key in keys.split(KEY, 20):
        classes, noise = keys.split(key)
        v = torch.bucketize(keys.uniform(classes, (4000,), torch.float64), torch.tensor(shares).double().cumsum(0)[:-1])
        found.append(information(torch.tensor(means).double()[v] + keys.normal(noise, (4000,), torch.float64), v))
    found = torch.tensor(found, dtype=torch.float64)
    exact = exact_information(means, shares)
    assert abs(found.mean() - exact) < 4 * found.std() / 20**0.5 + 0.01 * exact


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.99, 0.01), (0.05,) * 20])
def test_the_spread_of_an_independent_codes_information_is_within_its_bound(shares):
    n = 2000
    v = torch.bucketize((torch.arange(n) + 0.5) / n, torch.tensor(shares).cumsum(0)[:-1])
    code = torch.arange(n).double()
    found = torch.tensor([information(code, v[keys.permutation(key, n)]) for key in keys.split(KEY, 60)])
    bound = 0.6 * math.sqrt((1 - sum(p**2 for p in shares)) / n)
    assert 0.5 * bound < found.std() < 1.2 * bound  # the spread of 60 is within 20 % of its own
    assert abs(found.mean()) < 4 * bound / 60**0.5


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.25,) * 4])
def test_the_accuracy_of_a_gaussian_code_is_that_of_the_best_thresholds(shares):
    """Means 2 apart: Phi(1) at either end and 2 Phi(1) - 1 between, to 4 of the least certain class's errors."""
    n = 20_000
    v = torch.bucketize((torch.arange(n) + 0.5) / n, torch.tensor(shares).cumsum(0)[:-1])
    z = neighbours.ordered(2 * v + keys.normal(KEY, (n,), torch.float64))
    inner = len(shares) - 2
    expected = (2 * stats.norm.cdf(1) + inner * (2 * stats.norm.cdf(1) - 1)) / len(shares)
    error = 0.5 * math.sqrt(sum(1 / (p * n) for p in shares)) / len(shares)
    assert abs(neighbours.balanced_accuracy(z, v) - expected) < 4 * error


def test_the_accuracy_is_its_definition():
    """Six places, neighbours 1 | 0 2 | 1 3 | 2 4 | 3 5 | 4, classes weighted by 1 / 4 and 1 / 2."""
    v = torch.tensor([0, 0, 0, 1, 1, 0])
    z = neighbours.ordered(torch.arange(6.0).double())
    right = [1.0, 1.0, 0.0, 1.0, 1.0, 0.0]
    expected = ((right[0] + right[1] + right[2] + right[5]) / 4 + (right[3] + right[4]) / 2) / 2
    assert abs(neighbours.balanced_accuracy(z, v).item() - expected) < 1e-12
    tied = neighbours.ordered(torch.zeros(4).double())
    assert neighbours.balanced_accuracy(tied, torch.tensor([0, 0, 1, 1])) == 0  # of three others two are of the other
