"""Bounds on log p(x) as functions of log weights: log_w = log p(x, z) - log q(z | x), (s, n) -> (n,), in nats.

Bounds are frozen values, compared by type and fields: `elbo` is Renyi(1.0), `iwae` Renyi(0.0), `vr_max` Renyi(-inf).
A log weight of -inf is legal: a particle outside the support of p. Where all of a datum's particles have it, the
bound is -inf and its gradient 0. A log weight of +inf is not legal: the value is +inf or NaN, the gradient mostly NaN.
NaN propagates. Half precision is computed and returned in float32.

`derivatives` gives any bound's weights and path coefficients, `additive` whether it is the ELBO, `upper` whether it is
one from above, and `parse` the bound of a name.
"""

from jensen.core.bounds._free_bits import free_bits
from jensen.core.bounds.csiszar import Csiszar, TailAdaptive
from jensen.core.bounds.debiased import Jackknife, Sumo
from jensen.core.bounds.derivatives import additive, choose, derivatives
from jensen.core.bounds.nested import Ciwae, Miwae, piwae
from jensen.core.bounds.spelling import NAMES, parse
from jensen.core.bounds.spread import Spread
from jensen.core.bounds.thermodynamic import Tvo, linear_betas, log_betas
from jensen.core.bounds.upper import Cubo, upper
from jensen.core.bounds.weights import Renyi, elbo, iwae, leave_one_out_iwae, vr_max

__all__ = [
    "NAMES",
    "Ciwae",
    "Csiszar",
    "Cubo",
    "Jackknife",
    "Miwae",
    "Renyi",
    "Spread",
    "Sumo",
    "TailAdaptive",
    "Tvo",
    "additive",
    "choose",
    "derivatives",
    "elbo",
    "free_bits",
    "iwae",
    "leave_one_out_iwae",
    "linear_betas",
    "log_betas",
    "parse",
    "piwae",
    "upper",
    "vr_max",
]
