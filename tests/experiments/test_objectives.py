"""Every estimator as a run uses it: its value is the bound, its mean gradient the exact one, and nothing leaks."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.func import grad, vmap

from jensen import laws
from jensen.core import keys, trees
from jensen.core.distributions import Bernoulli
from jensen.core.models import sbn, vae
from jensen.estimators import gradients
from jensen.estimators.gradients import baselines
from jensen.experiments import learned
from jensen.experiments.objectives import BOUNDS, terms, train_step
from jensen.experiments.settings import Settings

KEY = keys.key(6)
WEIGHT = torch.tensor(1.0)
PLAIN = Settings(model="sbn", pixels="static", compile=False, k=2)
UNBIASED = {
    "score": PLAIN,
    "score, no baseline": replace(PLAIN, k=1),
    "score of iwae": replace(PLAIN, bound="iwae"),
    "vimco": replace(PLAIN, bound="iwae", baseline="vimco"),
    "nvil": replace(PLAIN, baseline="nvil"),
    "muprop": replace(PLAIN, estimator="muprop"),
    "rebar": replace(PLAIN, estimator="rebar"),
    "relax": replace(PLAIN, estimator="relax"),
    "arm": replace(PLAIN, estimator="arm"),
    "disarm": replace(PLAIN, estimator="disarm"),
    "score, two layers": replace(PLAIN, layers=2),
    "nvil of iwae, two layers": replace(PLAIN, bound="iwae", baseline="nvil", layers=2),
}
BIASED = {
    name: replace(PLAIN, estimator=name) for name in ("straight-through", "concrete", "gumbel-straight-through")
} | {"wake": replace(PLAIN, estimator="wake", bound="iwae")}
VAES = {
    "pathwise": Settings(pixels="static", compile=False, k=3, estimator="pathwise"),
    "stl": Settings(pixels="static", compile=False, k=3, estimator="stl"),
    "dreg": Settings(pixels="static", compile=False, k=3, estimator="dreg", bound="iwae"),
    "score, normal": Settings(pixels="static", compile=False, k=3, estimator="score"),
    "wake, normal": Settings(pixels="static", compile=False, k=3, estimator="wake", bound="iwae"),
}
ALL = {**UNBIASED, **BIASED, **VAES}


def data(n=3):
    return (keys.uniform(KEY, (n, 4), torch.float64) < 0.4).double()


def prepared(settings):
    """A small model, and its and the estimator's parameters away from their start."""
    model = sbn.build(4, 2, settings.layers) if settings.model == "sbn" else vae.mlp(4, (3,), 2)
    mean = data(40).mean(0)
    params = {**model.init(KEY, mean), **learned.init(settings, KEY, mean, model.latent)}
    vector, unravel = trees.ravel(params)
    return model, unravel(vector + 0.3 * keys.normal(keys.key(8), (len(vector),), torch.float64))


@pytest.mark.parametrize("name", ALL)
def test_the_value_is_the_bound_and_terms_are_the_elbos(name):
    settings = ALL[name]
    model, params = prepared(settings)
    x = data()
    got = terms(model, settings)(params, x, KEY, WEIGHT)
    q = model.posterior(params["encoder"], x)
    z = q.sample(q.noise(KEY, settings.k))
    log_w = model.log_joint(params["decoder"], x, z) - q.log_prob(z)
    torch.testing.assert_close(got.objective, BOUNDS[settings.bound](log_w))
    torch.testing.assert_close(got.reconstruction, model.log_likelihood(params["decoder"], x, z).mean(0))
    kl = q.kl(model.prior(x)) if settings.model == "vae" else got.reconstruction - log_w.mean(0)
    torch.testing.assert_close(got.kl, kl)


def exact(model, params, settings, x):
    """The expected bound by enumeration of every z, or pair of them, differentiable in the parameters."""
    q = model.posterior(params["encoder"], x)
    z = Bernoulli(x.new_zeros(len(x), model.latent)).support()
    log_q = q.log_prob(z)
    log_w = model.log_joint(params["decoder"], x, z) - log_q
    if settings.bound == "elbo":
        return (log_q.exp() * log_w).sum(0)
    pairs = torch.logaddexp(log_w[:, None], log_w) - torch.tensor(2.0).log()
    return ((log_q[:, None] + log_q).exp() * pairs).sum((0, 1))


@pytest.mark.parametrize("name", UNBIASED)
def test_the_mean_gradient_is_the_exact_one(name):
    settings = UNBIASED[name]
    model, params = prepared(settings)
    x, objective = data(), terms(model, settings)
    own = {part: params[part] for part in ("encoder", "decoder")}
    gradient = grad(lambda own, key: objective({**params, **own}, x, key, WEIGHT).objective.sum())
    draws = vmap(gradient, in_dims=(None, 0))(own, keys.split(KEY, 4000))
    truth = trees.paths(grad(lambda own: exact(model, own, settings, x).sum())(own))
    for path, slopes in trees.paths(draws).items():
        laws.mean_is(slopes, truth[path])


