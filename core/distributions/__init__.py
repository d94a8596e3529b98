"""Distributions as values: NamedTuples of tensors with pure methods."""

from jensen.core.distributions.bernoulli import Bernoulli, SoftBernoulli, check_binary
from jensen.core.distributions.categorical import Categorical
from jensen.core.distributions.continuous_bernoulli import ContinuousBernoulli
from jensen.core.distributions.diag_normal import DiagNormal

__all__ = ["Bernoulli", "Categorical", "ContinuousBernoulli", "DiagNormal", "SoftBernoulli", "check_binary"]
