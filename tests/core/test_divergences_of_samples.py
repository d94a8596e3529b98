"""The maximum mean discrepancy: its double sum, its mean, its bandwidth and its extremes."""

import math

import pytest
import torch
from torch.func import grad, vmap

from jensen import laws
from jensen.core import divergences, keys

KEY = keys.key(7)


def double_sum(x, y, h, kernel="rbf"):
    """One datum, (s, d) and (t, d), by direct differences in float64."""
    x, y = x.double(), y.double()

    def k(a, b):
        r = (a - b).square().sum() / h
        return torch.exp(-r) if kernel == "rbf" else (1 + r) ** -0.5

    def within(x):
        s = len(x)
        return sum(k(x[i], x[j]) for i in range(s) for j in range(s) if i != j) / (s * (s - 1))

    return within(x) + within(y) - 2 * sum(k(a, b) for a in x for b in y) / (len(x) * len(y))


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
def test_mmd_is_its_double_sum(kernel):
    x, y = 3 * keys.normal(KEY, (4, 2, 3), torch.float64) + 50, 2 * keys.normal(KEY, (3, 2, 3), torch.float64) + 51
    h = torch.tensor([2.0, 5.0], dtype=torch.float64)
    found = divergences.squared_mmd(x, y, h, kernel)
    for n in range(2):
        torch.testing.assert_close(found[n], double_sum(x[:, n], y[:, n], h[n], kernel), rtol=1e-9, atol=1e-11)


def test_mmd_is_unbiased():
    """Three samples of two normals, whose kernel means have a closed form: a V-statistic would be far off."""
    reps, h = 20_000, 1.5
    x = keys.normal(keys.fold_in(KEY, 1), (3, reps, 1), torch.float64)
    y = 0.4 + 0.7 * keys.normal(keys.fold_in(KEY, 2), (3, reps, 1), torch.float64)

    def mean_kernel(gap, variance):
        return math.exp(-(gap**2) / (h + 2 * variance)) / math.sqrt(1 + 2 * variance / h)

    exact = mean_kernel(0, 2) + mean_kernel(0, 0.98) - 2 * mean_kernel(0.4, 1.49)
    laws.mean_is(divergences.squared_mmd(x, y, h)[:, None], torch.tensor([exact], dtype=torch.float64))


def test_mmd_chooses_the_median_and_has_a_gradient():
    x, y = keys.normal(KEY, (6, 2, 3)), keys.normal(keys.fold_in(KEY, 1), (5, 2, 3)) + 1
    both = torch.cat([x, y])
    h = torch.stack([torch.pdist(both[:, n]).square().median() / math.log(11) for n in range(2)])
    torch.testing.assert_close(divergences.squared_mmd(x, y), divergences.squared_mmd(x, y, h))
    slope = grad(lambda x: divergences.squared_mmd(x, y).sum())(x)
    torch.testing.assert_close(slope, grad(lambda x: divergences.squared_mmd(x, y, h).sum())(x))
    assert torch.isfinite(grad(lambda x: divergences.squared_mmd(x, x.detach()).sum())(x)).all()
    assert divergences.squared_mmd(x.half(), y.half()).dtype == torch.float32


def test_mmd_of_samples_far_from_the_origin_and_of_each_other():
    x, y = (0.1 * keys.normal(k, (6, 1, 2)) for k in keys.split(KEY))
    far = torch.where(torch.arange(6)[:, None, None] % 2 == 0, 2e3, -2e3)
    for a, b in ((x + far, y + far), (x.double() + 1e7, y.double() + 1e7)):  # two clusters; one, in float64
        found = divergences.squared_mmd(a, b, 0.05)
        assert found.dtype == a.dtype
        torch.testing.assert_close(found.double()[0], double_sum(a[:, 0], b[:, 0], 0.05), rtol=1e-5, atol=1e-7)


def test_mmd_of_no_data_is_empty():
    empty = torch.zeros(3, 0, 2)
    assert divergences.squared_mmd(empty, empty).shape == divergences.squared_mmd(empty, empty, 1.0).shape == (0,)


def test_mmd_takes_a_batch_of_bandwidths():
    x, y, h = keys.normal(KEY, (4, 3, 2)), keys.normal(keys.fold_in(KEY, 1), (5, 3, 2)), torch.tensor([0.5, 2.0])
    each = torch.stack([divergences.squared_mmd(x, y, one) for one in (0.5, 2.0)])
    torch.testing.assert_close(vmap(lambda h: divergences.squared_mmd(x, y, h))(h), each)
    torch.testing.assert_close(divergences.squared_mmd(x, y, torch.tensor([0.5, 2.0, 0.5])), each[[0, 1, 0], range(3)])
    compiled = torch.compile(divergences.squared_mmd, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, y, h[1]), each[1])


TWO = torch.ones(2, 3, 1)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((torch.ones(3, 2), torch.ones(3, 2)), r"expected x \(s, n, d\)"),
        ((torch.ones(1, 3, 2), torch.ones(1, 3, 2)), "at least two samples"),
        ((TWO, TWO, 1.0, "x"), "kernel"),
        ((TWO, TWO, torch.ones(1, 2)), r"one bandwidth or \(3,\), got \(1, 2\)"),
        ((TWO, TWO, torch.ones(3, 1)), r"one bandwidth or \(3,\), got \(3, 1\)"),
        ((TWO, TWO, torch.ones(1)), r"one bandwidth or \(3,\), got \(1,\)"),
        ((TWO, TWO, -1.0), r"bandwidth in \(0, inf\), got -1"),
        ((TWO, TWO, 0.0), r"bandwidth in \(0, inf\), got 0"),
        ((TWO, TWO, math.nan), r"bandwidth in \(0, inf\), got nan"),
        ((TWO, TWO, torch.tensor([1.0, 0.0, 1.0])), r"bandwidth in \(0, inf\), got 0"),
    ],
)
def test_what_does_not_fit_raises(args, message):
    with pytest.raises(ValueError, match=message):
        divergences.squared_mmd(*args)
