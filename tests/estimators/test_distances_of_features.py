"""Distances of features: the Fréchet and kernel distances against their formulas, their bias and their errors."""

import numpy as np
import pytest
import scipy.linalg
import torch

from jensen.core import keys
from jensen.estimators.diagnostics import _frechet, frechet, kernel_distance

KEY = keys.key(31)
SCALE = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.0, 1.2, 0.3]], dtype=torch.float64)
SHIFT = torch.tensor([0.5, 0.0, -0.5], dtype=torch.float64)


def normals(key, n=200, m=200, scale=SCALE, shift=SHIFT):
    a, b = keys.split(key, 2)
    d = len(shift)
    return keys.normal(a, (n, d)).double(), keys.normal(b, (m, d)).double() @ scale.T + shift


def by_roots(x, y):
    """The formula with scipy's square root of C C'."""
    x, y = x.numpy(), y.numpy()
    c, other = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (x, y))
    root = scipy.linalg.sqrtm(c @ other).real
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c + other - 2 * root)


def of_distributions(scale=SCALE, shift=SHIFT):
    """Of N(0, I) and N(shift, C'): tr C'^(1/2) is the sum of the singular values of its factor."""
    eigenvalues = torch.linalg.eigvalsh(scale @ scale.T)
    return (shift.square().sum() + len(shift) + eigenvalues.sum() - 2 * eigenvalues.sqrt().sum()).item()


def test_the_distance_is_its_formula():
    x, y = normals(KEY)
    found = frechet(x, y)
    assert abs(found.distance.item() - by_roots(x, y)) < 1e-10
    assert abs(frechet(y, x).distance - found.distance) < 1e-12
    assert frechet(x, x).distance.abs() < 1e-12
    assert frechet(x, x + 1).distance.item() == pytest.approx(3, abs=1e-12)
    assert frechet(x, 3 * x).distance.item() == pytest.approx((4 * x.var(0) + (2 * x.mean(0)) ** 2).sum().item())


def test_fewer_rows_than_features_and_features_that_are_equal_are_no_exception():
    """In 40 features, one of them constant: covariances of rank 11 and 14."""
    a, b = keys.split(KEY, 2)
    x, y = keys.normal(a, (12, 40)).double(), keys.normal(b, (15, 40)).double()
    x[:, 7] = y[:, 7] = 2.0
    c, other = torch.cov(x.T), torch.cov(y.T)
    values, vectors = torch.linalg.eigh(c)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ other @ root).clamp_min(0).sqrt().sum()
    expected = (x.mean(0) - y.mean(0)).square().sum() + c.trace() + other.trace() - 2 * cross
    found = frechet(x, y)
    assert abs(found.distance - expected) < 1e-6  # of the roots of what should be 0
    assert found.verdict().endswith("too few for 40 features: use 120 of both, or more")


def test_an_equal_feature_beside_others_leaves_the_distance():
    x, y = normals(KEY)
    one = torch.ones(200, 1).double()
    beside = frechet(torch.cat([x, one], 1), torch.cat([y, one], 1))
    assert abs(beside.distance - frechet(x, y).distance) < 1e-12


@pytest.mark.parametrize(("scale", "shift"), [(SCALE, SHIFT), (torch.eye(3).double(), 0 * SHIFT)])
def test_the_bias_is_seen_and_extrapolation_is_without_it(scale, shift):
    """Of 100 pairs of samples of 60 rows the mean of `extrapolated` is within 4 standard errors (6e-5 by chance)."""
    each = [frechet(*normals(key, 60, 60, scale, shift)) for key in keys.split(KEY, 100)]
    distance, extrapolated, error = (torch.stack([row[i] for row in each]) for i in range(3))
    expected, noise = of_distributions(scale, shift), (extrapolated.std() / 10).item()
    assert abs(extrapolated.mean().item() - expected) < 4 * noise
    assert distance.mean().item() - expected > 4 * noise
    assert 0.6 < error.mean() / distance.std() < 1.6


def test_covariances_without_their_roots_are_found_out(monkeypatch):
    """Planted: the Frobenius norm in place of the sum of singular values, which is tr (C C') and no root of it."""
    monkeypatch.setattr(_frechet.torch.linalg, "svdvals", torch.linalg.matrix_norm)
    x, y = normals(KEY)
    assert abs(frechet(x, y).distance.item() - by_roots(x, y)) > 0.1


def test_float32_and_far_means_lose_no_digits():
    x, y = (torch.round(1024 * each) / 1024 for each in normals(KEY))
    near = frechet(x, y)
    torch.testing.assert_close(frechet(x + 2.0**12, y + 2.0**12).distance, near.distance, rtol=1e-9, atol=0)
    assert torch.equal(frechet(x.float(), y.float()).distance, near.distance)


def test_the_kernel_distance_is_its_sums():
    x, y = normals(KEY, 11, 13)
    rows, others = list(x), list(y)
    of_x, of_y, across = (
        [(float(a @ b) / 3 + 1) ** 3 for a in s for b in t if a is not b]
        for s, t in ((rows, rows), (others, others), (rows, others))
    )
    found = kernel_distance(x, y)
    assert abs(found.distance.item() - (np.mean(of_x) + np.mean(of_y) - 2 * np.mean(across))) < 1e-10
    assert (found.n, found.m) == (11, 13)


def test_the_kernel_distance_has_no_bias_and_its_error():
    """Against sum_j w_j |E x^(j) - E y^(j)|^2, over the first three moments of the two normals."""
    each = [kernel_distance(*normals(key, 30, 40)) for key in keys.split(KEY, 200)]
    distance, error = (torch.stack([row[i] for row in each]) for i in range(2))
    moments = [_moments(torch.eye(3).double(), 0 * SHIFT), _moments(SCALE @ SCALE.T, SHIFT)]
    weights = (1, 1 / 3, 1 / 27)  # of (x . y / 3 + 1)^3 = 1 + x . y + (x . y)^2 / 3 + (x . y)^3 / 27
    expected = sum(w * (a - b).square().sum() for w, a, b in zip(weights, *moments, strict=True))
    assert abs(distance.mean() - expected) < 4 * distance.std() / 200**0.5
    assert 0.6 < error.mean() / distance.std() < 1.6
    same = kernel_distance(*normals(KEY, scale=torch.eye(3).double(), shift=0 * SHIFT))
    assert "no difference of the features is seen in 200 draws and 200 data" in same.verdict()
    assert kernel_distance(*normals(KEY)).verdict().endswith("the features of draws and of data differ")


def _moments(c, m):
    """E x, E x x^T and E x x x of N(m, C)."""
    third = sum(torch.einsum(spec, c, m) for spec in ("ij,k->ijk", "ik,j->ijk", "jk,i->ijk"))
    return m, c + m[:, None] * m, third + torch.einsum("i,j,k->ijk", m, m, m)
