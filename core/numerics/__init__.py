"""Numerics of densities: accumulation types, sums of exponentials, series, the bounded scale, root finding, steps
of differential equations."""

from jensen.core.numerics.discrete import entropy_of, kl_of_masses
from jensen.core.numerics.exponentials import (
    drop_negligible,
    log_cumulative_sum_exp,
    log_sum_exp,
    negligible,
    share,
    softmax,
)
from jensen.core.numerics.gammas import digamma_rest, log_gamma_rest, log_gamma_rest_divergence
from jensen.core.numerics.precision import at_least_float32, double, narrow
from jensen.core.numerics.roots import bisect, newton, polished
from jensen.core.numerics.runge_kutta import between_steps, rk4_step
from jensen.core.numerics.scale import bounded
from jensen.core.numerics.series import exp_less_tangent, log_ratio

__all__ = [
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
    "log_cumulative_sum_exp",
    "log_gamma_rest",
    "log_gamma_rest_divergence",
    "log_ratio",
    "log_sum_exp",
    "narrow",
    "negligible",
    "newton",
    "polished",
    "rk4_step",
    "share",
    "softmax",
]
