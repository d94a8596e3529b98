"""What is maximised when the two terms of the ELBO are not weighed alike; named terms, (n,) each, in nats per datum."""

from jensen.core.objectives.constrained import Geco, committed
from jensen.core.objectives.total_correlation import Decomposition, TcTerms, batch_weights, beta_tc, decompose
from jensen.core.objectives.weighted import (
    RateDistortion,
    Terms,
    beta,
    capacity,
    free_bits,
    rate_distortion,
)

__all__ = [
    "Decomposition",
    "Geco",
    "RateDistortion",
    "TcTerms",
    "Terms",
    "batch_weights",
    "beta",
    "beta_tc",
    "capacity",
    "committed",
    "decompose",
    "free_bits",
    "rate_distortion",
]
