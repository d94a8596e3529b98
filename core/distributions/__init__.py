"""Distributions as values: NamedTuples of tensors with pure methods."""

from jensen.core.distributions.bernoulli import Bernoulli, SoftBernoulli, check_binary
from jensen.core.distributions.beta import Beta
from jensen.core.distributions.categorical import Categorical
from jensen.core.distributions.continuous_bernoulli import ContinuousBernoulli
from jensen.core.distributions.diag_normal import DiagNormal
from jensen.core.distributions.dirichlet import Dirichlet
from jensen.core.distributions.gamma import Gamma
from jensen.core.distributions.hierarchical import Hierarchical

__all__ = [
    "Bernoulli",
    "Beta",
    "Categorical",
    "ContinuousBernoulli",
    "DiagNormal",
    "Dirichlet",
    "Gamma",
    "Hierarchical",
    "SoftBernoulli",
    "check_binary",
]
