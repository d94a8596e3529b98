"""The geometric path of densities from q to the joint density p, and schedules along it.

Invariant     log f_beta(z) = (1 - beta) log q(z) + beta log p(x, z), beta in [0, 1]: exact draws at beta = 0
Requires      a continuous z; q > 0 wherever p(x, z) > 0
Coordinates   particles are real numbers u, with z = value of u by the bijection onto q's support, where it has one, and
              the densities are those of u: q(z) |dz / du| and p(x, z) |dz / du|. So no move leaves the support of q
Cost          one evaluation and one gradient of log_p and of q per point, for all beta
Reference     Gelman and Meng, 1998; Neal, 2001; Grosse et al., 2015, for the sigmoidal schedule
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import trees
from jensen.core.bijections import unconstrained
from jensen.core.checks import check_count, check_distribution, check_function, check_number
from jensen.core.contracts import Bijection, Constrained, Distribution, Enumerable, Event, LogDensity, can
from jensen.estimators.evidence.local import Local
from jensen.estimators.gradients.contract import check_density, over_events


class Point(NamedTuple):
    """Particles with log q, log p and their slopes, of which log f_beta is a mixture for every beta."""

    u: Float[Tensor, "s n *d"]
    log_q: Float[Tensor, "s n"]
    log_p: Float[Tensor, "s n"]
    slope_q: Float[Tensor, "s n *d"]  # d log q / du
    slope_p: Float[Tensor, "s n *d"]

    def split(self, size: int) -> "Iterator[tuple[int, Point]]":
        """Parts of `size` particles, each with the index of its first."""
        for start in range(0, len(self.u), size):
            yield start, Point(*(t[start : start + size] for t in self))

    @classmethod
    def joined(cls, parts: "Iterable[Point]") -> "Point":
        return cls(*(torch.cat(t) for t in zip(*parts, strict=True)))

    def log_ratio(self) -> Float[Tensor, "s n"]:
        """d log f_beta / d beta = log p - log q, the change of a log weight per unit of beta."""
        return self.log_p - self.log_q

    def log_density(self, beta: Tensor) -> Float[Tensor, "s n"]:
        """log f_beta, for beta 0-d, (n,) or (s, n)."""
        return _mix(beta, self.log_q, self.log_p)

    def slope(self, beta: Tensor) -> Float[Tensor, "s n *d"]:
        """d log f_beta / du."""
        return _mix(over_events(beta.expand_as(self.log_q), self.u), self.slope_q, self.slope_p)


class Geometric(NamedTuple):
    """log f_beta = (1 - beta) log q + beta log_p, for log_p: z (s, n, *d) -> (s, n) and a q of one row per datum.

    With the model's prior for q it tempers the likelihood; from the encoder's posterior the path is shorter.
    """

    q: Distribution
    log_p: LogDensity
    bijection: Bijection | None

    @classmethod
    def of(cls, log_p: LogDensity, q: Distribution) -> "Geometric":
        """The path from q, detached. TypeError for a discrete q."""
        check_function("log_p", log_p, "partial(model.log_joint, params, x)")
        check_distribution("q", q)
        if not q.reparameterised:
            raise TypeError(
                f"expected a continuous q, as annealing moves z along gradients, got {type(q).__name__}: use importance"
                + (", or sum over q.support()" if can(q, Enumerable) else "")
            )
        q = trees.stop(q)
        return cls(q, log_p, q.bijection() if can(q, Constrained) else None)

    def start(self, key: Tensor, s: int) -> Point:
        """s draws of q, which are exact draws at beta = 0."""
        return self.of_values(self.q.sample(self.q.noise(key, s)))

    def of_values(self, z: Event) -> Point:
        """Particles at z, detached."""
        return self.at(z if self.bijection is None else self.bijection.inverse(trees.stop(z))[0])

    def values(self, u: Float[Tensor, "s n *d"]) -> Event:
        """z of particles at u."""
        return u if self.bijection is None else self.bijection.forward(u)[0]

    def at(self, u: Float[Tensor, "s n *d"]) -> Point:
        """Particles at u, detached."""
        u = u.detach()
        log_q, slope_q = _value_and_slope(self._of_u(self.q.log_prob), u)
        log_p, slope_p = _value_and_slope(self._of_u(self.log_p), u)
        return Point(u, log_q, log_p, slope_q, slope_p)

    def hessian(self, u: Float[Tensor, "n d"]) -> Float[Tensor, "n d d"]:
        """Of log p in u."""
        return Local.of(self._of_u(self.log_p), u).hessian()

    def _of_u(self, log_density: LogDensity) -> LogDensity:
        return log_density if self.bijection is None else unconstrained(log_density, self.bijection)


def linear(t: int, dtype: torch.dtype = torch.float64) -> Float[Tensor, " m"]:
    """beta_i = i / t for i = 0 … t: (t + 1,)."""
    t = check_count("t", t)
    return torch.arange(t + 1, dtype=dtype) / t


def sigmoidal(t: int, delta: float = 4.0, dtype: torch.dtype = torch.float64) -> Float[Tensor, " m"]:
    """beta_i = (b_i - b_0) / (b_t - b_0), b_i = sigmoid(delta (2 i / t - 1)): slow at both ends: (t + 1,)."""
    t = check_count("t", t)
    delta = check_number("delta", delta, "(0, inf)", "as it falls to 0 the schedule becomes linear")
    b = torch.sigmoid(delta * (2 * torch.arange(t + 1, dtype=dtype) / t - 1))
    return (b - b[0]) / (b[-1] - b[0])


def check_schedule(schedule: Tensor) -> None:
    """ValueError unless a schedule is a vector that rises from exactly 0 to exactly 1; TypeError for no tensor."""
    if not isinstance(schedule, Tensor):
        raise TypeError(f"expected a schedule (t,), a tensor, got {schedule!r}: take linear(t), or torch.tensor of it")
    ok = schedule.ndim == 1 and len(schedule) >= 2 and schedule.is_floating_point()
    if not (ok and schedule[0] == 0 and schedule[-1] == 1 and (schedule.diff() > 0).all()):
        shown = schedule.tolist() if schedule.numel() <= 6 else f"a {schedule.dtype} tensor {tuple(schedule.shape)}"
        raise ValueError(f"expected a schedule that rises from 0 to 1, got {shown}: take linear(t) or sigmoidal(t)")


def _mix(beta: Tensor, at_zero: Tensor, at_one: Tensor) -> Tensor:
    """(1 - beta) at_zero + beta at_one, with 0 times infinity = 0."""
    between = (1 - beta) * at_zero + beta * at_one
    return torch.where(beta == 0, at_zero, torch.where(beta == 1, at_one, between)).to(at_one.dtype)


def _value_and_slope(f: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    def checked(z: Tensor) -> Tensor:
        value = f(z)
        check_density(value, z.shape[:2])
        return value

    value, pull, *_ = torch.func.vjp(checked, z)
    return value.detach(), pull(torch.ones_like(value))[0].detach()
