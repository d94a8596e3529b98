"""What a bound weighs its particles by: its first derivative, and what a doubly reparameterised path needs."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.bounds.nested import Miwae
from jensen.core.bounds.upper import Cubo
from jensen.core.bounds.weights import Renyi, check_log_weights, elbo, iwae
from jensen.core.ops.log_scale import at_least_float32


def slopes(
    bound: Callable[[Tensor], Tensor], log_w: Float[Tensor, "s n"]
) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]]:
    """(u, 1 - h / u), (s, n) each: u = d bound / d log_w, h the diagonal of d^2 bound / d log_w^2.

    The second is alpha + (1 - alpha) u for `elbo`, `iwae` and `Renyi`, n u - (n - 1) for `Cubo`, and m u for `Miwae`,
    in closed form; it is differentiated for others, with memory (s, s, n).
    """
    check_log_weights(log_w)
    log_w = at_least_float32(log_w)
    first = torch.func.grad(lambda log_w: bound(log_w).sum())
    u = first(log_w)
    if isinstance(bound, Miwae):
        return u, bound.m * u
    if bound is elbo or bound is iwae or isinstance(bound, Renyi | Cubo):
        alpha = _alpha(bound)
        return u, alpha + (1 - alpha) * u
    pull = torch.func.vjp(first, log_w)[1]  # of a symmetric matrix, and it compiles where jvp does not
    units = torch.eye(len(log_w), dtype=log_w.dtype, device=log_w.device)[..., None].expand(-1, -1, log_w.shape[1])
    rows = torch.func.vmap(lambda unit: pull(unit)[0])(units)
    h = rows.diagonal(dim1=0, dim2=1).T
    return u, torch.where(u == 0, 0.0, 1 - h / torch.where(u == 0, 1.0, u))


def _alpha(bound: Callable[[Tensor], Tensor]) -> float:
    """Where the bound stands in Renyi's family."""
    if isinstance(bound, Renyi):
        return bound.alpha
    return 1 - bound.n if isinstance(bound, Cubo) else float(bound is elbo)
