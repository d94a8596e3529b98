"""Posteriors on a grid, by expectation propagation, and along quasi-Newton paths."""

import math

import torch

from jensen.estimators.inference import ep, grid, pathfinder
from tests.doors.chains import LOG_P
from tests.doors.door import KEY, also, door, only

START = also(torch.zeros(2, 2), torch.zeros(2, 3))
BOUNDS = also([(-1.0, 1.0)] * 2, [(1.0, -1.0)] * 2, [(-1.0, 1.0)], "wide", 3)
STATE = grid.init(LOG_P.value, torch.zeros(1, 2), [(-1.0, 1.0)] * 2)
POINT = also(torch.ones(2), torch.full((2,), math.nan))
PATH = pathfinder.init(LOG_P.value, torch.ones(2))
X, Y = torch.ones(3, 2), torch.tensor([0.0, 1.0, 1.0])
REGRESSION = {
    "x": also(X, torch.full((3, 2), math.nan), X.long()),
    "y": only(Y, 2 * Y, Y[:2], Y[:, None], "y", None),
    "link": also("probit", "cauchit"),
    "scale": also(1.0, 0.0),
}

ROWS = {
    "ep.init": door(ep.init, **REGRESSION),
    "ep.update": door(ep.update, state=only(ep.init(X, Y), X, None), step_size=also(0.5, 2.0)),
    "ep.fit": door(
        ep.fit, key=KEY, **REGRESSION, steps=also(2, 0), step_size=also(0.5, 2.0), tolerance=also(0.1, -1.0),
        corrected=True, samples=also(9, 1),
    ),
    "grid.init": door(grid.init, log_p=LOG_P.value, start=START, bounds=BOUNDS),
    "grid.update": door(grid.update, state=only(STATE, STATE.box, None), log_p=LOG_P, points=also(9, 4)),
    "grid.fit": door(
        grid.fit, key=KEY, log_p=LOG_P, start=START, points=also(9, 4), bounds=BOUNDS, rounds=also(1, 0)
    ),
    "pathfinder.init": door(pathfinder.init, log_p=LOG_P, start=POINT),
    "pathfinder.update": door(
        pathfinder.update, state=only(PATH, PATH.z, None), log_p=also(LOG_P.value, lambda z: z.sum()), memory=also(3, 0)
    ),
    "pathfinder.fit": door(
        pathfinder.fit, key=KEY, log_p=LOG_P, start=also(torch.ones(2, 2), torch.full((2, 2), math.nan)),
        steps=also(2, 0), memory=also(3, 0), draws=also(3, 1), tolerance=also(0.1, -1.0), samples=also(9, 1),
    ),
}  # fmt: skip
