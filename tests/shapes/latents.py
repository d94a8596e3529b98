"""Latent-variable models of flat data, and estimators of the gradients of their bounds."""

from functools import partial

import torch

from jensen.core import bounds, keys
from jensen.core.distributions import Bernoulli
from jensen.core.models import classifier
from jensen.core.models.latent import (
    bottleneck,
    likelihoods,
    linear_normal,
    multimodal,
    poisson,
    posteriors,
    priors,
    reptile,
    sbn,
    vae,
)
from jensen.estimators import gradients as g
from jensen.estimators.evidence import importance
from jensen.estimators.gradients import analytic_kl, baselines, pathwise
from jensen.estimators.inference import iterative, semi_amortised

KEY = keys.key(0)
X = (keys.uniform(KEY, (5, 64)) < 0.5).float()


def vaes():
    for model in (
        vae.mlp(64, (6,), 3),
        vae.conv((1, 8, 8), (2,), 3),
        vae.mlp(64, (6,), 3, likelihood=likelihoods.LIKELIHOODS["gaussian"]),
        vae.mlp(64, (6,), 3, likelihood=likelihoods.LIKELIHOODS["continuous-bernoulli"]),
    ):
        params = model.init(KEY, X)
        q, log_p = model.posterior(params, X), partial(model.log_joint, params, X)
        pathwise(log_p, q, q.noise(KEY, 4), bound=bounds.iwae)
        analytic_kl(partial(_log_likelihood, model, params), q, q.noise(KEY, 4), prior=model.prior(params, 5))
        importance(log_p, q, KEY, 10, chunk=3), importance(log_p, q, KEY, 10)
        for estimate in (g.stl, g.dreg, g.vargrad, g.wake_theta, g.measure_valued):
            assert estimate(log_p, q, q.noise(KEY, 4)).shape == (5,)
        for estimate in (g.wake, g.wake_phi):
            assert estimate(log_p, q, q.noise(KEY, 4), bound=bounds.iwae).shape == (5,)


def learned_priors():
    for prior in priors.PRIORS.values():
        model = vae.mlp(64, (6,), 3, prior=prior)
        params = model.init(KEY, X.repeat(10, 1))
        p = model.prior(params, 5)
        assert model.log_joint(params, X, p.sample(p.noise(KEY, 4))).shape == (4, 5)


def families_of_posteriors():
    for posterior in posteriors.POSTERIORS.values():
        model = vae.mlp(64, (6,), 3, posterior=posterior)
        params = model.init(KEY, X)
        q, outputs = model.posterior(params, X), model.encoded(params, X)
        log_p, build = partial(model.log_joint, params, X), partial(model.posterior_of, params)
        pathwise(log_p, q, q.noise(KEY, 4))
        units = model.units(outputs)
        assert semi_amortised.refine(log_p, build, outputs, KEY, 1, 2, units=units).shape == outputs.shape
    network = iterative.init(KEY, outputs.shape[1], (4,))
    assert iterative.refine(network, log_p, build, outputs, KEY, 1, 2).shape == outputs.shape


def sigmoid_belief_nets():
    for layers in (1, 2):
        model = sbn.build(64, 4, layers)
        params = model.init(KEY, X)
        q, log_p = model.posterior(params, X), partial(model.log_joint, params, X)
        for baseline in (baselines.none, baselines.leave_one_out, baselines.vimco, baselines.Learned(torch.zeros(5))):
            assert g.score(log_p, q, q.noise(KEY, 4), bound=bounds.iwae, baseline=baseline).shape == (5,)
        if layers == 1:
            _estimators_of_bernoullis(log_p, q)
    g.exact(log_p, Bernoulli(torch.zeros(5, 8)))


def poisson_vaes():
    model = poisson.build(64, 3)
    params = model.init(KEY, X)
    q = model.posterior(params, X)
    assert model.reconstruction(params, X).shape == q.kl(model.prior(params, 5)).shape == (5,)
    assert g.score(partial(model.log_joint, params, X), q, q.noise(KEY, 4)).shape == (5,)
    assert model.dictionary(params).shape == (3, 64)


def modalities():
    for experts in multimodal.EXPERTS:
        model = multimodal.build((60, 4), (4,), 2, experts)
        params = model.init(KEY, X)
        q = model.given(params, [X[:, :60], None])
        z = q.sample(q.noise(KEY, 4))
        assert model.decode(params, z, 1).log_prob(X[:, 60:]).shape == model.log_joint(params, X, z).shape == (4, 5)


def bottlenecks():
    model, labels = bottleneck.build(64, (4,), classifier.mlp(2, (), 3)), torch.tensor([0, 1, 2, 0, 1])
    params = model.init(KEY)
    noise = model.posterior(params, X).noise(KEY, 4)
    for values in (
        *model.terms(params, X, labels, noise),
        model.log_prob(params, X, labels, noise),
        model.correct(params, X, labels, noise),
    ):
        assert values.shape == (5,)
    assert bottleneck.label_entropy(labels, 3).shape == ()


def reptiles():
    encoder, task = reptile.build(64, (4,), 2), linear_normal.LinearNormal(torch.ones(64, 2), torch.zeros(()))
    params = encoder.init(KEY)

    def loss(params, step):
        return -task.elbo(encoder.posterior(params, X), X).mean()

    assert reptile.pull(params, reptile.adapted(loss, params, 2, 0.01)).shape == ()
    assert task.log_evidence(X).shape == (5,)


def _log_likelihood(model, params, z):
    return model.likelihood(params, z).log_prob(X)


def _estimators_of_bernoullis(log_p, q):
    for estimate in (
        g.muprop, g.rebar, g.concrete, g.straight_through, g.gumbel_straight_through, g.arm, g.disarm, g.measure_valued,
        partial(g.sum_and_sample, top=3), partial(g.relax, control=lambda t: t.sum(-1)),
        partial(g.second_moment, control=lambda t: t.sum(-1)), partial(g.score, baseline=baselines.optimal),
    ):  # fmt: skip
        assert estimate(log_p, q, q.noise(KEY, 4)).shape == (5,)
