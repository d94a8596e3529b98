"""Divergences between distributions, (n,), and between samples. Where it is one, the unit is nats per datum.

`generators` holds the functions f of f-divergences; `bounds.Csiszar` takes them too.
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
)
from jensen.core.divergences.samples import squared_mmd
from jensen.core.divergences.transport import squared_wasserstein2

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
