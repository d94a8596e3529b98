"""Where parameters lie, in the field's words, with the map from real numbers onto it.

    {"loc": real(), "scale": positive(), "weights": real(3), "shares": simplex(4), "cuts": ordered(2)}

A support is a setting, compared by value; what is wrong with one is said by the `Model` that gives it a name.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core import bijections
from jensen.core.checks import check_count, check_number, check_sizes, described
from jensen.core.contracts import Bijection

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Support:
    """A kind of bijection, such as `bijections.Positive`, of values whose last `event` axes it maps at once.

    free is how many real numbers make one event, and ends what the kind is made of: a lower end, an upper one, or both.
    The support of a kind of your own is one more: Support(Sphere, (3,), event=1, free=2).
    """

    kind: type[Bijection]
    shape: Shape = ()
    ends: tuple[float, ...] = ()
    event: int = 0
    free: int = 1

    @property
    def cells(self) -> Shape:
        """The leading axes, over which events are mapped one by one."""
        return self.shape[: len(self.shape) - self.event]

    @property
    def d(self) -> int:
        """How many real numbers make a value."""
        return math.prod(self.cells) * self.free

    def forward(self, z: Float[Tensor, "... d"], axes: int = 0) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """The value (..., *shape) of real numbers, and the log determinant, of each of the first `axes` axes alone."""
        z = z.reshape(*z.shape[:-1], *self.cells, self.free)
        value, log_det = self.bijection(z).forward(z)
        summed = len(self.cells) - axes
        if summed:
            log_det = log_det.flatten(log_det.ndim - summed).sum(-1)
        return value if self.event else value[..., 0], log_det

    def inverse(self, value: Float[Tensor, "..."]) -> Float[Tensor, "... d"]:
        """The real numbers of a value (..., *shape)."""
        event = value if self.event else value[..., None]
        z, _ = self.bijection(event).inverse(event)
        return z.flatten(z.ndim - 1 - len(self.cells))

    def contains(self, value: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
        """Whether each value (..., *shape) is in the set."""
        event = value if self.event else value[..., None]
        finite = event.isfinite().flatten(event.ndim - max(self.event, 1)).all(-1)
        inside = self.bijection(event).contains(event) & finite
        return inside.flatten(inside.ndim - len(self.cells)).all(-1) if self.cells else inside

    def bijection(self, like: Tensor) -> Bijection:
        """Its map, with ends in the dtype and on the device of a tensor."""
        return self.kind(*(like.new_full((), end) for end in self.ends))

    def check(self, name: str) -> None:
        """ValueError for a set that is empty or of no shape."""
        if not isinstance(self.kind, type) or not hasattr(self.kind, "contains"):
            raise TypeError(f"expected the support of {name}, of a bijection, got {described(self.kind)}: see real()")
        if any(type(size) is not int or size < 1 for size in self.shape):
            raise ValueError(f"expected the support of {name} with axes of 1 or more, got {self.shape}: give its sizes")
        if any(not math.isfinite(end) for end in self.ends):
            raise ValueError(f"expected the support of {name} with finite ends, got {self.ends}: see real and above")
        if len(self.ends) == 2 and not self.ends[0] < self.ends[1]:
            raise ValueError(
                f"expected the support of {name}, between({self.ends[0]}, {self.ends[1]}), with low < high: "
                "no number lies there"
            )
        if self.free < 1:
            raise ValueError(
                f"expected the support of {name}, {self}, with a value that varies: it has one value alone, "
                "which is no parameter"
            )

    def __str__(self) -> str:
        numbers = ", ".join(str(number) for number in (*self.ends, *self.shape))
        return f"{WORDS.get(self.kind, self.kind.__name__)}({numbers})"


def real(*shape: int) -> Support:
    """All real numbers."""
    return Support(bijections.Real, _sizes(shape))


def positive(*shape: int) -> Support:
    """Numbers above 0, by their logarithms."""
    return Support(bijections.Positive, _sizes(shape))


def above(low: float, *shape: int) -> Support:
    """Numbers above a lower end."""
    return Support(bijections.Above, _sizes(shape), (_end("low", low),))


def unit_interval(*shape: int) -> Support:
    """Numbers between 0 and 1, by their logits."""
    return Support(bijections.UnitInterval, _sizes(shape))


def between(low: float, high: float, *shape: int) -> Support:
    """Numbers between two ends."""
    return Support(bijections.Interval, _sizes(shape), (_end("low", low), _end("high", high)))


def simplex(*shape: int) -> Support:
    """Positive numbers that sum to 1 over the last axis: k of them are k - 1 shares of what is left of a stick."""
    return Support(bijections.Simplex, _sizes(shape), event=1, free=shape[-1] - 1 if shape else 0)


def ordered(*shape: int) -> Support:
    """Numbers that increase along the last axis."""
    return Support(bijections.Ordered, _sizes(shape), event=1, free=shape[-1] if shape else 0)


def correlation_cholesky(k: int) -> Support:
    """Cholesky factors of correlation matrices (k, k): k (k - 1) / 2 partial correlations."""
    k = check_count("k", k)
    return Support(bijections.CorrelationCholesky, (k, k), event=2, free=k * (k - 1) // 2)


def positive_definite(k: int) -> Support:
    """Positive definite matrices (k, k)."""
    k = check_count("k", k)
    return Support(bijections.PositiveDefinite, (k, k), event=2, free=k * (k + 1) // 2)


def _sizes(shape: tuple[int, ...]) -> Shape:
    """Whole numbers; that they are 1 or more is said by the `Model`, with the parameter's name."""
    return check_sizes("shape", shape, least=0)


def _end(name: str, end: float) -> float:
    return check_number(name, end, "[-inf, inf]")


WORDS = {
    bijections.Real: "real",
    bijections.Positive: "positive",
    bijections.Above: "above",
    bijections.UnitInterval: "unit_interval",
    bijections.Interval: "between",
    bijections.Simplex: "simplex",
    bijections.Ordered: "ordered",
    bijections.CorrelationCholesky: "correlation_cholesky",
    bijections.PositiveDefinite: "positive_definite",
}
