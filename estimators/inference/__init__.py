"""Inference algorithms: State, Info, init, update and fit, in that order in each."""

from jensen.estimators.inference import svgd

__all__ = ["svgd"]
