"""Stein variational gradient descent (Liu and Wang, 2016): particles that move along their kernelised gradient.

    particles, trace = fit(key, log_p, start, steps=500)
    particles.draws                                              # (m, 1, d), equally weighted
    particles.verdict()

    state, info = update(init(start), log_p)                     # one step

Approximates  p(z | x) by m particles at a fixed point of the kernelised gradient flow
With          `ops.stein_direction`: particles move along the kernel average of their scores, and away from each other;
              each coordinate's steps are over its root mean square (RMSprop)
Requires      log p with a gradient, or that of a minibatch drawn for each step
Unbiased when never for finite m. In many dimensions the particles' variance collapses while directions vanish as at
              convergence (Ba et al., 2022): see `variance_ratio`
Cost          one gradient of log p at all particles and two products (m, m) x (m, d) a step; memory linear in m
Reference     Liu and Wang, 2016; D'Angelo and Fortuin, 2021, for annealing; Ba et al., 2022
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_function, check_key, check_number, described
from jensen.core.contracts import Key, LogDensity
from jensen.core.ops import stein_direction
from jensen.estimators.gradients.contract import density
from jensen.estimators.inference.fitting import EVERY, Trace, traced
from jensen.estimators.inference.starting import check_begins, check_log_p

DECAY, EPSILON = 0.9, 1e-6  # of the average square of each coordinate's direction
COLLAPSED = 0.5  # of the posterior's variance
SETTLED = 0.05  # of the first steps' directions, below which particles no longer move
RISE = 4  # the power of time that a cycle's temperature rises by


class State(NamedTuple):
    """m particles, and the averages that scale their steps."""

    particles: Float[Tensor, "m d"]
    squares: Float[Tensor, "m d"]  # moving average of squared directions
    weight: Float[Tensor, ""]  # of the steps seen: 0 at the start


class Info(NamedTuple):
    """Of the particles before a step: their mean log density, in nats, and diagnostics.

    variance_ratio is -mean_i (x_i - mean x) score_i m / (m - 1), per dimension. By Stein's identity it is 1 for draws
    from p; for a normal p with independent dimensions it is the particles' variance over p's.
    """

    objective: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]
    standard_error: Float[Tensor, ""]
    direction: Float[Tensor, ""]  # root mean square of a coordinate
    variance_ratio: Float[Tensor, " d"]


class Particles(NamedTuple):
    """m particles, and the diagnostics of where they are."""

    z: Float[Tensor, "m d"]
    variance_ratio: Float[Tensor, " d"]
    direction: Float[Tensor, ""]
    first: Float[Tensor, ""]  # the direction at the start

    @property
    def draws(self) -> Float[Tensor, "m 1 d"]:
        """As samples of one datum, equally weighted."""
        return self.z[:, None]

    def verdict(self) -> str:
        """Whether the particles spread as the posterior does, by Stein's identity."""
        if not self.variance_ratio.isfinite().all():
            return "no verdict: scores are NaN or infinite at the particles: look at log_p there first"
        reasons = []
        if (low := self.variance_ratio < COLLAPSED).any():
            reasons.append(
                f"the particles have collapsed: their variance is {self.variance_ratio.min().item():.2g} of the "
                f"posterior's in the worst of {int(low.sum())} of {len(low)} dimensions: use their mean alone, more "
                "particles, or a family such as ADVI's"
            )
        if self.direction > SETTLED * self.first:
            reasons.append("the particles still move: take more steps")
        m, least = len(self.z), self.variance_ratio.min().item()
        return "; ".join(reasons) or f"{m} particles are settled, with {least:.2g} of the posterior's variance or more"


def init(particles: Float[Tensor, "m d"]) -> State:
    """Before the first step. ValueError for fewer than two particles, which have no spread."""
    check_floating("particles", particles, "m d", "one row per particle, m >= 2")
    if len(particles) < 2:
        raise ValueError(f"expected particles (m, d) with m >= 2, got {tuple(particles.shape)}: one has no spread")
    return State(particles, torch.zeros_like(particles), particles.new_zeros(()))


