"""Iterative amortisation (Marino et al., 2018): a network that reads the ELBO's gradients, and moves q by them.

Approximates  the q of a family with the highest ELBO for each datum, in fewer steps than gradient ascent takes
With          phi_t+1 = phi_t + sigmoid(gate) move, (gate, move) = network(phi_t, asinh(g_t)), g_t the gradient of the
              ELBO in phi_t by `stl`, at s samples of each step's own, the same for all data
Requires      a reparameterised q, built from a row of real numbers phi for each datum, as `posterior_of` builds a VAE's
Unbiased when as a bound always: q_T is a distribution, and its ELBO at fresh noise is at most log p(x) on average. Its
              gradient leaves out how the g_t that the network reads follow theta and phi, as in the paper
Cost          steps x s gradients of log_p per datum, and a pass of the network for each step
Reference     Marino et al., 2018
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_key, check_sizes
from jensen.core.contracts import Key, LogDensity
from jensen.core.nn import mlp
from jensen.core.trees import Params
from jensen.estimators.inference._ascent import Build, checked, slope


def init(key: Key, e: int, hidden: Sequence[int] = (128,), dtype: torch.dtype = torch.float32) -> Params:
    """The network's parameters, for e numbers of each datum; it starts by leaving q where it is."""
    e, hidden = check_count("e", e), check_sizes("hidden", hidden)
    params = mlp.init(key, (2 * e, *hidden, 2 * e), dtype=dtype)
    mlp.last(params)["weight"] *= 0
    return params


def refine(
    params: Params,
    log_p: LogDensity,
    build: Build,
    start: Float[Tensor, "n e"],
    key: Key,
    steps: int = 5,
    s: int = 5,
) -> Float[Tensor, "n e"]:
    """phi_T, of which build(phi_T) is q_T; differentiable in the network's parameters, and in start.

    The noise of later estimates must be another key's.
    """
    checked(log_p, build, start)
    check_key(key)
    steps, s = check_count("steps", steps, 0), check_count("s", s)
    phi = start
    for step in range(steps):
        gradient = slope(log_p, build, phi, keys.fold_in(key, step), s, differentiable=False)
        gate, move = mlp.apply(params, torch.cat([phi, torch.asinh(gradient)], -1)).chunk(2, -1)
        phi = phi + torch.sigmoid(gate) * move
    return phi
