"""Mixtures by EM, and conjugate-exponential models by coordinate and stochastic ascent."""

import math

import torch

from jensen.core import keys
from jensen.core.models import conjugate
from jensen.estimators.inference import cavi, em, svi
from tests.doors.door import KEY, also, door, only

X = keys.normal(KEY, (12, 2))
CONSTANT, NOT_FINITE = torch.ones(12, 2), torch.full((12, 2), math.nan)
ROWS_OF_X = also(X, CONSTANT, NOT_FINITE)
DATA = em.prepare(X)
STATE = em.init(KEY, DATA, 2)
OF_EM = only(DATA, X, None, "x")
MIXTURE = conjugate.Mixture(conjugate.Shares(torch.ones(2)), conjugate.normals(X))
MODEL = only(MIXTURE, conjugate.Mixture, X, None, "mixture")
PREPARED = cavi.prepare(MIXTURE, X)
OF_MODEL = only(PREPARED, PREPARED.rows, X, None)
SWEPT, STEPPED = cavi.init(KEY, MIXTURE, PREPARED), svi.init(KEY, MIXTURE, PREPARED)
BATCHES = {"batch_size": also(4, 0), "epochs": also(1, 0), "delay": also(1.0, -1.0), "forgetting": also(0.7, 0.5, 1.1)}

ROWS = {
    "conjugate.normals": door(
        conjugate.normals, x=also(X, NOT_FINITE), strength=only(1.0, 0.0, "1", None), df=only(3.0, 1.0, "3"),
        scatter=only(torch.eye(2), -torch.eye(2), torch.eye(3), 3.0, "x"),
    ),
    "conjugate.factor_analysis": door(
        conjugate.factor_analysis, x=ROWS_OF_X, factors=also(1, 0), common_noise=True
    ),
    "conjugate.regression": door(conjugate.regression, p=also(2, 0)),
    "conjugate.log_chain": door(
        conjugate.log_chain, first=also(torch.zeros(2, 3), torch.zeros(2, 4)), steps=torch.zeros(2, 4, 3, 3)
    ),
    "cavi.prepare": door(cavi.prepare, model=MODEL, x=also(X, NOT_FINITE)),
    "cavi.init": door(cavi.init, key=KEY, model=MODEL, data=OF_MODEL),
    "cavi.update": door(cavi.update, state=only(SWEPT, PREPARED, None), model=MODEL, data=OF_MODEL),
    "cavi.fit": door(
        cavi.fit, key=KEY, model=MODEL, x=also(X, NOT_FINITE), restarts=also(1, 0), steps=also(2, 0),
        tolerance=also(0.1, -1.0),
    ),
    "cavi.posterior": door(cavi.posterior, model=MODEL, natural=only(SWEPT.natural)),
    "svi.init": door(svi.init, key=KEY, model=MODEL, data=OF_MODEL),
    "svi.update": door(
        svi.update, state=only(STEPPED, SWEPT, None), model=MODEL, data=OF_MODEL, num_data=also(12, 11),
        step_size=only(0.5, 0.0, 2.0, "1", None),
    ),
    "svi.fit": door(svi.fit, key=KEY, model=MODEL, x=also(X, NOT_FINITE), **BATCHES),
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
