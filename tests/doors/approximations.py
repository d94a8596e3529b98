"""Approximations by q: black-box variational inference, natural gradients, and what a q is worth."""

import torch

from jensen.core.distributions import Bernoulli, DiagNormal, FullNormal
from jensen.estimators import inference
from jensen.estimators.gradients import stl
from jensen.estimators.inference import advi, natural
from tests.doors.chains import LOG_P, START
from tests.doors.door import KEY, also, door, only

Q = DiagNormal(torch.zeros(1, 2), torch.zeros(1, 2))
OF_Q = only(Q, DiagNormal, "full", 3, torch.zeros(1, 2))
ESTIMATOR = only(stl, "stl", 3)

ROWS = {
    "advi.init": door(advi.init, q=OF_Q),
    "advi.update": door(
        advi.update, state=only(advi.init(Q), Q, None), log_p=LOG_P.value, key=KEY, step_size=also(0.1, -0.1),
        s=also(4, 0), estimator=ESTIMATOR,
    ),
    "advi.fit": door(
        advi.fit, key=KEY, log_p=LOG_P.value, start=START.value, q=only(Q, DiagNormal, "full", 3, Bernoulli(Q.loc)),
        coordinates="diagonal", adam=only(advi.Adam(steps=2), advi.Adam, 100), rounds=also(1, 0),
        tolerance=also(0.1, -0.1), samples=also(30, 1),
    ),
    "advi.Adam": door(advi.Adam, steps=also(2, 0), step_size=also(0.1, 0.0), s=also(4, 0), estimator=ESTIMATOR),
    "natural.init": door(natural.init, q=only(Q, DiagNormal, "full", 3, Bernoulli(Q.loc), FullNormal)),
    "natural.update": door(
        natural.update, state=only(natural.init(Q), Q, advi.init(Q), None), log_p=LOG_P.value, key=KEY,
        step_size=also(0.1, -0.1, 1.1), s=also(4, 0), curvature="products",
    ),
    "natural.fit": door(
        natural.fit, key=KEY, log_p=LOG_P.value, start=START.value, covariance="diagonal", curvature="products",
        rounds=also(1, 0), steps=also(2, 0), step_size=also(0.1, 0.0, 1.1), s=also(4, 0), tolerance=also(0.1, -0.1),
        samples=also(30, 1),
    ),
    "inference.judge": door(
        inference.judge, log_p=LOG_P.value, q=OF_Q, key=KEY, samples=also(30, 1), at_mode=True
    ),
    "inference.overlooked": door(
        inference.overlooked, key=KEY, log_p=LOG_P.value, draws=START.value, starts=START.value,
        log_evidence=only(torch.zeros(()), torch.zeros(1), "x", None), weights=only(None, torch.ones(2), "x"),
        samples=also(30, 1),
    ),
}  # fmt: skip
