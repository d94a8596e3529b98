"""Bounds, divergences, objectives, and estimators of gradients by themselves."""

import torch

from jensen.core import bounds, divergences, keys, minibatch, objectives
from jensen.core.distributions import Bernoulli, Categorical, DiagNormal
from jensen.estimators import gradients as g
from jensen.estimators.diagnostics import quality

KEY = keys.key(0)
NORMAL = DiagNormal(torch.zeros(5, 3), torch.zeros(5, 3))


def estimators():
    minibatch.log_joint(lambda z: z.sum(-1), lambda z: z.expand(-1, 3, 2).sum(-1), 9)(torch.zeros(4, 1, 2))
    g.arsm(lambda z: z.sum((-2, -1)), Categorical(torch.zeros(2, 3, 4)), torch.full((3, 2, 3, 4), 0.5))
    g.local_reparameterisation(torch.ones(5, 64), torch.zeros(3, 64), torch.zeros(3, 64), torch.zeros(2, 5, 3))
    quality(lambda key: {"a": keys.normal(key, (3,))}, keys.split(KEY, 5))


def of_log_weights():
    bounds.derivatives(bounds.TailAdaptive(), torch.zeros(3, 2)), bounds.Renyi(0.5)(torch.zeros(3, 2))
    for bound in (
        bounds.vr_max, bounds.Cubo(), bounds.Tvo(bounds.log_betas(3)), bounds.Miwae(2, 3), bounds.Ciwae(0.5),
        bounds.Jackknife(), bounds.Sumo(), bounds.Csiszar(divergences.generators.jensen_shannon),
    ):  # fmt: skip
        assert bound(torch.zeros(6, 2)).shape == (2,)
    bounds.piwae(torch.zeros(6, 2), torch.zeros(6, 2), 2, 3), bounds.free_bits(torch.ones(5, 3), 0.5, (1, 2))
    bounds.Sumo()(torch.zeros(300, 2), bounds.Sumo().draw(KEY, 2)), bounds.leave_one_out_iwae(torch.zeros(6, 2))


def of_distributions():
    binary = Bernoulli(torch.zeros(5, 3))
    for q in (binary, Categorical(torch.zeros(5, 2, 3)), NORMAL):
        for divergence in (divergences.chi2, divergences.forward_kl, divergences.squared_wasserstein2):
            assert divergence(q, q).shape == (5,)
        divergences.renyi(q, q, 0.5), divergences.alpha_divergence(q, q, 0.5)
    divergences.jensen_shannon(binary, binary)
    divergences.f_divergence(divergences.generators.hellinger, binary, binary)


def of_samples():
    divergences.squared_mmd(torch.zeros(4, 5, 3), torch.ones(6, 5, 3))
    divergences.squared_mmd(torch.zeros(4, 5, 3), torch.ones(6, 5, 3), 2.0)


def terms():
    zero, z = torch.zeros(5), NORMAL.sample(NORMAL.noise(KEY, 2))
    parts = objectives.decompose(NORMAL, NORMAL, z, 9)
    objectives.beta_tc(zero, parts, 2.0), objectives.beta(zero, zero, 2.0), objectives.capacity(zero, zero, 2.0, 1.0)
    objectives.free_bits(zero, torch.zeros(5, 3), 0.1), objectives.committed(NORMAL, 0.1)
    objectives.factor(zero, zero, zero, 2.0), objectives.permuted(KEY, torch.zeros(2, 5, 3))
    objectives.discrimination(torch.zeros(2, 5), torch.zeros(2, 5))
    multiplier = objectives.Multiplier.start(zero)
    objectives.geco(zero, zero, multiplier.update(zero, -1.0), -1.0)


def named_objectives():
    zero, z = torch.zeros(5), NORMAL.sample(NORMAL.noise(KEY, 2))
    for objective in (
        objectives.Beta(2.0), objectives.Capacity(2.0, 1.0), objectives.FreeBits(0.1), objectives.Geco(-1.0),
        objectives.Committed(0.1), objectives.BetaTc(2.0),
    ):  # fmt: skip
        q = objective.posterior(NORMAL)
        found, _ = objective(zero, q, NORMAL, z, data=9, weights={}, state=objective.start(zero))
        assert found.objective.shape == (5,)
