"""The longitudinal VAE: a linear one beside Kalman's filter and smoother, its divergence by visit, visits missed."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.models.latent import longitudinal
from jensen.core.models.latent.series import Series, SeriesModel, observed_log_prob
from jensen.core.nn import mlp

KEY, F64 = keys.key(8), torch.float64
N, VISITS = 3, 5
TIMES = (0.5 + keys.uniform(KEY, (1, N, VISITS), F64)[0]).cumsum(-1)
MASK = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 0, 1, 0], [1, 1, 0, 0, 0]]).bool()
X = Series(TIMES, keys.normal(KEY, (N, VISITS, 3), F64), MASK)
LINEAR = longitudinal.build(3, 2, flows=0, transition=(), decoder=(), encoder=(5,))
CURVED = longitudinal.build(3, 2, flows=2, transition=(4,), decoder=(4,), encoder=(5,))


def parameters(model, scale=0.3):
    """Away from their start, so that nothing is 0 or symmetric."""
    vector, unravel = trees.ravel(model.init(KEY, X))
    return unravel(vector + scale * keys.normal(keys.key(3), (len(vector),), F64))


def kalman(params, x):
    """log p(x) of a linear model with constant noise, and its filtered moments, by numpy: of one subject."""
    of_step, of_x = ({name: t.numpy() for name, t in params[net]["0"].items()} for net in ("transition", "decoder"))
    change, per_year = np.eye(2) + of_step["weight"][:2, :2], of_step["weight"][:2, 2]
    noise = np.diag(np.exp(2 * of_step["bias"][2:]))
    variance = np.exp(2 * params["likelihood"]["log_scale"].item()) * np.eye(3)
    elapsed = np.diff(x.times.numpy(), prepend=np.nan)
    mean, covariance, log_p, filtered = np.zeros(2), np.eye(2), 0.0, []
    for t, seen in enumerate(x.mask.numpy()):
        if t:
            mean = change @ mean + per_year * elapsed[t] + of_step["bias"][:2]
            covariance = change @ covariance @ change.T + noise
        predicted = mean, covariance
        if seen:
            rows = of_x["weight"]
            of_values = rows @ covariance @ rows.T + variance
            gap = x.values[t].numpy() - rows @ mean - of_x["bias"]
            log_p += multivariate_normal(cov=of_values).logpdf(gap)
            gain = covariance @ rows.T @ np.linalg.inv(of_values)
            mean, covariance = mean + gain @ gap, covariance - gain @ rows @ covariance
        filtered.append((mean, covariance, predicted))
    return log_p, filtered, change


def smoothed_log_prob(params, x, z):
    """log p(z | x) backwards from the last visit (Rauch, Tung and Striebel, 1965): z (s, visits, 2) -> (s,)."""
    _, filtered, change = kalman(params, x)
    mean, covariance, _ = filtered[-1]
    total = multivariate_normal(mean, covariance).logpdf(z[:, -1])
    for t in range(VISITS - 2, -1, -1):
        mean, covariance, _ = filtered[t]
        after, spread = filtered[t + 1][2]
        gain = covariance @ change.T @ np.linalg.inv(spread)
        around = multivariate_normal(cov=covariance - gain @ spread @ gain.T)
        total = total + around.logpdf(z[:, t] - mean - (z[:, t + 1] - after) @ gain.T)
    return total


def linear():
    """Scales of steps that are no function of the visit before."""
    params = parameters(LINEAR)
    layer = params["transition"]["0"]
    weight = torch.cat([layer["weight"][:2], torch.zeros(2, 3, dtype=F64)])
    return {**params, "transition": {"0": {**layer, "weight": weight}}}


def test_a_linear_models_weights_under_the_smoother_are_the_filters_evidence():
    """log p(x, z) - log p(z | x) is log p(x) at every z, with visits missing first, between and last."""
    params, z = linear(), keys.normal(KEY, (6, N, 2 * VISITS), F64)
    found = LINEAR.log_joint(params, X, z)
    for i in range(N):
        x = trees.map(lambda t, i=i: t[i], X)
        log_q = smoothed_log_prob(params, x, z[:, i].unflatten(-1, (VISITS, 2)).numpy())
        np.testing.assert_allclose(found[:, i].numpy() - log_q, kalman(params, x)[0], rtol=1e-9)
        wrong = kalman(params, x._replace(times=2 * x.times))[0]  # a planted bug: time at another speed
        assert abs(found[0, i].item() - log_q[0] - wrong) > 1e-3


@pytest.mark.parametrize("model", [LINEAR, CURVED], ids=["normal", "flows"])
def test_the_divergence_is_a_sum_over_visits_and_the_bound_below_the_evidence(model):
    """KL by visit in closed form given the visit before, beside log q(z) - log p(z) of both chains' own densities."""
    params = linear() if model is LINEAR else parameters(model)
    inferred = model.infer(params, X, KEY, 2000)
    q, p = model.posterior(params, X), model.prior(params, X.times)
    z, log_q = q.sample_and_log_prob(q.noise(KEY, 2000))
    torch.testing.assert_close(q.log_prob(z[:5]), log_q[:5])
    gap = log_q - p.log_prob(z)
    error = gap.std(0) / 2000**0.5
    assert ((gap.mean(0) - inferred.kl.sum(-1)).abs() < 6 * error + 1e-9).all()
    assert ((gap.mean(0) - inferred.kl.sum(-1) - inferred.kl[:, 0]).abs() > 6 * error).any()  # the first, twice
    assert (inferred.kl >= 0).all()
    if model is LINEAR:
        exact = torch.tensor([kalman(params, trees.map(lambda t, i=i: t[i], X))[0] for i in range(N)])
        terms = observed_log_prob(inferred.p, X) - inferred.kl.sum(-1)
        assert (terms.mean(0) - 6 * terms.std(0) / 2000**0.5 < exact).all()