def update(
    state: State,
    log_p: LogDensity,
    step_size: float | Tensor = 0.1,
    kernel: Literal["rbf", "imq"] = "rbf",
    temperature: float | Tensor = 1.0,
) -> tuple[State, Info]:
    """One step along the direction, and diagnostics; scores are times the temperature, 1 for p itself.

    log_p: z (m, 1, d) -> (m, 1), in nats, up to a constant, such as a `bayes.Posterior`.
    """
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with svgd.init(particles)")
    for name, value in (("step_size", step_size), ("temperature", temperature)):
        if not isinstance(value, Tensor):
            check_number(name, value, "[0, inf)")
    x = state.particles

    def total(x: Tensor) -> tuple[Tensor, Tensor]:
        value = density(log_p, x[:, None])[:, 0]
        return value.sum(), value

    scores, value = grad(total, has_aux=True)(x)
    direction = stein_direction(x, temperature * scores, kernel=kernel).to(x.dtype)
    weight = DECAY * state.weight + 1 - DECAY
    squares = DECAY * state.squares + (1 - DECAY) * direction.square()
    moved = x + step_size * direction / (torch.sqrt(squares / weight) + EPSILON)
    m = len(x)
    ratio = -((x - x.mean(0)) * scores).sum(0) / (m - 1)
    info = Info(value.mean(), {}, value.std() / math.sqrt(m), direction.square().mean().sqrt(), ratio)
    return State(moved, squares, weight), info


@torch.no_grad()
def fit(
    key: Key,
    log_p: LogDensity,
    start: Float[Tensor, "m d"],
    steps: int = 500,
    step_size: float = 0.1,
    kernel: Literal["rbf", "imq"] = "rbf",
    cycles: int = 0,
    batch: Callable[[Key], LogDensity] | None = None,
    progress: Callable[[str], object] | None = None,
) -> tuple[Particles, Trace]:
    """`steps` updates whose size falls to 0 along a cosine; the trace is of the particles' mean log density, in nats.

    cycles: in how many cycles over the first 80 % of steps the temperature rises from 0 to 1, so that particles spread
    over modes apart; 0 for none. batch: key -> the log density of a step's minibatch, such as
    lambda key: posterior.minibatch(keys.permutation(key, n)[:b]), whose scores the steps take in place of log_p's; what
    is reported is of log_p.
    """
    check_key(key)
    check_floating("start", start, "m d", "one row per particle, such as posterior.starts(key, 100)")
    steps, rise = check_count("steps", steps), temperatures(steps, cycles)
    step_size = check_number("step_size", step_size, "[0, inf)")
    if batch is not None:
        check_function("batch", batch, "lambda key: posterior.minibatch(keys.permutation(key, n)[:b])")
    check_log_p(log_p, keys.fold_in(key, steps))
    check_begins(log_p, start)
    sizes = step_size * (1 + torch.cos(torch.arange(steps) * (torch.pi / steps))) / 2
    state, infos = init(start), []
    for i, (size, temperature) in enumerate(zip(sizes.to(start), rise.to(start), strict=True)):
        now = log_p if batch is None else batch(keys.fold_in(key, i))
        state, info = update(state, now, size, kernel, temperature)
        infos.append(info)
        if progress is not None and (i + 1) % EVERY == 0:
            progress(f"step {i + 1} of {steps}: mean log p {info.objective.item():.3f}")
    _, info = update(state, log_p, 0.0, kernel)
    particles = Particles(state.particles, info.variance_ratio, info.direction, infos[0].direction)
    errors = [each.standard_error for each in (*infos, info)]
    return particles, traced([*infos, info], bool(info.direction <= SETTLED * infos[0].direction), errors)


def temperatures(steps: int, cycles: int) -> Float[Tensor, " t"]:
    """Of each step: rising within each cycle as a power of time, and 1 in the last fifth; all 1 for no cycles."""
    steps, cycles = check_count("steps", steps), check_count("cycles", cycles, 0)
    if not cycles:
        return torch.ones(steps)
    time = torch.arange(steps) / (0.8 * steps)
    return torch.where(time < 1, (time * cycles).frac() ** RISE, 1.0)
