"""Posteriors from simulators."""

from functools import partial

import torch

from jensen.core import keys
from jensen.core.flows import maf
from jensen.core.models import bayes
from jensen.estimators import inference
from jensen.estimators.inference import learning, npe, summaries, tsnpe
from tests.doors.door import KEY, also, door, only

SUPPORT = {"scale": bayes.positive()}
ONE = torch.ones(8, 1)


def draw(key, s):
    return {"scale": keys.uniform(key, (s, 1)) + 0.5}


def simulate(key, theta):
    return theta["scale"] * keys.normal(key, (3, 1))[:, 0]


SIMULATOR = inference.Simulator(SUPPORT, draw, simulate)
FLOW = only(partial(maf, layers=1, hidden=(4,)), "maf", None)
SUMMARY = only(summaries.flattened, summaries.Flattened, "mean", None)
SIMULATIONS = only(SIMULATOR.simulations(KEY, 9), draw(KEY, 9), ONE, None)
QUICK = only(learning.Learning(0.5, FLOW.value, epochs=1), learning.Learning, 0.5, None)
TSNPE = {"simulator": only(SIMULATOR, simulate, draw, SUPPORT, None)}
DATA = also(torch.ones(1, 3), torch.ones(2, 3), torch.ones(1, 3) * torch.nan)
STATE = tsnpe.init(KEY, SIMULATOR, DATA.value, 12, QUICK.value)

ROWS = {
    "inference.Simulator": door(
        inference.Simulator, support=only(SUPPORT, {}, {"scale": "positive"}, None), draw=draw, simulate=simulate
    ),
    "learning.shaped_then_placed": door(learning.shaped_then_placed, key=KEY, d=also(2, 0), context=also(1, -1)),
    "npe.init": door(npe.init, key=KEY, simulations=SIMULATIONS, flow=FLOW, summary=SUMMARY),
    "npe.update": door(
        npe.update, state=only(npe.init(KEY, SIMULATIONS.value), None, "state"), simulations=SIMULATIONS,
        step_size=also(0.1, -0.1),
    ),
    "inference.Learning": door(
        inference.Learning, held_out=also(0.5, 0.0, 1.0), flow=FLOW, summary=SUMMARY, batch_size=also(4, 0),
        epochs=also(1, 0), step_size=also(0.1, 0.0), patience=also(1, 0),
    ),
    "npe.learn": door(npe.learn, key=KEY, simulations=SIMULATIONS, learning=QUICK),
    "tsnpe.init": door(tsnpe.init, key=KEY, **TSNPE, x=DATA, n=also(12, 3), learning=QUICK),
    "tsnpe.update": door(
        tsnpe.update, state=only(STATE, None, SIMULATOR), key=KEY, **TSNPE, n=also(12, 0), epsilon=also(0.1, 0.0, 1.0),
        learning=QUICK, most=also(1000, 0, 4),
    ),
    "tsnpe.fit": door(
        tsnpe.fit, key=KEY, **TSNPE, x=DATA, n=also(12, 3), rounds=also(1, 0), epsilon=also(0.1, 0.0, 1.0),
        learning=QUICK, tolerance=also(0.1, -0.1), most=also(1000, 0),
    ),
    "npe.fit": door(
        npe.fit, key=KEY, simulator=only(SIMULATOR, simulate, draw, SUPPORT, None),
        n=also(12, 3), held_out=also(0.5, 0.0, 0.1, 0.9, 1.0), flow=FLOW, summary=SUMMARY, batch_size=also(4, 0),
        epochs=also(1, 0), step_size=also(0.1, 0.0), patience=also(1, 0),
    ),
}  # fmt: skip
