"""The latent ODE beside equations that are solved exactly: states, order, gradients, and a linear one's evidence."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.stats import multivariate_normal
from torch.func import grad, jacrev, jvp, vmap

from jensen.core import keys, trees
from jensen.core.distributions import FullNormal
from jensen.core.models.latent import ode
from jensen.core.models.latent.posteriors import POSTERIORS
from jensen.core.models.latent.series import Series, SeriesModel, observed_log_prob
from jensen.core.nn import deep_set, mlp
from jensen.core.numerics import between_steps, rk4_step

KEY, F64 = keys.key(5), torch.float64
N, M = 3, 7
TIMES = 2 * keys.uniform(KEY, (1, N, M), F64)[0].sort(-1).values
MASK = keys.uniform(keys.key(6), (1, N, M))[0] < 0.6
X = Series(TIMES, keys.normal(KEY, (N, M, 2), F64), MASK)
LINEAR = ode.build(2, 2, 2.0, steps=64, field=(), encoder=(5,), frequencies=3)
CURVED = ode.build(2, 2, 2.0, steps=8, field=(5,), encoder=(5,), frequencies=3)
FIELD = torch.tensor([[-0.3, 2.0], [-2.0, -0.1]], dtype=F64)


def parameters(model, scale=0.3):
    """Away from their start, so that nothing is 0 or symmetric."""
    vector, unravel = trees.ravel(model.init(KEY, X))
    return unravel(vector + scale * keys.normal(keys.key(3), (len(vector),), F64))


def linear():
    """dz / dt = FIELD z."""
    params = parameters(LINEAR)
    return {**params, "field": {"0": {"weight": FIELD, "bias": torch.zeros(2, dtype=F64)}}}


def solved(times, z):
    """exp(FIELD t) z of every series: (s, n, m, 2)."""
    flow = np.array([[expm(FIELD.numpy() * t) for t in row] for row in np.asarray(times)])
    return torch.from_numpy(np.einsum("nmij,snj->snmi", flow, z))


def test_steps_err_by_the_fourth_power_where_states_are_known_and_between():
    """dz / dt = FIELD z."""
    z = keys.normal(KEY, (4, N, 2), F64)
    exact = solved(TIMES, z)

    def error(steps):
        model = ode.build(2, 2, 2.0, steps=steps, field=(), encoder=(5,), frequencies=3)
        return (model.states(linear(), z, TIMES) - exact).norm()

    assert error(64) < 1e-5 * exact.norm()
    for steps in (16, 32, 64):
        assert 12 < error(steps) / error(2 * steps) < 20
    step = rk4_step(lambda y, t: y @ FIELD.T, z, 0.0, 0.1)
    assert 1e-8 < (step - solved(np.full((N, 1), 0.1), z)[:, :, 0]).abs().max() < 1e-5


def test_a_cubic_between_steps_is_itself():
    t = torch.linspace(0, 2, 9, dtype=F64)
    cubic = torch.tensor([0.3, -1.0, 2.0, 0.7], dtype=F64)

    def value(t):
        return (cubic * t[..., None] ** torch.arange(4)).sum(-1)

    slopes = ((cubic * torch.arange(4))[1:] * t[:, None] ** torch.arange(3)).sum(-1)
    of_states, of_slopes = between_steps(TIMES, 0.25, 8)
    torch.testing.assert_close(of_states @ value(t) + of_slopes @ slopes, value(TIMES))
    torch.testing.assert_close(of_states.sum(-1), torch.ones(N, M, dtype=F64))


def test_time_enters_the_steps():
    """dy / dt = cos(t), dw / dt = y, of a tree: y = sin t, w = 1 - cos t."""
    y = torch.zeros(1, dtype=F64), torch.zeros(1, dtype=F64)
    for i in range(20):
        y = rk4_step(lambda y, t: (torch.full_like(y[0], math.cos(t)), y[0]), y, 0.1 * i, 0.1)
    torch.testing.assert_close(torch.cat(y), torch.tensor([math.sin(2), 1 - math.cos(2)], dtype=F64), rtol=0, atol=1e-6)


def test_gradients_are_the_sensitivity_equations():
    """S = dz / dtheta solves dS / dt = J S + dfield / dtheta, and dz / dz(0) the same without its last term."""
    model = ode.build(2, 2, 2.0, steps=32, field=(5,), encoder=(5,), frequencies=3)
    params, z = parameters(model), TIMES.new_ones(2)
    theta, unravel = trees.ravel(params["field"])
    size = len(theta) + 2

    def field(theta, z):
        return mlp.apply(unravel(theta), z)

    def slope(t, y):
        z, s = torch.from_numpy(y[:2]), torch.from_numpy(y[2:].reshape(2, size))
        j, direct = jacrev(field, 1)(theta, z), jacrev(field, 0)(theta, z)
        change = j @ s + torch.cat([direct, torch.zeros(2, 2, dtype=F64)], -1)
        return np.concatenate([field(theta, z).numpy(), change.numpy().ravel()])

    start = np.concatenate([np.ones(2), np.eye(2, size, size - 2).ravel()])
    exact = solve_ivp(slope, (0, 2), start, rtol=1e-7, atol=1e-8, t_eval=TIMES[0].numpy()).y[2:]

    def states(theta, z):
        return model.states({**params, "field": unravel(theta)}, z[None, None], TIMES[:1])[0, 0]

    found = torch.cat(jacrev(states, (0, 1))(theta, z), -1)
    torch.testing.assert_close(found, torch.from_numpy(exact.T.reshape(M, 2, size)), rtol=1e-5, atol=1e-6)


def evidence(params, x):
    """log p(x) of the linear model, and the moments of p(z(0) | x), by numpy and scipy: of one series."""
    seen = x.mask.numpy()
    weight, bias = (params["decoder"]["0"][name].numpy() for name in ("weight", "bias"))
    rows = np.concatenate([weight @ expm(FIELD.numpy() * t) for t in x.times.numpy()[seen]])
    variance = np.exp(2 * params["likelihood"]["log_scale"].item())
    gap = x.values.numpy()[seen].ravel() - np.tile(bias, seen.sum())
    log_p = multivariate_normal(cov=rows @ rows.T + variance * np.eye(len(rows))).logpdf(gap)
    covariance = np.linalg.inv(np.eye(2) + rows.T @ rows / variance)
    return log_p, covariance @ rows.T @ gap / variance, covariance


def test_a_linear_models_weights_under_the_exact_posterior_are_its_evidence():
    params, z = linear(), keys.normal(KEY, (5, N, 2), F64)
    exact = [evidence(params, trees.map(lambda t, i=i: t[i], X)) for i in range(N)]
    log_p = torch.tensor([each[0] for each in exact])
    loc, covariance = (torch.from_numpy(np.stack([each[i] for each in exact])) for i in (1, 2))
    log_w = LINEAR.log_joint(params, X, z) - FullNormal.from_covariance(loc, covariance).log_prob(z)
    torch.testing.assert_close(log_w, log_p.expand(5, N), rtol=1e-5, atol=1e-5)
    inferred = LINEAR.infer(params, X, KEY, 4000)
    terms = observed_log_prob(inferred.p, X) - inferred.kl.sum(-1)
    assert (terms.mean(0) - 5 * terms.std(0) / 4000**0.5 < log_p).all()
    halved = terms + inferred.kl.sum(-1) / 2  # a planted bug: half of the divergence
    assert (halved.mean(0) > terms.mean(0)).all()


def test_observations_make_a_set_and_what_is_not_observed_is_nothing():
    """In any order, alone or in a batch, whatever stands where nothing is observed, NaN too."""
    params, z = parameters(CURVED), keys.normal(KEY, (2, N, 2), F64)

    def value(params, x):
        q = CURVED.posterior(params, x)
        return (CURVED.log_joint(params, x, z[:, : len(x.times)]) + q.loc.sum(-1) + q.log_scale.sum(-1)).sum(0)

    order = keys.permutation(KEY, M)
    shuffled = Series(*(t[:, order] for t in X))
    other = X._replace(values=torch.where(MASK[..., None], X.values, torch.nan))
    alone = trees.map(lambda t: t[:1], X)
    found = value(params, X)
    torch.testing.assert_close(value(params, shuffled), found)
    torch.testing.assert_close(value(params, other), found)
    torch.testing.assert_close(value(params, alone), found[:1], rtol=1e-12, atol=1e-12)
    assert (value(params, X._replace(mask=torch.ones_like(MASK))) != found).all()
    slopes = [grad(lambda p, x=x: value(p, x).sum())(params) for x in (X, other)]
    for a, b in zip(*map(trees.leaves, slopes), strict=True):
        torch.testing.assert_close(a, b)
    assert all((t != 0).any() for t in trees.leaves(slopes[0]))
    nothing = CURVED.posterior(params, X._replace(mask=torch.zeros_like(MASK)))
    assert nothing.loc.isfinite().all()
    torch.testing.assert_close(nothing.loc[0], nothing.loc[1])


def test_the_divergence_of_every_family_is_that_of_its_densities():
    for family in (POSTERIORS["full"], POSTERIORS["planar"]):
        model = ode.build(2, 2, 2.0, steps=2, field=(5,), encoder=(5,), frequencies=3, posterior=family)
        params = parameters(model)
        q, p = model.posterior(params, X), model.prior(params, TIMES)
        z = q.sample(q.noise(KEY, 4000))
        gap = q.log_prob(z) - p.log_prob(z)
        found = model.infer(params, X, KEY, 4000).kl
        assert found.shape == (N, 1)
        assert ((found[:, 0] - gap.mean(0)).abs() <= 5 * gap.std(0) / 4000**0.5).all()


def test_transforms_go_through_the_equation():
    params = parameters(CURVED)

    def bound(params, key):
        inferred = CURVED.infer(params, X, key, 2)
        return (observed_log_prob(inferred.p, X).mean(0) - inferred.kl.sum(-1)).sum()

    several = keys.split(KEY, 2)
    slopes = vmap(grad(bound), (None, 0))(params, several)
    for a, b in zip(trees.leaves(slopes), trees.leaves(grad(bound)(params, several[1])), strict=True):
        torch.testing.assert_close(a[1], b)
    direction = trees.map(torch.ones_like, params)
    _, along = jvp(partial(bound, key=KEY), (params,), (direction,))
    total = sum(t.sum() for t in trees.leaves(grad(bound)(params, KEY)))
    torch.testing.assert_close(along, total)
    assert isinstance(CURVED, SeriesModel)


def test_a_deep_set_is_the_mean_of_its_elements():
    params = deep_set.init(KEY, 2, (4,), 3, dtype=F64)
    h = torch.tanh(mlp.apply(params["each"], X.values))
    pooled = torch.stack([h[i][MASK[i]].mean(0) for i in range(N)])
    count = MASK.sum(-1, keepdim=True).double()
    expected = mlp.apply(params["all"], torch.cat([pooled, torch.log(1 + count)], -1))
    torch.testing.assert_close(deep_set.apply(params, X.values, MASK), expected)
    several = deep_set.apply(params, X.values[:, None], torch.stack([MASK, ~MASK], 1))
    torch.testing.assert_close(several[:, 0], expected)


def test_what_does_not_fit_raises():
    params = parameters(CURVED)
    for x, message in (
        (X.values, "expected x, a Series, got a tensor"),
        (X._replace(values=X.values[..., 0]), r"expected x.values \(3, 7, 2\), got \(3, 7\)"),
        (X._replace(mask=MASK.double()), "expected x.mask of truth values, got torch.float64"),
        (X._replace(times=TIMES + 1), "expected times from 0 to 2, got 1.* build the model for a longer duration"),
        (X._replace(times=TIMES * torch.nan), "expected x.times finite, got NaN or inf"),
        (X._replace(times=TIMES.float()), "expected x.values in torch.float32, as times have it"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            CURVED.posterior(params, x)
    with pytest.raises(ValueError, match=r"expected a value z \(..., 3, 2\)"):
        CURVED.log_joint(params, X, torch.zeros(3, 4, 3).double())
    with pytest.raises(KeyError, match="missing 'field'"):
        CURVED.posterior({k: v for k, v in params.items() if k != "field"}, X)
    with pytest.raises(ValueError, match="expected x, training series with observations"):
        CURVED.init(KEY, X._replace(mask=torch.zeros_like(MASK)))
    with pytest.raises(ValueError, match="expected hidden of one width or more"):
        deep_set.init(KEY, 2, (), 3)
    with pytest.raises(ValueError, match=r"expected mask \(..., 7\) of truth values"):
        deep_set.apply(deep_set.init(KEY, 2, (4,), 3, dtype=F64), X.values, MASK.double())
