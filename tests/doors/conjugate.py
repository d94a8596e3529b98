"""Mixtures by EM, and conjugate-exponential models by coordinate and stochastic ascent."""

import math

import torch

from jensen.core import keys
from jensen.estimators.inference import em
from tests.doors.door import KEY, also, door, only

X = keys.normal(KEY, (12, 2))
CONSTANT, NOT_FINITE = torch.ones(12, 2), torch.full((12, 2), math.nan)
ROWS_OF_X = also(X, CONSTANT, NOT_FINITE)
DATA = em.prepare(X)
STATE = em.init(KEY, DATA, 2)
OF_EM = only(DATA, X, None, "x")

ROWS = {
    "em.prepare": door(em.prepare, x=ROWS_OF_X, covariance="full", floor=also(1e-6, 0.0, 1.0)),
    "em.init": door(em.init, key=KEY, data=OF_EM, components=also(2, 0, 13)),
    "em.init_at": door(em.init_at, mixture=only(em.posterior(STATE, DATA), STATE, None), data=OF_EM),
    "em.update": door(em.update, state=only(STATE, DATA, None), data=OF_EM),
    "em.fit": door(
        em.fit, key=KEY, x=ROWS_OF_X, components=also(2, 0), covariance="full", restarts=also(1, 0),
        steps=also(3, 0), tolerance=also(0.1, -1.0), floor=also(1e-6, 0.0, 1.0),
    ),
    "em.posterior": door(em.posterior, state=only(STATE, DATA, None), data=OF_EM),
}  # fmt: skip
