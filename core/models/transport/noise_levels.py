"""How much noise a diffusion adds by each step: frozen values, callable with no argument.

levels = linear(1000)        levels.kept()    # (T,): the share of the variance that is data's after steps 1 ... T
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_number


@runtime_checkable
class NoiseLevels(Protocol):
    """alpha_bar_t, decreasing in (0, 1), of steps t = 1, ..., T."""

    @property
    def steps(self) -> int: ...
    def kept(self) -> Float[Tensor, " T"]: ...


class Levels(NamedTuple):
    """By step t - 1 = 0, ..., T - 1, in float64: a_t, a_(t-1), beta_t, and v_t."""

    kept: Tensor
    before: Tensor
    beta: Tensor
    variance: Tensor


@dataclass(frozen=True)
class Linear:
    """beta_t from `first` to `last` at equal steps, and alpha_bar_t = prod_{u <= t} (1 - beta_u) (Ho et al., 2020)."""

    steps: int
    first: float
    last: float

    def kept(self) -> Float[Tensor, " T"]:
        """alpha_bar, in float64."""
        return torch.cumprod(1 - torch.linspace(self.first, self.last, self.steps, dtype=torch.float64), 0)


@dataclass(frozen=True)
class Cosine:
    """alpha_bar_t = f(t) / f(0), f(t) = cos²((t / T + s) / (1 + s) pi / 2), beta_t <= 0.999.

    Of Nichol and Dhariwal, 2021.
    """

    steps: int
    offset: float

    def kept(self) -> Float[Tensor, " T"]:
        """alpha_bar, in float64."""
        t = torch.arange(self.steps + 1, dtype=torch.float64) / self.steps
        f = torch.cos((t + self.offset) / (1 + self.offset) * math.pi / 2).square()
        return torch.cumprod(1 - (1 - f[1:] / f[:-1]).clamp_max(0.999), 0)


def linear(steps: int = 1000, first: float | None = None, last: float | None = None) -> Linear:
    """The paper's 1e-4 to 0.02 at 1,000 steps unless given; of other numbers, with about the same noise at the end."""
    steps = check_count("steps", steps, 2)
    first = check_number("first", 0.1 / steps if first is None else first, "(0, 1)")
    last = check_number("last", min(20 / steps, 0.999) if last is None else last, "(0, 1)")
    if first > last:
        raise ValueError(f"expected first of at most last, got {first} and {last}: noise grows from step to step")
    return Linear(steps, first, last)


def cosine(steps: int = 1000, offset: float = 0.008) -> Cosine:
    """More of the steps at middle levels."""
    return Cosine(check_count("steps", steps, 2), check_number("offset", offset, "[0, 1)"))
