"""What estimators of gradients share: checked calls, surrogates, and arithmetic on log weights of -inf."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from jensen.core import bounds, trees
from jensen.core.bounds.derivatives import checked
from jensen.core.checks import check_floating, check_function
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Bound, Derivatives, Distribution, Event, LogDensity, Noise, Scored, can
from jensen.core.distributions import sample_and_log_prob
from jensen.core.trees import Tree


def density(log_p: LogDensity, z: Event, name: str = "log_p") -> Float[Tensor, "s n"]:
    """log_p(z), checked to be one value per sample and datum."""
    check_function(name, log_p, "partial(model.log_joint, params, x)")
    value = log_p(z)
    check_density(value, first(z).shape[:2], f"{name}(z)")
    return value


def check_density(value: Tensor, shape: torch.Size, name: str = "log_p(z)") -> None:
    """One value per sample and datum, of this shape (s, n)."""
    check_floating(name, value)
    if value.shape != shape:
        raise ValueError(
            f"expected {name} {tuple(shape)}, one value per sample and datum, got {tuple(value.shape)}: "
            "sum over event axes, and over no other"
        )


def sample_with_density(q: Distribution, noise: Noise) -> tuple[Event, Float[Tensor, "s n"]]:
    """z = q.sample(noise) and q.log_prob(z), differentiable in q's parameters through both."""
    z, log_q = sample_and_log_prob(q, noise)
    return z, checked_density(log_q, z)


def sample_with_path(q: Distribution, noise: Noise) -> tuple[Event, Callable[[Event], Float[Tensor, "s n"]]]:
    """z = q.sample(noise), and log q as a function of that z with its parameters detached, of no second derivative.

    The function may be called at z alone, attached to whatever; of a `Scored` q it is no inverse.
    """
    if not can(q, Scored):
        return q.sample(noise), partial(log_q_at, trees.stop(q))
    z, log_q, score = q.sample_and_score(noise)
    return z, lambda z: checked_density(log_q.detach() + carry(_product(score, z)), z)


def sample_with_score(q: Distribution, noise: Noise) -> tuple[Event, Float[Tensor, "s n"]]:
    """z = q.sample(noise), detached, and q.log_prob(z), differentiable in q's parameters for this z."""
    if not can(q, Scored):
        z = trees.stop(q.sample(noise))
        return z, log_q_at(q, z)
    z, log_q, score = q.sample_and_score(noise)
    return trees.stop(z), checked_density(log_q - carry(_product(score, z)), z)


def log_q_at(q: Distribution, z: Event) -> Float[Tensor, "s n"]:
    """q.log_prob(z), checked before log_p is called to be of samples (s, n)."""
    return checked_density(q.log_prob(z), z)


def checked_density(log_q: Tensor, z: Event) -> Float[Tensor, "s n"]:
    """log_q, of samples (s, n)."""
    if log_q.ndim != 2:
        shape = tuple(first(z).shape)
        raise ValueError(
            f"expected z (s, n, *event) of noise, got {shape} with log_prob {tuple(log_q.shape)}: draw q.noise(key, s)"
        )
    return log_q


def log_ratio(log_p: LogDensity, q: Distribution, z: Event) -> Float[Tensor, "s n"]:
    """log_p(z) - q.log_prob(z), the log weights of z."""
    log_q = log_q_at(q, z)
    return density(log_p, z) - log_q


def sizes(noise: Noise) -> tuple[int, int]:
    """s and n of noise, (s, n, ...)."""
    t = first(noise)
    check_floating("noise", t, "s n *event", "draw q.noise(key, s)")
    return t.shape[0], t.shape[1]


def first(tree: Tree) -> Tensor:
    """The first tensor of noise or of an event, which have the others' leading axes."""
    return tree if isinstance(tree, Tensor) else next(iter(trees.leaves(tree)), tree)


def apply_bound(bound: Bound, log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
    """bound(log_w), checked to be one value per datum, independent of the other data: ValueError.

    The independence of a bound that is no `Derivatives` is tested at two fixed points, in eager mode alone.
    """
    value = checked(bound, log_w)
    if not torch.compiler.is_compiling():
        check_independent(bound, log_w)
    return value


def check_independent(bound: Bound, log_w: Float[Tensor, "s n"]) -> None:
    """ValueError for a bound of one datum that changes with the log weights of others; of log_w the shape is read."""
    if can(bound, Derivatives) or log_w.shape[1] < 2:
        return
    index = torch.arange(log_w.numel(), dtype=log_w.dtype, device=log_w.device).reshape(log_w.shape)
    point = torch.sin(index)
    together, apart = bound(point)[0], bound(torch.cat([point[:, :1], point[:, 1:] - 1], 1))[0]
    if is_concrete(together) and not torch.isclose(together, apart, equal_nan=True):
        raise ValueError("expected a bound (s, n) -> (n,), got one that mixes data: reduce over samples alone, axis 0")


def additive(bound: Bound, log_w: Float[Tensor, "s n"]) -> bool | Bool[Tensor, ""]:
    """`bounds.additive`, as a bool where it can be read: then nothing is computed for the other case."""
    known = bounds.additive(bound, log_w)
    return bool(known) if isinstance(known, Tensor) and is_concrete(known) else known


def shares(bound: Bound, log_w: Float[Tensor, "s n"]) -> Float[Tensor, "s n"]:
    """The fixed weights of an additive bound, 1 / s for the ELBO.

    NaN for a bound that is not additive, which under torch.compile `catalogue.check` cannot refuse.
    """
    fixed = bounds.derivatives(bound, torch.zeros_like(log_w.detach()))[0]
    return bounds.choose(bounds.additive(bound, log_w), lambda: fixed, lambda: torch.full_like(fixed, torch.nan))


def carry(surrogate: Tensor) -> Tensor:
    """Exactly zero, with the surrogate's gradient: value + carry(surrogate) has the bits of value.

    An infinite surrogate has no gradient, as for a bound of -inf, or a logit of a value of probability 0.
    """
    surrogate = torch.where(surrogate.abs() == torch.inf, 0.0, surrogate)
    return surrogate - surrogate.detach()


def difference(first: Float[Tensor, "..."], second: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """first - second of log weights, and 0 where either is -inf: such a particle contributes no gradient."""
    return torch.where((first == -torch.inf) | (second == -torch.inf), 0.0, first - second)


def weighted(weights: Float[Tensor, "s n"], log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
    """sum_s weights log_w with 0 times -inf = 0; -inf where a positive weight meets -inf, with gradient 0 there."""
    outside = log_w == -torch.inf
    total = (weights * torch.where(outside | (weights == 0), 0.0, log_w)).sum(0)
    return torch.where((outside & (weights > 0)).any(0), -torch.inf, total)


def over_events(t: Shaped[Tensor, "#s n"], z: Shaped[Tensor, "s n *d"]) -> Tensor:
    """One value of any type per sample, or for all of them, and datum, with as many axes as z."""
    return t.reshape(*t.shape, *[1] * (z.ndim - 2))


def event_sum(t: Float[Tensor, "s n *d"]) -> Float[Tensor, "s n"]:
    """The sum over event axes."""
    return t.flatten(2).sum(-1)


def _product(score: Event, z: Event) -> Tensor:
    """score . z over all of an event, (s, n)."""
    parts = zip(trees.leaves(score), trees.leaves(z), strict=True)
    return torch.stack([event_sum(s * t) for s, t in parts]).sum(0)
