"""Inference algorithms: State, Info, init, update and fit, in that order in each; and steps from an encoder's q.

`maximum_likelihood` has no state: it is a mode and the information there.
"""

from jensen.estimators.inference import iterative, semi_amortised, svgd
from jensen.estimators.inference._maximum_likelihood import MaximumLikelihood, maximum_likelihood

__all__ = ["MaximumLikelihood", "iterative", "maximum_likelihood", "semi_amortised", "svgd"]
