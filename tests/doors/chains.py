"""Chains: Hamiltonian Monte Carlo, random-walk Metropolis, and whether they have mixed."""

import math

import torch

from jensen.core import keys
from jensen.estimators import diagnostics
from jensen.estimators.inference import hmc, metropolis
from tests.doors.door import KEY, also, door, only

D = 2


def total(z):
    return -z.square().sum(-1)


START = also(keys.normal(KEY, (4, D)), torch.zeros(1, D), torch.full((4, D), math.nan))
LOG_P = also(total, lambda z: z.sum(), lambda z: z, lambda z: z.sum(-1) * math.inf)
HMC = hmc.Tuning(torch.tensor(0.1), torch.tensor(0.5), torch.ones(D))
METROPOLIS = metropolis.Tuning(torch.tensor(0.1), torch.ones(D))
LENGTHS = {"steps": also(9, 0), "warm_up": also(9, 0), "target": also(0.8, 0.0, 1.0), "metric": "dense"}

ROWS = {
    "hmc.init": door(hmc.init, log_p=LOG_P, start=START),
    "hmc.update": door(
        hmc.update, state=only(hmc.init(total, torch.ones(4, D)), HMC, None), log_p=also(total, lambda z: z.sum()),
        tuning=only(HMC, METROPOLIS, 0.1, None), key=KEY, most=also(8, 0),
    ),
    "hmc.fit": door(hmc.fit, key=KEY, log_p=LOG_P, start=START, **LENGTHS, most=also(8, 0)),
    "metropolis.init": door(metropolis.init, log_p=LOG_P, start=START),
    "metropolis.update": door(
        metropolis.update, state=only(metropolis.init(total, torch.ones(4, D)), METROPOLIS, None),
        log_p=also(total, lambda z: z.sum()), tuning=only(METROPOLIS, HMC, 0.1, None), key=KEY,
    ),
    "metropolis.fit": door(metropolis.fit, key=KEY, log_p=LOG_P, start=START, **LENGTHS),
    "diagnostics.mixing": door(
        diagnostics.mixing, draws=also(keys.normal(KEY, (9, 4, D)), torch.zeros(7, 4, D), torch.zeros(9, 4))
    ),
}  # fmt: skip
