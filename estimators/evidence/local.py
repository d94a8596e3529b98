"""A log density near one point per datum, in unconstrained coordinates: its value, slope and curvature."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core.bijections import Real, unconstrained
from jensen.core.checks import check_floating, check_function, described
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Bijection, LogDensity
from jensen.estimators.gradients.contract import density

ELEMENTS = 2**18  # of the Hessian's rows that are computed at a time


@dataclass(frozen=True, eq=False)
class Local:
    """log_p (n,) at a point (n, m), its slope (n, m), and the product of its Hessian with vectors (n, m), a function.

    The Hessian is that of each datum alone: one product gives a vector for all.
    """

    point: Float[Tensor, "n m"]
    value: Float[Tensor, " n"]
    slope: Float[Tensor, "n m"]
    times: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, log_p: LogDensity, u: Float[Tensor, "n m"]) -> "Local":
        def total(u: Tensor) -> tuple[Tensor, Tensor]:
            value = density(log_p, u[None])[0]
            return value.sum(), value

        slope, pull, value = torch.func.vjp(torch.func.grad(total, has_aux=True), u, has_aux=True)  # pyright: ignore[reportAssignmentType]
        return cls(u, value.detach(), slope.detach(), lambda vector: pull(vector)[0].detach())

    def finite(self) -> Bool[Tensor, " n"]:
        """Whether log_p and its slope are."""
        return self.value.isfinite() & self.slope.isfinite().all(-1)

    def hessian(self) -> Float[Tensor, "n m m"]:
        n, m = self.slope.shape
        units = torch.eye(m, dtype=self.slope.dtype, device=self.slope.device)[:, None].expand(m, n, m)
        rows = torch.func.vmap(self.times, chunk_size=max(1, ELEMENTS // (n * m)))(units)
        return rows.transpose(0, 1)


def in_real_coordinates(
    log_p: LogDensity, name: str, value: Tensor, bijection: Bijection | None
) -> tuple[LogDensity, Tensor, Bijection]:
    """The log density of u with value = bijection.forward(u), u (n, m) itself, NaN outside the set, and the bijection.

    TypeError and ValueError for arguments of another kind.
    """
    check_function("log_p", log_p, "lambda z: prior.log_prob(z) + likelihood(z)")
    check_floating(name, value, "n *event")
    if value.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"expected {name} in float32 or float64, got {value.dtype}: convert it with {name}.float()")
    if bijection is None:
        check_floating(name, value, "n d", "one point per datum, and give a bijection for events of other axes")
        return log_p, value.detach(), Real()
    if isinstance(bijection, type) or not isinstance(bijection, Bijection):
        raise TypeError(
            f"expected bijection, a value such as bijections.Positive(), got {described(bijection)}: pass one of "
            "jensen.core.bijections, or prior.bijection()"
        )
    value = value.detach()
    inside = bijection.contains(value)
    if inside.ndim != 1:
        raise ValueError(
            f"expected {name}, one point per datum (n, *event) of {type(bijection).__name__}, got {tuple(value.shape)}:"
            " give each datum a point of its own on the first axis"
        )
    u, _ = bijection.inverse(value)
    return unconstrained(log_p, bijection), torch.where(inside[:, None], u, torch.nan), bijection


def check_some(valid: Bool[Tensor, " n"], message: Callable[[], str]) -> None:
    """ValueError where no datum is valid: beside valid ones, others are NaN in the result, whose verdict names them."""
    if is_concrete(valid) and not valid.any():
        raise ValueError(message())
