"""Estimators of the evidence."""

import math
from functools import partial

import torch

from jensen.core import bijections, keys
from jensen.core.distributions import Bernoulli, DiagNormal
from jensen.estimators import evidence, inference
from tests.doors.door import KEY, Free, also, door, only

N, D = 2, 2
NORMAL = DiagNormal(torch.zeros(N, D), torch.zeros(N, D))
BINARY = Bernoulli(torch.zeros(N, D))
Z = NORMAL.sample(NORMAL.noise(KEY, 40))
DRAWN = only(Z, Z.numpy(), Z.long(), Z[0, 0], "x")
BETAS = evidence.linear(2)
ESTIMATE = evidence.Evidence(*evidence.importance(NORMAL.log_prob, NORMAL, KEY, 40))
WEIGHTS = keys.normal(KEY, (40, N)).exp().sort(0, descending=True).values
LOG_P = also(NORMAL.log_prob, lambda z: z.sum(), lambda z: z, lambda z: 3.0)
Q = also(NORMAL, BINARY)
WRONG_MOVES = ({"metric": "full"}, {"leapfrog": 0}, {"target": 2.0}, {"jitter": -1.0})
MOVE = only(evidence.hmc, "hmc", None, 3, *(evidence.hmc._replace(**wrong) for wrong in WRONG_MOVES))
CHUNK = also(8, 0)
SCHEDULE = also(BETAS, BETAS[:1], BETAS.flip(0), BETAS + 0.5, BETAS * math.nan)
BIJECTION = only(None, 3, "Positive", bijections.Positive)

ROWS = {
    "evidence.importance": door(evidence.importance, log_p=LOG_P, q=NORMAL, key=KEY, k=also(40, 0), chunk=CHUNK),
    "evidence.draw": door(evidence.draw, log_p=LOG_P, q=NORMAL, s=also(4, 0), key=KEY),
    "evidence.draw_at": door(evidence.draw_at, log_p=LOG_P, q=NORMAL, z=Free(Z)),
    "evidence.from_log_weights": door(
        evidence.from_log_weights,
        log_weights=also(partial(evidence.draw, NORMAL.log_prob, NORMAL, 4), lambda key: 3.0, lambda key: key),
        key=KEY, k=also(8, 0),
    ),
    "evidence.annealed_importance": door(
        evidence.annealed_importance, log_p=LOG_P, q=Q, key=KEY, k=also(4, 0), schedule=SCHEDULE,
        move=MOVE, repeats=also(1, 0), chunk=CHUNK,
    ),
    "evidence.smc": door(
        evidence.smc, log_p=LOG_P, q=Q, key=KEY, k=also(40, 0, 39), islands=also(4, 0), ess=also(0.9, 0.0, 1.0),
        move=MOVE, repeats=also(1, 0), most=also(100, 0),
    ),
    "evidence.bdmc": door(
        evidence.bdmc, log_p=LOG_P, q=Q, z=also(Z[:1], Z), key=KEY, k=also(4, 0), schedule=SCHEDULE,
        move=MOVE, repeats=also(1, 0), chunk=CHUNK,
    ),
    "evidence.bridge": door(
        evidence.bridge, log_p=LOG_P, q=NORMAL, z=DRAWN, key=KEY, k=also(40, 0), chunk=CHUNK,
    ),
    "evidence.from_log_ratios": door(
        evidence.from_log_ratios, posterior=torch.zeros(9, N), proposal=also(torch.zeros(8, N), torch.zeros(8, 3))
    ),
    "evidence.harmonic": door(evidence.harmonic, log_p=LOG_P, q=NORMAL, z=DRAWN),
    "inference.maximum_likelihood": door(
        inference.maximum_likelihood, log_p=LOG_P, start=also(torch.zeros(N, D), torch.full((N, D), math.nan)),
        bijection=BIJECTION, steps=also(5, 0),
    ),
    "evidence.find_mode": door(
        evidence.find_mode, log_p=LOG_P, z=also(torch.zeros(N, D), torch.full((N, D), math.nan)), bijection=BIJECTION,
        steps=also(5, 0), tolerance=also(1e-3, -1.0, math.inf),
    ),
    "evidence.laplace": door(
        evidence.laplace, log_p=LOG_P, mode=also(torch.zeros(N, D), torch.full((N, D), math.nan)), bijection=BIJECTION,
        tolerance=also(1e-3, -1.0),
    ),
    "evidence.bayes_factor": door(
        evidence.bayes_factor, first=only(ESTIMATE, 3, ESTIMATE.log_p), second=only(ESTIMATE, 3, ESTIMATE.log_p)
    ),
    "evidence.posterior_probabilities": door(
        evidence.posterior_probabilities, **{"models?": only([ESTIMATE, ESTIMATE], [], 3, ESTIMATE, [3, 4])},
        log_prior=only(torch.zeros(2), torch.zeros(3), torch.zeros(2).numpy(), torch.zeros(2).long(), 3),
    ),
    "evidence.bic": door(evidence.bic, log_likelihood=Free(torch.zeros(N)), parameters=3, observations=also(9, 0)),
    "evidence.fit_pareto": door(evidence.fit_pareto, x=WEIGHTS),
    "evidence.pareto_quantile": door(
        evidence.pareto_quantile, p=Free(torch.full((N,), 0.5)), k=Free(torch.zeros(N)), sigma=Free(torch.ones(N))
    ),
    "evidence.smooth_tail": door(evidence.smooth_tail, largest=WEIGHTS),
    "evidence.tail_size": door(evidence.tail_size, s=also(40, 0)),
    "evidence.systematic": door(evidence.systematic, log_w=torch.zeros(2, 5, N), key=KEY),
    "evidence.linear": door(evidence.linear, t=also(4, 0)),
    "evidence.sigmoidal": door(evidence.sigmoidal, t=also(4, 0), delta=also(4.0, 0.0, -1.0)),
}  # fmt: skip
