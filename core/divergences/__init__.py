"""Divergences between distributions, (n,), and between samples; in nats per datum where not said otherwise.

`generators` has the functions f of f-divergences, for `bounds.Csiszar` too.
"""

from jensen.core.divergences import generators
from jensen.core.divergences.exact import (
    alpha_divergence,
    chi2,
    f_divergence,
    forward_kl,
    jensen_shannon,
    kl_per_dimension,
    renyi,
    reverse_kl,
    squared_wasserstein2,
)
from jensen.core.divergences.samples import squared_mmd

__all__ = [
    "alpha_divergence",
    "chi2",
    "f_divergence",
    "forward_kl",
    "generators",
    "jensen_shannon",
    "kl_per_dimension",
    "renyi",
    "reverse_kl",
    "squared_mmd",
    "squared_wasserstein2",
]
