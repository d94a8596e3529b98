"""Objectives that weigh or constrain the ELBO's reconstruction and KL: named terms, (n,) each, in nats per datum.

As functions of a reconstruction and a KL, and as values of one signature for a trainer: see `objective`.
"""

from jensen.core.objectives.constrained import Multiplier, committed, geco
from jensen.core.objectives.density_ratio import discrimination, factor, permuted
from jensen.core.objectives.objective import Objective, kl
from jensen.core.objectives.spelling import NAMES, parse
from jensen.core.objectives.terms import Terms
from jensen.core.objectives.total_correlation import Decomposition, batch_weights, beta_tc, decompose
from jensen.core.objectives.values import Beta, BetaTc, Capacity, Committed, FreeBits, Geco
from jensen.core.objectives.weighted import beta, capacity, free_bits

__all__ = [
    "NAMES",
    "Beta",
    "BetaTc",
    "Capacity",
    "Committed",
    "Decomposition",
    "FreeBits",
    "Geco",
    "Multiplier",
    "Objective",
    "Terms",
    "batch_weights",
    "beta",
    "beta_tc",
    "capacity",
    "committed",
    "decompose",
    "discrimination",
    "factor",
    "free_bits",
    "geco",
    "kl",
    "parse",
    "permuted",
]
