"""Bounds on log p(x) as functions of log weights: log_w = log p(x, z) - log q(z | x), (s, n) -> (n,), in nats.

A log weight of -inf is legal: a particle outside the support of p. Where all of a datum's particles have it, the
bound is -inf and its gradient 0. A log weight of +inf is not legal: the value is +inf or NaN, the gradient mostly NaN.
NaN is never hidden. Half precision is computed and returned in float32.
`slopes` gives any bound's weights, d bound / d log_w.
"""

from jensen.core.bounds.csiszar import Csiszar, TailAdaptive
from jensen.core.bounds.debiased import Jackknife, Sumo
from jensen.core.bounds.free_bits import free_bits
from jensen.core.bounds.nested import Ciwae, Miwae, piwae
from jensen.core.bounds.slopes import slopes
from jensen.core.bounds.thermodynamic import Tvo, linear_betas, log_betas
from jensen.core.bounds.upper import Cubo
from jensen.core.bounds.weights import Renyi, elbo, iwae, leave_one_out_iwae, vr_max

__all__ = [
    "Ciwae",
    "Csiszar",
    "Cubo",
    "Jackknife",
    "Miwae",
    "Renyi",
    "Sumo",
    "TailAdaptive",
    "Tvo",
    "elbo",
    "free_bits",
    "iwae",
    "leave_one_out_iwae",
    "linear_betas",
    "log_betas",
    "piwae",
    "slopes",
    "vr_max",
]
