"""What estimators of gradients share: the types, the checks, and how a value is given a gradient not its own."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from jensen.core.distributions import Bernoulli, Categorical

LogDensity = Callable[[Tensor], Tensor]  # z (s, n, d) -> (s, n)
Bound = Callable[[Tensor], Tensor]  # log_w (s, n) -> (n,)


def density(log_p: LogDensity, z: Float[Tensor, "s n *d"]) -> Float[Tensor, "s n"]:
    """log_p(z), checked to be one value per sample and datum."""
    value = log_p(z)
    check_density(value, z.shape[:2])
    return value


def carry(surrogate: Tensor) -> Tensor:
    """Zero, bit for bit, with the surrogate's gradient: value + carry(surrogate) equals the value.

    Where the surrogate is infinite, as a bound of -inf or the logit of what is impossible, there is no gradient.
    """
    surrogate = torch.where(surrogate.abs() == torch.inf, 0.0, surrogate)
    return surrogate - surrogate.detach()


def difference(first: Float[Tensor, "..."], second: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """first - second of log weights, and 0 where either is -inf: what is outside the support sends no signal."""
    return torch.where((first == -torch.inf) | (second == -torch.inf), 0.0, first - second)


def scaled(z: Float[Tensor, "s n *d"], weights: Float[Tensor, "s n"]) -> Float[Tensor, "s n *d"]:
    """z, bit for bit, with its gradient multiplied by a weight per sample."""
    return z.detach() + (over_events(weights.detach(), z) * carry(z)).to(z.dtype)


def weighted(weights: Float[Tensor, "s n"], log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
    """sum_s weights log_w, where a weight of 0 leaves out even a log weight of -inf; else -inf has gradient 0."""
    dead = log_w == -torch.inf
    total = (weights * torch.where(dead | (weights == 0), 0.0, log_w)).sum(0)
    return torch.where((dead & (weights > 0)).any(0), -torch.inf, total)


def over_events(weights: Shaped[Tensor, "s n"], z: Float[Tensor, "s n *d"]) -> Tensor:
    """One value per sample and datum, shaped to multiply z."""
    return weights.reshape(*weights.shape, *[1] * (z.ndim - 2))


def event_sum(t: Float[Tensor, "s n *d"]) -> Float[Tensor, "s n"]:
    """The sum over event axes."""
    return t.flatten(2).sum(-1)


def check_density(value: Tensor, shape: torch.Size) -> None:
    if value.shape != shape:
        raise ValueError(
            f"expected a log density {tuple(shape)}, one value per sample and datum, got {tuple(value.shape)}: "
            "sum over event axes, and over no other"
        )


def require_path(q: Any) -> None:
    if not q.reparameterised:
        enumerate_it = ", or enumerate q.support()" if hasattr(q, "support") else ""
        raise TypeError(
            f"pathwise gradients need a reparameterised q, and {type(q).__name__} is discrete: "
            f"use a score-function estimator{enumerate_it}"
        )


def check_bound(bound: Bound) -> None:
    if isinstance(bound, type) or not callable(bound):
        raise TypeError(f"expected a bound, such as bounds.iwae or bounds.Renyi(0.5), got {bound!r}")


def require_discrete(name: str, q: Any) -> None:
    if not isinstance(q, Bernoulli | Categorical):
        raise TypeError(
            f"{name} needs a Bernoulli or categorical q, got {type(q).__name__}: "
            + ("use pathwise, stl or dreg" if q.reparameterised else "use score with a baseline")
        )


def require_bernoulli(name: str, q: Any) -> None:
    if not isinstance(q, Bernoulli):
        alternative = "arsm" if isinstance(q, Categorical) else "pathwise" if q.reparameterised else "score"
        raise TypeError(f"{name} needs a Bernoulli q, got {type(q).__name__}: use {alternative}")
