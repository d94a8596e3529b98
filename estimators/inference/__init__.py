"""Inference algorithms: State, Info, init, update and fit, in that order in each; and steps from an encoder's q."""

from jensen.estimators.inference import iterative, semi_amortised, svgd

__all__ = ["iterative", "semi_amortised", "svgd"]
