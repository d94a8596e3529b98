"""Numerics of densities, each in one form that every density uses.

Accumulation types, sums of exponentials, series, tails, lengths, the bounded scale, root finding, and steps of
differential equations.
"""

from jensen.core.numerics.discrete import entropy_of, kl_of_masses
from jensen.core.numerics.exponentials import (
    drop_negligible,
    log_add_exp,
    log_cumulative_sum_exp,
    log_sum_exp,
    negligible,
    share,
    softmax,
    softplus,
)
from jensen.core.numerics.gammas import digamma_rest, log_gamma_rest, log_gamma_rest_divergence
from jensen.core.numerics.lengths import length, size
from jensen.core.numerics.normal_tails import HALF_LOG_2PI, log_normal_cdf, log_normal_cdf_rest, normal_cdf
from jensen.core.numerics.precision import at_least_float32, double, narrow
from jensen.core.numerics.roots import bisect, newton, polished
from jensen.core.numerics.runge_kutta import between_steps, rk4_step
from jensen.core.numerics.scale import bounded
from jensen.core.numerics.series import exp_less_tangent, log_ratio

__all__ = [
    "HALF_LOG_2PI",
    "at_least_float32",
    "between_steps",
    "bisect",
    "bounded",
    "digamma_rest",
    "double",
    "drop_negligible",
    "entropy_of",
    "exp_less_tangent",
    "kl_of_masses",
    "length",
    "log_add_exp",
    "log_cumulative_sum_exp",
    "log_gamma_rest",
    "log_gamma_rest_divergence",
    "log_normal_cdf",
    "log_normal_cdf_rest",
    "log_ratio",
    "log_sum_exp",
    "narrow",
    "negligible",
    "newton",
    "normal_cdf",
    "polished",
    "rk4_step",
    "share",
    "size",
    "softmax",
    "softplus",
]
