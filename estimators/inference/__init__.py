"""Inference algorithms: State, Info, init, update and fit, in that order in each; and steps from an encoder's q.

What `fit` gives is in `fitting`. `maximum_likelihood` has no state: it is a mode and the information there; of an
exponential family that is a closed form, `exponential.maximum_likelihood`.
"""

from jensen.estimators.inference import (
    advi,
    bayes_by_backprop,
    cavi,
    curvature,
    em,
    ep,
    fitting,
    grid,
    hmc,
    iterative,
    laplace,
    metropolis,
    natural,
    network_laplace,
    npe,
    pathfinder,
    semi_amortised,
    summaries,
    svgd,
    svi,
    tsnpe,
)
from jensen.estimators.inference._maximum_likelihood import MaximumLikelihood, maximum_likelihood
from jensen.estimators.inference._overlooked import Overlooked, overlooked
from jensen.estimators.inference.amortised import Amortised
from jensen.estimators.inference.approximation import Approximation, judge
from jensen.estimators.inference.learning import Learning
from jensen.estimators.inference.network_posterior import NetworkPosterior
from jensen.estimators.inference.sequential import Sequential
from jensen.estimators.inference.simulator import Simulations, Simulator

__all__ = [
    "Amortised",
    "Approximation",
    "Learning",
    "MaximumLikelihood",
    "NetworkPosterior",
    "Overlooked",
    "Sequential",
    "Simulations",
    "Simulator",
    "advi",
    "bayes_by_backprop",
    "cavi",
    "curvature",
    "em",
    "ep",
    "fitting",
    "grid",
    "hmc",
    "iterative",
    "judge",
    "laplace",
    "maximum_likelihood",
    "metropolis",
    "natural",
    "network_laplace",
    "npe",
    "overlooked",
    "pathfinder",
    "semi_amortised",
    "summaries",
    "svgd",
    "svi",
    "tsnpe",
]
