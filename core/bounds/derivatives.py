"""A bound's additivity, weights and path coefficients, which gradient estimators need beside its value.

In closed form for a `contracts.Derivatives`, and by automatic differentiation for any other function of log weights.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.bounds.weights import check_log_weights
from jensen.core.checks import check_count, check_function, check_tensor, described
from jensen.core.contracts import Bound, Derivatives, can
from jensen.core.numerics import at_least_float32, drop_negligible


def additive(bound: Bound, log_w: Float[Tensor, "s n"] | int) -> bool | Bool[Tensor, ""]:
    """Whether the bound is a weighted mean of log_w with fixed weights: a sum of one term per sample.

    `log_w` gives shape, type and device, and its values are not read; a number of samples s means one datum of s. The
    ELBO is additive however it is written, and so is every bound of one sample. A `Derivatives` gives True or False. Of
    another function the gradient is compared at two fixed points of different order and size: a 0-d boolean tensor,
    for `choose`, which works under every transform.
    """
    check_bound(bound)
    if isinstance(log_w, Tensor):
        check_log_weights(log_w)
    else:
        log_w = check_count("log_w", log_w)
    if can(bound, Derivatives):
        return bound.additive or (len(log_w) if isinstance(log_w, Tensor) else log_w) == 1
    like = at_least_float32(log_w.detach()) if isinstance(log_w, Tensor) else torch.zeros(log_w, 1)
    index = torch.arange(like.numel(), dtype=like.dtype, device=like.device).reshape(like.shape)
    first = torch.sin(2 * index + 2)
    second = 1e3 * first.roll(1, 0)  # every rank goes to another sample
    slope = torch.func.grad(lambda t: checked(bound, t).sum())
    u, again = slope(first), slope(second)
    rounding = torch.finfo(like.dtype).eps ** 0.5
    same = (u - again).abs() <= rounding * u.abs().amax()
    a_mean = (u.sum(0) - 1).abs() <= rounding
    value = bound(second)
    of_the_value = (value - (u * second).sum(0)).abs() <= 1e3 * rounding
    return same.all() & a_mean.all() & of_the_value.all()


def check_bound(bound: Bound | None) -> Bound:
    """The bound; TypeError for what is no function of log weights, such as a name or a class."""
    check_function("bound", bound, "bounds.iwae")
    assert bound is not None
    return bound


def checked(bound: Bound, log_w: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
    """bound(log_w), one value per datum."""
    value = bound(log_w)
    check_value(value, log_w)
    return value


def check_value(value: Tensor, log_w: Float[Tensor, "s n"]) -> None:
    """A bound's value has one entry per datum: TypeError for what is no tensor, ValueError for other shapes."""
    check_tensor("bound(log_w)", value)
    if value.shape != log_w.shape[1:]:
        raise ValueError(
            f"expected a bound (s, n) -> (n,), got {tuple(log_w.shape)} -> {tuple(value.shape)}: "
            "reduce over samples alone, axis 0"
        )


def derivatives(bound: Bound, log_w: Float[Tensor, "s n"]) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]]:
    """(weights u, path coefficients 1 - h / u), (s, n) each.

    u = d bound / d log_w and h is the diagonal of d^2 bound / d log_w^2: what plain and doubly reparameterised
    gradients multiply a sample's path by. Half precision comes out as float32. Weights of at most `negligible` are 0,
    and so are path coefficients whose product with their weight is.
    """
    check_bound(bound)
    check_log_weights(log_w)
    u, path = bound.derivatives(log_w) if can(bound, Derivatives) else differentiated(bound, log_w)
    return drop_negligible(u), torch.where(drop_negligible(u * path) == 0, 0.0, path)


def differentiated(bound: Bound, log_w: Float[Tensor, "s n"]) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]]:
    """`derivatives` by differentiating the bound twice, with memory (s, s, n); 0 for the path where u is 0."""
    check_log_weights(log_w)
    log_w = at_least_float32(log_w)
    first = torch.func.grad(lambda log_w: checked(bound, log_w).sum())
    u = first(log_w)
    pull = torch.func.vjp(first, log_w)[1]  # of a symmetric matrix, and it compiles where jvp does not
    units = torch.eye(len(log_w), dtype=log_w.dtype, device=log_w.device)[..., None].expand(-1, -1, log_w.shape[1])
    rows = torch.func.vmap(lambda unit: pull(unit)[0])(units)
    return u, path(u, rows.diagonal(dim1=0, dim2=1).T)


def path(u: Float[Tensor, "s n"], h: Float[Tensor, "s n"]) -> Float[Tensor, "s n"]:
    """1 - h / u, and 0 where u is 0."""
    return torch.where(u == 0, 0.0, 1 - h / torch.where(u == 0, 1.0, u))


def choose(condition: bool | Bool[Tensor, ""], yes: Callable[[], Tensor], no: Callable[[], Tensor]) -> Tensor:
    """yes() or no(): one of them for a Python bool, both and `torch.where` for a tensor."""
    check_function("yes", yes, "lambda: first")
    check_function("no", no, "lambda: second")
    if isinstance(condition, bool):
        return yes() if condition else no()
    if not isinstance(condition, Tensor) or condition.dtype != torch.bool or condition.ndim:
        raise TypeError(
            f"expected condition, a bool or a 0-d tensor of one, got {described(condition)}: see `additive`"
        )
    return torch.where(condition, yes(), no())
