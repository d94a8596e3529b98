"""Estimators of log p(x)."""

import torch

from jensen.core import flows, keys
from jensen.core.distributions import DiagNormal, FullNormal, Pushforward
from jensen.estimators import diagnostics, evidence

KEY = keys.key(0)
NORMAL = DiagNormal(torch.zeros(5, 3), torch.zeros(5, 3))
WIDE = DiagNormal(torch.zeros(5, 3), torch.full((5, 3), 0.1))
FLOW = Pushforward(WIDE, flows.real_nvp(KEY, 3, 2, n=5))
SHORT = evidence.Hamiltonian(leapfrog=1)
evidence.exploration.WIDE, evidence.exploration.CLIMB = SHORT, 2  # the same calls, and fewer of them


def along_paths():
    for q in (WIDE, FLOW):
        annealed = evidence.annealed_importance(NORMAL.log_prob, q, KEY, 4, evidence.linear(2), SHORT)
        evidence.bdmc(NORMAL.log_prob, q, NORMAL.sample(NORMAL.noise(KEY, 1)), KEY, 4, evidence.sigmoidal(2), SHORT)
        evidence.smc(NORMAL.log_prob, q, KEY, 40, ess=0.5, move=SHORT, repeats=1)
    evidence.bayes_factor(annealed, annealed), evidence.posterior_probabilities([annealed, annealed])


def of_draws():
    for q in (WIDE, FullNormal.from_diagonal(WIDE), FLOW):
        draws = q.sample(q.noise(KEY, 40))
        evidence.bridge(NORMAL.log_prob, q, draws, KEY, 40), evidence.harmonic(NORMAL.log_prob, q, draws)
        diagnostics.inference_gaps(NORMAL.log_prob, q, torch.zeros(5), KEY, steps=2, samples=4).verdict()


def at_modes():
    evidence.laplace(NORMAL.log_prob, evidence.find_mode(NORMAL.log_prob, torch.ones(5, 3)).z)


def tails():
    evidence.fit_pareto(keys.normal(KEY, (100, 5)).exp().sort(0, descending=True).values)
