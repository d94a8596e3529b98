"""Estimators of a bound's gradient: `estimator(log_p, q, noise, *, bound=...) -> (n,)`.

The value is the bound in nats per datum; its gradient is the estimate, in theta, the parameters of log_p, and in phi,
those of q.
"""

from jensen.estimators.gradients import baselines, catalogue
from jensen.estimators.gradients._dreg import dreg
from jensen.estimators.gradients._measure_valued import measure_valued
from jensen.estimators.gradients._mixed import mixed
from jensen.estimators.gradients._pathwise import analytic_kl, log_weights, pathwise, stl
from jensen.estimators.gradients._score import muprop, score, vargrad
from jensen.estimators.gradients.antithetic import arm, arsm, disarm
from jensen.estimators.gradients.control_variates import rebar, relax, relaxed_density, second_moment
from jensen.estimators.gradients.enumeration import exact, sum_and_sample
from jensen.estimators.gradients.local import local_reparameterisation
from jensen.estimators.gradients.relaxation import concrete, gumbel_straight_through, straight_through
from jensen.estimators.gradients.wake_sleep import sleep_phi, wake, wake_phi, wake_theta

__all__ = [
    "analytic_kl",
    "arm",
    "arsm",
    "baselines",
    "catalogue",
    "concrete",
    "disarm",
    "dreg",
    "exact",
    "gumbel_straight_through",
    "local_reparameterisation",
    "log_weights",
    "measure_valued",
    "mixed",
    "muprop",
    "pathwise",
    "rebar",
    "relax",
    "relaxed_density",
    "score",
    "second_moment",
    "sleep_phi",
    "stl",
    "straight_through",
    "sum_and_sample",
    "vargrad",
    "wake",
    "wake_phi",
    "wake_theta",
]
