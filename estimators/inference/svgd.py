"""Stein variational gradient descent (Liu and Wang, 2016): particles that move along their kernelised gradient.

    state = init(particles)
    state, info = update(state, log_p)                  # one step
    state, info = fit(log_p, particles, steps=500)      # all of them

Particles move along the kernel average of their scores, and away from each other. In many dimensions the particles'
variance collapses while directions vanish as at convergence (Ba et al., 2022): see `Info.variance_ratio`.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad

from jensen.core.checks import check_choice, check_count, check_floating, check_number, described
from jensen.core.contracts import LogDensity
from jensen.core.ops import stein_direction
from jensen.estimators.gradients.contract import density

DECAY, EPSILON = 0.9, 1e-6  # of the average square of each coordinate's direction


class State(NamedTuple):
    """m particles, and the averages that scale their steps."""

    particles: Float[Tensor, "m d"]
    squares: Float[Tensor, "m d"]  # moving average of squared directions
    weight: Float[Tensor, ""]  # of the steps seen: 0 at the start


class Info(NamedTuple):
    """Diagnostics of the particles before a step.

    variance_ratio is -mean_i (x_i - mean x) score_i m / (m - 1), per dimension. By Stein's identity it is 1 for draws
    from p; for a normal p with independent dimensions it is the particles' variance over p's.
    """

    direction: Float[Tensor, ""]  # root mean square of a coordinate
    variance_ratio: Float[Tensor, " d"]


def init(particles: Float[Tensor, "m d"]) -> State:
    """Before the first step. ValueError for fewer than two particles, which have no spread."""
    check_floating("particles", particles, "m d", "one row per particle, m >= 2")
    if len(particles) < 2:
        raise ValueError(f"expected particles (m, d) with m >= 2, got {tuple(particles.shape)}: one has no spread")
    return State(particles, torch.zeros_like(particles), particles.new_zeros(()))


def update(
    state: State, log_p: LogDensity, step_size: float | Tensor = 0.1, kernel: Literal["rbf", "imq"] = "rbf"
) -> tuple[State, Info]:
    """One step along the direction, each coordinate over its root mean square (RMSprop), and its diagnostics.

    log_p takes z (m, 1, d) and gives (m, 1), in nats, up to a constant.
    """
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with svgd.init(particles)")
    check_choice("kernel", kernel, ("rbf", "imq"))
    if not isinstance(step_size, Tensor):
        check_number("step_size", step_size, "[0, inf)")
    x = state.particles
    scores = grad(lambda x: density(log_p, x[:, None]).sum())(x)
    direction = stein_direction(x, scores, kernel=kernel).to(x.dtype)
    weight = DECAY * state.weight + 1 - DECAY
    squares = DECAY * state.squares + (1 - DECAY) * direction.square()
    moved = x + step_size * direction / (torch.sqrt(squares / weight) + EPSILON)
    ratio = -((x - x.mean(0)) * scores).sum(0) / (len(x) - 1)
    return State(moved, squares, weight), Info(direction.square().mean().sqrt(), ratio)


def fit(
    log_p: LogDensity,
    particles: Float[Tensor, "m d"],
    steps: int = 500,
    step_size: float = 0.1,
    kernel: Literal["rbf", "imq"] = "rbf",
) -> tuple[State, Info]:
    """`steps` updates whose size falls to 0 along a cosine, and the last particles' diagnostics."""
    steps = check_count("steps", steps)
    step_size = check_number("step_size", step_size, "[0, inf)")
    state = init(particles)
    sizes = step_size * (1 + torch.cos(torch.arange(steps) * (torch.pi / steps))) / 2
    for size in sizes.to(particles):
        state, _ = update(state, log_p, size, kernel)
    _, info = update(state, log_p, 0.0, kernel)
    return state, info
