"""Inference algorithms, a few steps each, and what they find."""

import torch

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.core.models import bayes
from jensen.core.nn import mlp
from jensen.estimators import inference
from jensen.laws import conjugate as conjugates

KEY = keys.key(0)
ONE = DiagNormal(torch.zeros(1, 3), torch.zeros(1, 3))


def chains():
    few = {"steps": 9, "warm_up": 9}
    inference.hmc.fit(KEY, ONE.log_prob, torch.ones(4, 3), **few)[0].verdict()
    inference.metropolis.fit(KEY, ONE.log_prob, torch.ones(4, 3), **few)[0].mixing().verdict()


def mixtures():
    x = keys.normal(KEY, (30, 2))
    for kind in ("full", "tied", "diagonal", "spherical"):
        found = inference.em.fit(KEY, x, 2, kind, steps=2)[0]
        found.responsibilities(x), found.distribution(), found.verdict()


def conjugate_models():
    for name, model in conjugates.CONJUGATE.items():
        inference.cavi.fit(KEY, model, conjugates.EXAMPLES[name], steps=2)[1].fall()
        inference.svi.fit(KEY, model, conjugates.EXAMPLES[name], 4, epochs=1)


def normals():
    start = torch.zeros(1, 3)
    found, _ = inference.advi.fit(KEY, ONE.log_prob, start, adam=inference.advi.Adam(steps=2), rounds=1, samples=30)
    found.draws(KEY, 9), found.verdict(), found.gap
    inference.natural.fit(KEY, ONE.log_prob, start, rounds=1, steps=2, samples=30)[0].verdict()
    inference.pathfinder.fit(KEY, ONE.log_prob, torch.ones(2, 3), steps=2, samples=9)[0].verdict()
    inference.laplace.fit(KEY, ONE.log_prob, start, samples=30)[0].verdict()
    inference.ep.fit(KEY, torch.ones(3, 2), torch.ones(3), steps=2, samples=9)[0].verdict()
    inference.maximum_likelihood(DiagNormal(torch.zeros(5, 3), torch.zeros(5, 3)).log_prob, torch.ones(5, 3)).verdict()


def grids():
    plane = DiagNormal(torch.zeros(1, 2), torch.zeros(1, 2))
    found, _ = inference.grid.fit(KEY, plane.log_prob, torch.zeros(1, 2), points=21)
    found.draws(KEY, 9), found.mean, found.covariance, found.verdict()


def laplace_of_networks():
    params, network, x = mlp.init(KEY, (3, 4, 2)), inference.network_laplace, torch.ones(5, 3)
    for structure in network.STRUCTURES:
        for likelihood, y in (
            (inference.curvature.Gaussian(), torch.zeros(5, 2)),
            (inference.curvature.Bernoulli(), torch.ones(5, 2)),
            (inference.curvature.Categorical(), torch.zeros(5, dtype=torch.int64)),
        ):
            found, _ = network.fit(mlp.apply, params, x, y, likelihood, structure)
            found.log_prob(found.draws(KEY, 4)), found.predict(x), found.predict(x, KEY, 9), found.verdict()


def simulators():
    toss = inference.Simulator(
        {"z": bayes.real(2)}, lambda key, s: {"z": keys.normal(key, (s, 1, 2))}, lambda key, t: t["z"].repeat(2)
    )
    for summary in (inference.summaries.Perceptron(3), inference.summaries.Exchangeable(3)):
        found, _ = inference.npe.fit(KEY, toss, 40, 0.5, summary=summary, epochs=1)
        found.draws(KEY, torch.ones(2, 4), 3), found.verdict(torch.ones(2, 4)), found.constrained(torch.ones(3, 2, 2))
    found, _ = inference.tsnpe.fit(KEY, toss, torch.zeros(1, 4), 40, 2, 0.1, inference.Learning(0.5, epochs=1), 0.0)
    found.draws(KEY, 3), found.given(), found.verdict(), found.constrained(torch.ones(3, 1, 2))
