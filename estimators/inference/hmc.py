"""Hamiltonian Monte Carlo of many chains side by side, with trajectories of adapted length (Hoffman et al., 2021).

    chains, trace = fit(key, posterior, posterior.starts(start_key, 64), steps=500)
    chains.draws                                                 # (s, 1, d), one chain after another
    chains.mixing().verdict()

    state, info = update(init(posterior, start), posterior, tuning, key)   # one trajectory of every chain

Approximates  expectations under p(z | x), by draws of chains that leave it invariant
With          leapfrog steps of a size and a metric, for a time that is uniform on (0, 2 length), and a Metropolis
              correction; in the warm-up the size by dual averaging towards an acceptance, the metric by the chains'
              covariance, and the length by the gradient of ChEES, the expected change of squared distances from the
              chains' mean
Requires      log p with a gradient, finite at the starts of two chains or more. All chains take as many leapfrog steps,
              a number that is read from the device: an update has no vmap
Unbiased when never for finite chains from a start; the settings are constants once the warm-up ends
Cost          one gradient of log p for all chains at once per leapfrog step, at most `most` of them an update; for a
              dense metric two products of (m, d) and (d, d) more
Reference     Hoffman et al., 2021; Duane et al., 1987; Hoffman and Gelman, 2014, for dual averaging and windows
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_choice, check_count, check_key, check_number, described
from jensen.core.contracts import Key, LogDensity
from jensen.estimators.evidence.moves import Metric
from jensen.estimators.gradients.contract import density
from jensen.estimators.inference.chains import Chains, acceptance, along, run
from jensen.estimators.inference.fitting import Trace
from jensen.estimators.inference.starting import check_finite, check_log_p, check_start
from jensen.estimators.inference.warm_up import (
    METRICS,
    DualAverage,
    Length,
    at_least,
    factor_of,
    harmonic_mean,
    windows,
)

FALL = 1000.0  # nats that the energy may rise by before a trajectory is called divergent


class State(NamedTuple):
    """m chains, and the density and its gradient where they are."""

    z: Float[Tensor, "m d"]
    log_p: Float[Tensor, " m"]
    slope: Float[Tensor, "m d"]


class Tuning(NamedTuple):
    """The size of leapfrog steps, the mean time of a trajectory, both in units of `factor`, a root of the covariance.

    factor is lower-triangular (d, d), or (d,) scales.
    """

    size: Float[Tensor, ""]
    length: Float[Tensor, ""]
    factor: Float[Tensor, "d *d"]


class Info(NamedTuple):
    """Of one update: the chains' mean log density before it, in nats, and what became of their trajectories.

    chees is the slope of ChEES in the log of the trajectories' length, in units of the metric.
    """

    objective: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]
    accept: Float[Tensor, " m"]
    divergent: Bool[Tensor, " m"]
    leapfrogs: Int[Tensor, ""]
    chees: Float[Tensor, ""]


def init(log_p: LogDensity, start: Float[Tensor, "m d"]) -> State:
    """Chains at their starts. ValueError where log p or its gradient is not finite there."""
    check_start(start, 2)
    state = _at(log_p, start)
    check_finite("log_p and its gradient", state.log_p.isfinite() & state.slope.isfinite().all(-1))
    return state


@torch.no_grad()
def update(state: State, log_p: LogDensity, tuning: Tuning, key: Key, most: int = 1024) -> tuple[State, Info]:
    """One trajectory of every chain, accepted or rejected; the time is one for all, from the key."""
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with hmc.init(log_p, start)")
    if not isinstance(tuning, Tuning):
        raise TypeError(f"expected tuning, a Tuning, got {described(tuning)}: write hmc.Tuning(...)")
    check_key(key)
    most = check_count("most", most)
    momentum_key, time_key, accept_key = keys.split(key, 3)
    momentum = keys.normal(momentum_key, tuple(state.z.shape), state.z.dtype)
    time = 2 * tuning.length * keys.uniform(time_key, (1, 1), state.z.dtype)[0, 0]
    leapfrogs = int((time / tuning.size).ceil().clamp(1, most))
    end, last = _trajectory(state, log_p, tuning, momentum, leapfrogs)
    rise = state.log_p - end.log_p + (last.square() - momentum.square()).sum(-1) / 2
    accept = acceptance(-rise, end.log_p)
    uniform = keys.uniform(accept_key, (len(state.z), 1), state.z.dtype)[:, 0]
    moved = (uniform < accept)[:, None]
    after = State(
        torch.where(moved, end.z, state.z),
        torch.where(moved[:, 0], end.log_p, state.log_p),
        torch.where(moved, end.slope, state.slope),
    )
    chees = leapfrogs * tuning.size * _chees(state, end, last, accept, tuning)
    return after, Info(
        state.log_p.mean(), {}, accept, ~(rise < FALL), accept.new_tensor(leapfrogs, dtype=torch.int64), chees
    )


@torch.no_grad()
def fit(
    key: Key,
    log_p: LogDensity,
    start: Float[Tensor, "m d"],
    steps: int = 500,
    warm_up: int = 500,
    target: float = 0.8,
    metric: Metric = "dense",
    most: int = 1024,
    progress: Callable[[str], object] | None = None,
) -> tuple[Chains, Trace]:
    """`steps` draws of each of m chains, after a warm-up that tunes them; the trace is of mean log densities in nats.

    target: of the harmonic mean of the chains' acceptances; their mean is above it.
    log_p: z (m, 1, d) -> (m, 1), such as a `bayes.Posterior`. Take 16 chains or more, from dispersed starts: what is
    adapted is averaged over them.
    """
    check_key(key)
    steps, warm_up, most = check_count("steps", steps), check_count("warm_up", warm_up), check_count("most", most)
    target = check_number("target", target, "(0, 1)", "acceptances of 0.6 to 0.95 suit most posteriors")
    check_choice("metric", metric, METRICS)
    warm_key, run_key, look_key = keys.split(key, 3)
    check_log_p(log_p, look_key)
    state, tuning = _warmed(warm_key, log_p, init(log_p, start), warm_up, target, metric, most)
    return run(run_key, lambda state, key: update(state, log_p, tuning, key, most), state, steps, progress)


def _warmed(
    key: Key, log_p: LogDensity, state: State, steps: int, target: float, metric: Metric, most: int
) -> tuple[State, Tuning]:
    """The chains after the warm-up, and what it found."""
    tuning = Tuning(state.z.new_tensor(0.1), state.z.new_tensor(1.0), torch.ones_like(state.z[0]))
    for window in windows(steps):
        dual, length, past = DualAverage.start(tuning.size), Length.start(tuning.length), []
        for i in window:
            now = Tuning(dual.size, length.length, tuning.factor)
            state, info = update(state, log_p, now, keys.fold_in(key, i), most)
            dual = dual.seen(harmonic_mean(at_least(info.accept, target)), target)
            length = length.seen(info.chees)
            past.append(state.z)
        tuning = Tuning(dual.average, length.average, tuning.factor)
        if window.stop < steps and metric != "unit":
            factor = factor_of(torch.stack(past[len(past) // 2 :]), metric)
            tuning = Tuning(state.z.new_tensor(0.5 * state.z.shape[1] ** -0.25), state.z.new_tensor(1.0), factor)
    return state, tuning


@torch.enable_grad()
def _at(log_p: LogDensity, z: Float[Tensor, "m d"]) -> State:
    z = z.detach().requires_grad_()
    value = density(log_p, z[:, None])[:, 0]
    (slope,) = torch.autograd.grad(value.sum(), z)
    return State(z.detach(), value.detach(), slope)


def _trajectory(
    state: State, log_p: LogDensity, tuning: Tuning, momentum: Tensor, leapfrogs: int
) -> tuple[State, Tensor]:
    """The chains and their momenta after so many leapfrog steps."""
    size, factor = tuning.size, tuning.factor
    momentum = momentum + size / 2 * _across(factor, state.slope)
    for i in range(leapfrogs):
        state = _at(log_p, state.z + size * along(factor, momentum))
        momentum = momentum + (size if i < leapfrogs - 1 else size / 2) * _across(factor, state.slope)
    return state, momentum


def _chees(state: State, end: State, momentum: Tensor, accept: Tensor, tuning: Tuning) -> Tensor:
    """E[accept (|x' - mean x'|^2 - |x - mean x|^2) (x' - mean x') . momentum] over chains, x in units of the metric."""
    reached = (accept > 0)[:, None]
    before = _standardised(tuning.factor, state.z)
    after = _standardised(tuning.factor, torch.where(reached, end.z, state.z))
    change = after.square().sum(-1) - before.square().sum(-1)
    along = (after * torch.where(reached, momentum, 0.0)).sum(-1)
    return (accept * change * along).sum() / accept.sum().clamp_min(torch.finfo(accept.dtype).tiny)


def _across(factor: Tensor, t: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
    """factor' t: a change of the momentum."""
    return factor * t if factor.ndim == 1 else t @ factor


def _standardised(factor: Tensor, z: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
    """factor^-1 (z - mean z)."""
    apart = z - z.mean(0)
    return apart / factor if factor.ndim == 1 else torch.linalg.solve_triangular(factor, apart.T, upper=False).T
