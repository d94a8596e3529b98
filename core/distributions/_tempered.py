"""q^(1 / T), normalised: flatter than q for a temperature T > 1, steeper for T < 1, q itself at T = 1."""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_distribution, check_floating, check_number, described
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Distribution, Temperable, can


def tempered(q: Distribution, temperature: float | Tensor) -> Distribution:
    """The distribution proportional to q^(1 / temperature), for a `Temperable` q; differentiable in the temperature.

    temperature: above 0, one for all data or a tensor (n,). Where the power has no finite integral, as that of a heavy
    tail at a high temperature, ValueError. TypeError for a q whose power has no closed form.
    """
    check_distribution("q", q)
    if not can(q, Temperable):
        raise TypeError(
            f"expected q with a closed form of q^(1 / T), got {described(q)}: "
            "weight samples of q by exp((1 / T - 1) log q), as self-normalised importance sampling does"
        )
    if not isinstance(temperature, Tensor):
        return q.tempered(check_number("temperature", temperature, "(0, inf)"))
    check_floating("temperature", temperature)
    if is_concrete(temperature) and not (temperature > 0).all():
        raise ValueError(f"expected temperature above 0, got {temperature.min().item():.4g}: pass its exponential")
    return q.tempered(temperature)


def like_field(temperature: float | Tensor, field: Float[Tensor, "*n d"]) -> Tensor:
    """The temperature in float64, with an axis for the components of a field (n, d)."""
    t = torch.as_tensor(temperature, dtype=torch.float64, device=field.device)
    n = field.shape[-2] if field.ndim > 1 else 1
    if t.ndim > 1 or (t.ndim and len(t) not in (1, n)):
        raise ValueError(f"expected temperature ({n},), got {tuple(t.shape)}: one for each datum, or for all")
    return t[..., None]


def powered(exponent: Float[Tensor, "..."], temperature: Tensor, like: Tensor, name: str) -> Float[Tensor, "..."]:
    """An exponent that is to be above 0, in the field's type; ValueError where the power cannot be normalised."""
    if is_concrete(exponent) and is_concrete(temperature) and (exponent <= 0).any():
        hottest, least = temperature.max().item(), exponent.min().item()
        raise ValueError(
            f"expected a temperature at which q^(1 / T) has a finite integral, got {hottest:.4g}, whose {name} would "
            f"be {least:.4g}: choose one nearer to 1"
        )
    return exponent.to(like.dtype)