def test_nvil_trains_its_network_on_the_squared_error_and_on_nothing_else():
    settings, x = UNBIASED["nvil"], data()
    model, params = prepared(settings)
    slopes = grad(lambda p: terms(model, settings)(p, x, KEY, WEIGHT).objective.sum())(params)
    log_p = partial(model.log_joint, params["decoder"], x)
    q = model.posterior(params["encoder"], x)
    value = gradients.score(log_p, q, q.noise(KEY, 2))
    error = grad(lambda network: -(value - learned.prediction(network, x)).square().sum())(params["baseline"])
    fixed = baselines.Learned(learned.prediction(params["baseline"], x))

    def bound(own):
        q = model.posterior(own["encoder"], x)
        log_p = partial(model.log_joint, own["decoder"], x)
        return gradients.score(log_p, q, q.noise(KEY, 2), baseline=fixed).sum()

    own = grad(bound)({part: params[part] for part in ("encoder", "decoder")})
    for path, slope in trees.paths({**own, "baseline": error}).items():
        torch.testing.assert_close(trees.paths(slopes)[path], slope)


def test_relax_trains_its_control_on_the_second_moment_and_on_nothing_else():
    settings, x = UNBIASED["relax"], data()
    model, params = prepared(settings)
    slopes = grad(lambda p: terms(model, settings)(p, x, KEY, WEIGHT).objective.sum())(params)
    log_p, q = partial(model.log_joint, params["decoder"], x), model.posterior(params["encoder"], x)
    noise = q.noise(KEY, 2)

    def spread(control):
        return -gradients.second_moment(log_p, q, noise, partial(learned.control, control, log_p, q)).sum()

    def bound(own):
        q = model.posterior(own["encoder"], x)
        control = partial(learned.control, params["control"], log_p, q)
        return gradients.relax(partial(model.log_joint, own["decoder"], x), q, noise, control).sum()

    own = grad(bound)({part: params[part] for part in ("encoder", "decoder")})
    for path, slope in trees.paths({**own, "control": grad(spread)(params["control"])}).items():
        assert path == "encoder.mean" or slope.abs().max() > 0, path
        torch.testing.assert_close(trees.paths(slopes)[path], slope)


@pytest.mark.parametrize("u", [0.0, 2**-24, 1 - 2**-24])
def test_relax_is_finite_at_the_ends_of_the_noise(u):
    """Of 20,000 uniforms a step, one in a thousand steps is the largest below 1."""
    model = sbn.build(4, 3)
    x, mean = torch.ones(2, 4), torch.full((4,), 0.4)
    params = {**model.init(KEY, mean), **learned.init(UNBIASED["relax"], KEY, mean, 3)}

    def objective(params):
        q = model.posterior(params["encoder"], x)
        return learned.relax(model, params, x, q, torch.full((1, 2, 3), u)).sum()

    slopes = trees.paths(grad(objective)(params))
    assert [path for path, slope in slopes.items() if not torch.isfinite(slope).all()] == []


def test_a_step_that_would_break_what_the_estimator_learns_is_told():
    """The model's gradient and the objective are finite, the baseline's gradient overflows: the norm is NaN."""
    settings = UNBIASED["nvil"]
    model, params = prepared(settings)
    params["baseline"]["1"]["bias"][0] = 1e153
    gradient, summary = train_step(model, settings)(params, data(), KEY, torch.tensor(0), WEIGHT)
    assert torch.isfinite(trees.norm([gradient["encoder"], gradient["decoder"]]))
    assert torch.isfinite(summary[:3]).all()
    assert summary[3].isnan()


def test_what_is_learned_starts_where_its_forerunner_stands():
    """NVIL's prediction at the bound of independent pixels, RELAX at REBAR."""
    x, mean = data(), data(40).mean(0)
    start = learned.init(UNBIASED["nvil"], KEY, mean, 2)["baseline"]
    entropy = Bernoulli(torch.logit(mean)).entropy()
    torch.testing.assert_close(learned.prediction(start, x), -entropy.expand(3))
    settings = replace(UNBIASED["relax"], temperature=0.7)
    model, params = prepared(settings)
    params = {**params, **learned.init(settings, KEY, mean, 2)}
    both = [
        grad(lambda p, s=s: terms(model, s)(p, x, KEY, WEIGHT).objective.sum())(params)["encoder"]
        for s in (settings, replace(settings, estimator="rebar"))
    ]
    for a, b in zip(*map(trees.leaves, both), strict=True):
        torch.testing.assert_close(a, b)


def test_clipping_and_the_norm_leave_out_what_the_estimator_learns():
    settings = UNBIASED["nvil"]
    model, params = prepared(settings)
    args = (params, data(), KEY, torch.tensor(0), WEIGHT)
    free, summary = train_step(model, settings)(*args)
    clipped, _ = train_step(model, replace(settings, clip=1e-3))(*args)
    own = {part: free[part] for part in ("encoder", "decoder")}
    assert summary[3] == trees.norm(own)
    assert trees.norm({part: clipped[part] for part in own}).item() == pytest.approx(1e-3)
    for a, b in zip(trees.leaves(free["baseline"]), trees.leaves(clipped["baseline"]), strict=True):
        assert torch.equal(a, b)
