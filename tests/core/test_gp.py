"""Sparse Gaussian processes beside exact regression by numpy, and the VAE by them beside its exact evidence."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch.func import grad, vmap

from jensen.core import keys, trees
from jensen.core.distributions import DiagNormal
from jensen.core.models.latent import gp
from jensen.core.models.latent.series import Series, SeriesModel, observed_log_prob
from jensen.core.models.latent.sparse_gp import SparseGP, kernel

KEY, F64 = keys.key(9), torch.float64
N, M = 3, 6
GRID = torch.linspace(0, 4, M, dtype=F64)
TIMES = GRID.expand(N, M)
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 1, 0, 1, 0, 1], [1, 1, 0, 0, 0, 0]]).bool()
Y = DiagNormal(keys.normal(KEY, (N, M, 2), F64), 0.3 * keys.normal(keys.key(1), (N, M, 2), F64) - 1)
LENGTH = torch.tensor([0.7, 1.5], dtype=F64).log()
JITTER = torch.tensor(1e-10, dtype=F64)
X = Series(TIMES, keys.normal(KEY, (N, M, 1), F64), MASK)
MODEL = gp.build(1, 1, 4.0, inducing=M, length=0.9, encoder=(), decoder=(), jitter=1e-10)


def covariance(s, t, length):
    return np.exp(-0.5 * ((np.asarray(s)[:, None] - np.asarray(t)) / length) ** 2)


def regressed(series, process, at):
    """Means and variances of an exact Gaussian process at times, and log p(y), by the textbook."""
    seen, length = MASK[series].numpy(), LENGTH[process].exp().item()
    t, y = GRID.numpy()[seen], Y.loc[series, :, process].numpy()[seen]
    noise = np.diag(np.exp(2 * Y.log_scale[series, :, process].numpy()[seen]))
    of_y, across = covariance(t, t, length) + noise, covariance(at, t, length)
    variance = 1 - np.einsum("ij,jk,ik->i", across, np.linalg.inv(of_y), across)
    return across @ np.linalg.solve(of_y, y), variance, multivariate_normal(cov=of_y).logpdf(y), (t, y, noise)


def test_with_all_points_inducing_it_is_exact_regression_at_any_time():
    q = SparseGP.of(Y, TIMES, MASK, GRID, LENGTH, JITTER)
    at = torch.tensor([0.3, 1.0, 2.2, 3.9, 6.0], dtype=F64)
    found = q.at(at.expand(N, 5))
    for series in range(N):
        for process in range(2):
            mean, variance, *_ = regressed(series, process, at.numpy())
            np.testing.assert_allclose(found.loc[series, :, process], mean, rtol=0, atol=1e-6)
            np.testing.assert_allclose(found.log_scale[series, :, process].exp() ** 2, variance, rtol=0, atol=1e-6)


def test_the_divergence_is_what_the_pseudo_observations_say_less_their_evidence():
    """KL(q || p) = E_q log N(y; f, s^2) - log p(y) of an exact q (Pearce, 2020)."""
    q = SparseGP.of(Y, TIMES, MASK, GRID, LENGTH, JITTER)
    for series in range(N):
        for process in range(2):
            seen = GRID.numpy()[MASK[series].numpy()]
            mean, variance, log_p, (_, y, noise) = regressed(series, process, seen)
            spread = noise.diagonal()
            said = -0.5 * (np.log(2 * np.pi * spread) + ((y - mean) ** 2 + variance) / spread).sum()
            np.testing.assert_allclose(q.kl()[series, process], said - log_p, rtol=1e-6)
    fewer = SparseGP.of(Y, TIMES, MASK, GRID, 2 * LENGTH, JITTER)  # a planted bug: another kernel
    assert ((fewer.kl() - q.kl()).abs() > 1e-3)[:, 0].all()


def test_few_inducing_points_leave_what_they_do_not_know_to_the_prior():
    """Far from every place the marginal is N(0, 1), and no variance is above it."""
    q = SparseGP.of(Y, TIMES, MASK, GRID[:2], LENGTH, torch.tensor(1e-3, dtype=F64))
    far = q.at(torch.full((N, 1), 100.0, dtype=F64))
    assert (far.loc == 0).all()
    assert (far.log_scale == 0).all()
    assert (q.at(TIMES).log_scale <= 0).all()
    nothing = SparseGP.of(Y, TIMES, torch.zeros_like(MASK), GRID, LENGTH, JITTER)
    torch.testing.assert_close(nothing.kl(), torch.zeros(N, 2, dtype=F64))


def linear(jitter=1e-10, inducing=M):
    """x = 1.3 z - 0.2 + N(0, 0.4^2), and the encoder that sees just that."""
    model = gp.build(1, 1, 4.0, inducing=inducing, length=0.9, encoder=(), decoder=(), jitter=jitter)
    params = model.init(KEY, X)
    w, b, s = (torch.tensor(value, dtype=F64) for value in (1.3, -0.2, 0.4))
    params["decoder"] = {"0": {"weight": w[None, None], "bias": b[None]}}
    params["likelihood"] = {"log_scale": s.log()}
    weight, bias = torch.stack([1 / w, 0 * w])[:, None], torch.stack([-b / w, (s / w).log()])
    params["encoder"] = {"0": {"weight": weight, "bias": bias}}
    return model, params


def bound(model, params):
    """The ELBO of a linear model without samples: E_q log p(x | z) - KL."""
    q, w, b = model.posterior(params, X), 1.3, -0.2
    marginals, variance = q.at(TIMES), 0.4**2
    gap = X.values - w * marginals.loc - b
    each = -0.5 * (np.log(2 * np.pi * variance) + (gap**2 + w**2 * (2 * marginals.log_scale).exp()) / variance)
    return torch.where(MASK, each[..., 0], 0.0).sum(-1) - q.kl().sum(-1)


def evidence():
    found = []
    for series in range(N):
        seen = MASK[series].numpy()
        of_x = 1.3**2 * covariance(GRID.numpy()[seen], GRID.numpy()[seen], 0.9) + 0.4**2 * np.eye(seen.sum())
        found.append(multivariate_normal(cov=of_x).logpdf(X.values[series, :, 0].numpy()[seen] + 0.2))
    return torch.tensor(found, dtype=F64)


def test_a_linear_models_bound_is_its_evidence_and_with_fewer_points_or_jitter_below():
    torch.testing.assert_close(bound(*linear()), evidence(), rtol=1e-6, atol=1e-6)
    for other in (linear(inducing=3), linear(jitter=0.1)):
        assert (bound(*other) < evidence() - 1e-4).all()
    model, params = linear()
    inferred = model.infer(params, X, KEY, 4000)
    terms = observed_log_prob(inferred.p, X) - inferred.kl.sum(-1)
    assert ((terms.mean(0) - evidence()).abs() < 5 * terms.std(0) / 4000**0.5).all()


def test_what_is_not_observed_is_nothing_and_transforms_go_through():
    model = gp.build(2, 2, 4.0, inducing=4, encoder=(3,), decoder=(3,))
    x = Series(TIMES, keys.normal(KEY, (N, M, 2), F64), MASK)
    vector, unravel = trees.ravel(model.init(KEY, x))
    params = unravel(vector + 0.1 * keys.normal(keys.key(3), vector.shape, F64))

    def value(params, x, key=KEY):
        inferred = model.infer(params, x, key, 2)
        return observed_log_prob(inferred.p, x).mean(0) - inferred.kl.sum(-1)

    other = x._replace(values=torch.where(MASK[..., None], x.values, torch.nan))
    torch.testing.assert_close(value(params, other), value(params, x))
    torch.testing.assert_close(value(params, trees.map(lambda t: t[:1], x)), value(params, x)[:1])
    slopes = [grad(lambda p, x=x: value(p, x).sum())(params) for x in (x, other)]
    for a, b in zip(*map(trees.leaves, slopes), strict=True):
        torch.testing.assert_close(a, b)
        assert (a != 0).any()
    several = keys.split(KEY, 2)
    mapped = vmap(grad(lambda p, key: value(p, x, key).sum()), (None, 0))(params, several)
    one = grad(lambda p: value(p, x, several[1]).sum())(params)
    for a, b in zip(trees.leaves(mapped), trees.leaves(one), strict=True):
        torch.testing.assert_close(a[1], b)
    assert isinstance(model, SeriesModel)


def test_in_float32_dense_places_are_factored():
    """Of 60 places in four lengths the kernel alone is singular to rounding."""
    model = gp.build(1, 1, 4.0, inducing=60, length=1.0)
    x = trees.map(lambda t: t.float() if t.is_floating_point() else t, X)
    params = model.init(KEY, x)
    assert model.infer(params, x, KEY, 2).kl.isfinite().all()
    places = params["kernel"]["places"]
    values = torch.linalg.eigvalsh(kernel(places, places, params["kernel"]["log_length"])[0].double())
    assert values[0] < 1e-6 < values[-1] / (1 + 60 / model.jitter)


def test_what_does_not_fit_raises():
    model, params = linear()
    for call, message in (
        (lambda: model.posterior(params, X.values), "expected x, a Series, got a tensor"),
        (lambda: model.posterior({}, X), "missing 'encoder'"),
        (lambda: model.likelihood(params, torch.zeros(1, N, M, 2).double()), r"expected z \(..., n, m, 1\)"),
        (lambda: gp.build(1, 1, 4.0, jitter=0.0), r"expected jitter in \(0, 1\), got 0.0: float32 needs"),
        (lambda: gp.build(1, 1, 4.0, inducing=1), "expected inducing, a whole number >= 2"),
    ):
        with pytest.raises((TypeError, ValueError, KeyError), match=message):
            call()
    same = {**params, "kernel": {**params["kernel"], "places": torch.zeros(M, dtype=F64)}}
    tight = gp.build(1, 1, 4.0, inducing=M, encoder=(), decoder=(), jitter=1e-17)
    with pytest.raises(ValueError, match=r"the kernel of the inducing places positive definite.* add a jitter"):
        tight.posterior(same, X)
