"""Posteriors on a grid."""

import torch

from jensen.estimators.inference import grid
from tests.doors.chains import LOG_P
from tests.doors.door import KEY, also, door, only

START = also(torch.zeros(2, 2), torch.zeros(2, 3))
BOUNDS = also([(-1.0, 1.0)] * 2, [(1.0, -1.0)] * 2, [(-1.0, 1.0)], "wide", 3)
STATE = grid.init(LOG_P.value, torch.zeros(1, 2), [(-1.0, 1.0)] * 2)

ROWS = {
    "grid.init": door(grid.init, log_p=LOG_P.value, start=START, bounds=BOUNDS),
    "grid.update": door(grid.update, state=only(STATE, STATE.low, None), log_p=LOG_P, points=also(9, 4)),
    "grid.fit": door(
        grid.fit, key=KEY, log_p=LOG_P, start=START, points=also(9, 4), bounds=BOUNDS, rounds=also(1, 0)
    ),
}  # fmt: skip