def test_visits_missed_add_nothing_and_after_the_last_one_the_posterior_is_the_transition():
    params = parameters(CURVED)

    def value(params, x):
        inferred = CURVED.infer(params, x, KEY, 2)
        return observed_log_prob(inferred.p, x).mean(0) - inferred.kl.sum(-1)

    other = X._replace(values=torch.where(MASK[..., None], X.values, torch.nan))
    torch.testing.assert_close(value(params, other), value(params, X))
    slopes = [grad(lambda p, x=x: value(p, x).sum())(params) for x in (X, other)]
    for a, b in zip(*map(trees.leaves, slopes), strict=True):
        torch.testing.assert_close(a, b)
    assert all((t != 0).any() for t in trees.leaves(slopes[0]))
    kl = CURVED.infer(params, X, KEY, 2).kl
    last = VISITS - MASK.flip(-1).int().argmax(-1)
    after = torch.arange(VISITS) >= last[:, None]
    assert (kl[after] == 0).all()
    assert (kl[~after] > 0).all()
    shorter = Series(*(t[2:, :2] for t in X))
    torch.testing.assert_close(value(params, X)[2:], value_alone(params, shorter), rtol=1e-6, atol=1e-6)


def value_alone(params, x):
    """The bound of the third subject without the visits after its last one, of the same noise."""
    noise = keys.normal(KEY, (2, N, VISITS, 2), F64)[:, 2:]
    q, p = CURVED.posterior(params, x), CURVED.prior(params, x.times)
    first = q.layers[0]
    z1 = first.sample(noise[:, :, 0])
    step, prior = q.layers[1](z1), p.layers[1](z1)
    z = torch.cat([z1, step.sample(noise[:, :, 1])], -1)
    kl = first.kl(p.layers[0]) + step.base.kl(prior.base).mean(0)
    return observed_log_prob(CURVED.likelihood(params, z, x.times), x).mean(0) - kl


def test_a_subject_alone_is_what_it_is_in_a_batch():
    params, z = parameters(CURVED), keys.normal(KEY, (2, N, 2 * VISITS), F64)
    alone = trees.map(lambda t: t[1:2], X)
    torch.testing.assert_close(
        CURVED.log_joint(params, alone, z[:, 1:2]), CURVED.log_joint(params, X, z)[:, 1:2], rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(
        CURVED.posterior(params, alone).log_prob(z[:, 1:2]), CURVED.posterior(params, X).log_prob(z)[:, 1:2]
    )
    assert isinstance(CURVED, SeriesModel)


def test_a_step_is_a_flow_of_a_normal_around_the_visit_before():
    params = parameters(CURVED)
    z, elapsed = keys.normal(KEY, (1, N, 2), F64), TIMES.diff(dim=-1)[:, :1]
    step = CURVED.prior(params, TIMES).layers[1](z)
    change, log_scale = mlp.apply(params["transition"], torch.cat([z, elapsed[None]], -1)).chunk(2, -1)
    torch.testing.assert_close(step.base.loc, z + change)
    torch.testing.assert_close(step.base.log_scale, log_scale)
    eps = keys.normal(KEY, (1, N, 2), F64)
    u = step.base.sample(eps)
    assert ((step.log_prob(step.sample(eps)) - step.base.log_prob(u)).abs() > 1e-3).all()  # the flow's log det


def test_what_does_not_fit_raises():
    params = parameters(CURVED)
    for call, message in (
        (lambda: CURVED.posterior(params, X.values), "expected x, a Series, got a tensor"),
        (lambda: CURVED.posterior(params, X._replace(values=X.values[..., :2])), r"expected x.values \(3, 5, 3\)"),
        (
            lambda: CURVED.log_joint(params, X, torch.zeros(1, N, 8).double()),
            r"expected z \(s, n, 10\), got \(1, 3, 8\)",
        ),
        (lambda: CURVED.prior({"flows": ()}, TIMES), "missing 'encoder'"),
        (lambda: longitudinal.build(3, 2, encoder=()), "expected encoder of one width or more"),
        (lambda: CURVED.init(KEY, trees.map(lambda t: t[:1], X)), "expected x, training series"),
    ):
        with pytest.raises((TypeError, ValueError, KeyError), match=message):
            call()
