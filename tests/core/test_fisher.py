"""Fisher information by hand, by the log partition and by samples; the bound that it sets, and who reaches it."""

import math

import pytest
import torch
from torch.func import hessian, jacrev, vmap

from jensen import laws
from jensen.core import exponential, keys, trees
from jensen.core.distributions import (
    Bernoulli,
    Cauchy,
    DiagNormal,
    FullNormal,
    Gamma,
    Laplace,
    NegativeBinomial,
    Poisson,
    StudentT,
)
from jensen.core.exponential import cramer_rao, fisher_information, observed_information, score_information

KEY = keys.key(39)


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


CLOSED = {
    "Bernoulli": (Bernoulli(column(0.3, -1.0)), lambda q: [[torch.sigmoid(q.logits) * torch.sigmoid(-q.logits)]]),
    "Poisson": (Poisson(column(0.5, 3.0)), lambda q: [[1 / q.rate]]),
    "DiagNormal": (
        DiagNormal(column(1.0, 2.0), column(0.5, -0.5)),
        lambda q: [[torch.exp(-2 * q.log_scale), 0 * q.loc], [0 * q.loc, 0 * q.loc + 2]],
    ),
    "Gamma": (
        Gamma(column(0.7, 5.0), column(2.0, 0.3)),
        lambda q: [[torch.polygamma(1, q.concentration), -1 / q.rate], [-1 / q.rate, q.concentration / q.rate**2]],
    ),
    "Cauchy": (
        Cauchy(column(1.0, 2.0), column(0.5, -0.5)),
        lambda q: [[0.5 * torch.exp(-2 * q.log_scale), 0 * q.loc], [0 * q.loc, 0 * q.loc + 0.5]],
    ),
}


@pytest.mark.parametrize("name", CLOSED)
def test_information_by_hand(name):
    """In the fields' coordinates, of two data; the mean of the scores' products is it, in standard errors."""
    q, exact = CLOSED[name]
    matrix = torch.cat([torch.cat(row, -1)[:, None] for row in exact(q)], 1)
    torch.testing.assert_close(fisher_information(q), matrix, rtol=1e-7, atol=1e-9)
    mean, error = score_information(q, KEY, 4000)
    assert ((mean - matrix).abs() <= 4 * error + 1e-9).all(), (mean, matrix)


def test_information_of_fields_is_that_of_natural_parameters():
    """J^T F J, with F the Hessian of the log partition and J the slope of eta in the fields."""
    q = FullNormal(
        *(keys.normal(keys.key(i), shape, torch.float64) for i, shape in enumerate([(1, 2), (1, 2), (1, 2, 2)]))
    )
    family = exponential.family(q)
    vector, unravel = trees.ravel(q)
    slope = jacrev(lambda v: trees.ravel(family.natural(unravel(v)))[0])(vector)
    in_fields = slope.mT @ exponential.covariance(family, family.natural(q))[0] @ slope
    torch.testing.assert_close(fisher_information(q)[0], in_fields, rtol=1e-8, atol=1e-9)


def test_observed_information_averages_to_the_expected_one():
    """Of a gamma it has no observation in it; of Student's t, one by one, in standard errors of the mean."""
    q = Gamma(column(2.0), column(1.5))
    x = q.sample(q.noise(KEY, 2000))
    total = observed_information(lambda q: q.log_prob(x).sum(), q)
    torch.testing.assert_close(total / 2000, fisher_information(q)[0], rtol=1e-9, atol=1e-9)
    q = StudentT(column(5.0), column(0.0), column(0.0))
    x = q.sample(q.noise(KEY, 4000))
    each = vmap(lambda one: observed_information(lambda q: q.log_prob(one[None]).sum(), q))(x[:, None])
    mean, error = score_information(q, KEY, 4000)
    gap = (each.mean(0) - mean[0]).abs()
    assert (gap <= 4 * (error[0] + each.std(0) / 4000**0.5) + 1e-9).all(), gap
    of_loc = each[:, 1, 1]
    assert of_loc.mean().item() == pytest.approx(6 / 8, abs=4 * of_loc.std().item() / 4000**0.5)  # (df + 1) / (df + 3)


def test_the_bound_of_a_normals_mean_variance_and_deviation():
    """sigma^2 / n, 2 sigma^4 / n, sigma^2 / (2 n), from the information of (loc, log_scale)."""
    n, log_scale = 10, 0.4
    q = DiagNormal(column(1.0), column(log_scale))
    information = n * fisher_information(q)[0]

    def functions(v):
        return torch.stack([v[0], torch.exp(2 * v[1]), torch.exp(v[1])])

    jacobian = jacrev(functions)(trees.ravel(q)[0])
    bound = cramer_rao(information, jacobian).diagonal()
    variance = math.exp(2 * log_scale)
    exact = [variance / n, 2 * variance**2 / n, variance / (2 * n)]
    torch.testing.assert_close(bound, torch.tensor(exact, dtype=torch.float64))
    torch.testing.assert_close(cramer_rao(information), torch.linalg.inv(information))


def test_the_mean_of_exponential_families_reaches_the_bound():
    """The variance of the mean statistic is F / s: that of mu, whose slope in eta is F, is bounded by F F^-1 F / s."""
    q = Gamma(column(2.0, 0.5), column(1.5, 3.0))
    family = exponential.family(q)
    fisher = exponential.covariance(family, family.natural(q))
    torch.testing.assert_close(cramer_rao(7 * fisher, fisher), fisher / 7)


def test_the_bound_holds_where_it_is_not_reached():
    """The median of 25 Laplace draws against the bound of loc, 1 / 25, and 1 + 0 for a biased estimate's slope."""
    q = Laplace(column(*[0.0] * 4000), column(*[0.0] * 4000))
    information, error = score_information(Laplace(q.loc[:1], q.log_scale[:1]), KEY, 4000)
    assert abs(information[0, 0, 0] - 1) <= 4 * error[0, 0, 0] + 1e-12
    medians = q.sample(q.noise(KEY, 25)).median(0).values[:, 0]
    assert medians.var() >= cramer_rao(25 * information)[0, 0, 0]
    shrunk = cramer_rao(25 * information[0], 0.5 * torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(shrunk, 0.25 * cramer_rao(25 * information[0]))


def test_what_cannot_be_is_refused():
    with pytest.raises(TypeError, match=r"got NegativeBinomial: average over samples with score_information"):
        fisher_information(NegativeBinomial(column(1.0), column(0.0)))
    with pytest.raises(ValueError, match="expected information, a positive definite matrix, got a singular one: some"):
        cramer_rao(torch.ones(2, 2))
    with pytest.raises(ValueError, match=r"expected log_likelihood 0-d, got \(1,\): sum it over observations"):
        observed_information(lambda q: q.log_prob(column(0.0)[None])[0], Gamma(column(1.0), column(1.0)))


def test_a_hessian_without_the_square_is_not_the_information():
    """Planted: half the KL's Hessian fails the comparison with the scores' products."""
    q, _ = CLOSED["Gamma"]
    vector, unravel = trees.ravel(Gamma(q.concentration[:1], q.rate[:1]))
    wrong = 0.5 * hessian(lambda v: unravel(vector).kl(unravel(v)).sum())(vector)
    mean, error = score_information(q, KEY, 4000)
    with pytest.raises(AssertionError):
        assert ((mean[0] - wrong).abs() <= 4 * error[0]).all()
    laws.mean_is(mean, mean)
