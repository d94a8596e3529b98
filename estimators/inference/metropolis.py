"""Random-walk Metropolis of many chains side by side, for densities without a gradient (Metropolis et al., 1953).

    chains, trace = fit(key, log_p, start, steps=5000)
    chains.draws                                                 # (s, 1, d), one chain after another
    chains.mixing().verdict()

    state, info = update(init(log_p, start), log_p, tuning, key)  # one proposal for every chain

Approximates  expectations under p(z | x), by draws of chains that leave it invariant
With          normal proposals around each chain, of 2.38 / sqrt(d) roots of the chains' covariance, times a size that
              the warm-up finds by dual averaging towards an acceptance, by the harmonic mean of the chains' over ten
              proposals; the covariance is that of the warm-up's draws
Requires      log p, finite at the starts of two chains or more
Unbiased when never for finite chains from a start; the settings are constants once the warm-up ends
Cost          one evaluation of log p for all chains at once an update; the draws needed grow with d
Reference     Metropolis et al., 1953; Roberts et al., 1997, for 2.38 and the acceptance of 0.234
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_choice, check_count, check_key, check_number, described
from jensen.core.contracts import Key, LogDensity
from jensen.estimators.evidence.moves import Metric
from jensen.estimators.gradients.contract import density
from jensen.estimators.inference.chains import Chains, acceptance, along, run
from jensen.estimators.inference.fitting import Trace
from jensen.estimators.inference.starting import check_finite, check_log_p, check_start
from jensen.estimators.inference.warm_up import METRICS, DualAverage, factor_of, harmonic_mean, windows

OPTIMAL = 2.38  # over sqrt(d), of a normal posterior's scales
BLOCK = 10  # proposals of one size: the acceptance of a single one is often near 0 for chains that are not stuck


class State(NamedTuple):
    """m chains, and the density where they are."""

    z: Float[Tensor, "m d"]
    log_p: Float[Tensor, " m"]


class Tuning(NamedTuple):
    """The size of proposals in units of `factor`, a root of the covariance: lower-triangular (d, d), or scales (d,)."""

    size: Float[Tensor, ""]
    factor: Float[Tensor, "d *d"]


class Info(NamedTuple):
    """Of one update: the chains' mean log density before it, in nats, and the probabilities of their acceptance."""

    objective: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]
    accept: Float[Tensor, " m"]
    divergent: Bool[Tensor, " m"]


def init(log_p: LogDensity, start: Float[Tensor, "m d"]) -> State:
    """Chains at their starts. ValueError where log p is not finite there."""
    check_start(start, 2)
    state = State(start, density(log_p, start[:, None])[:, 0])
    check_finite("log_p", state.log_p.isfinite())
    return state


@torch.no_grad()
def update(state: State, log_p: LogDensity, tuning: Tuning, key: Key) -> tuple[State, Info]:
    """One proposal for every chain, accepted or rejected."""
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with metropolis.init(log_p, start)")
    if not isinstance(tuning, Tuning):
        raise TypeError(f"expected tuning, a Tuning, got {described(tuning)}: write metropolis.Tuning(...)")
    check_key(key)
    move_key, accept_key = keys.split(key)
    noise = keys.normal(move_key, tuple(state.z.shape), state.z.dtype)
    z = state.z + tuning.size * along(tuning.factor, noise)
    value = density(log_p, z[:, None])[:, 0]
    accept = acceptance(value - state.log_p, value)
    moved = keys.uniform(accept_key, (len(z), 1), z.dtype)[:, 0] < accept
    after = State(torch.where(moved[:, None], z, state.z), torch.where(moved, value, state.log_p))
    return after, Info(state.log_p.mean(), {}, accept, torch.zeros_like(moved))


@torch.no_grad()
def fit(
    key: Key,
    log_p: LogDensity,
    start: Float[Tensor, "m d"],
    steps: int = 5000,
    warm_up: int = 2000,
    target: float = 0.234,
    metric: Metric = "dense",
    progress: Callable[[str], object] | None = None,
) -> tuple[Chains, Trace]:
    """`steps` draws of each of m chains, after a warm-up that tunes them; the trace is of mean log densities in nats.

    target: of the harmonic mean of the chains' acceptances; their mean is above it.
    log_p: z (m, 1, d) -> (m, 1), such as a `bayes.Posterior`. Take 16 chains or more, from dispersed starts: what is
    adapted is averaged over them.
    """
    check_key(key)
    steps, warm_up = check_count("steps", steps), check_count("warm_up", warm_up)
    target = check_number("target", target, "(0, 1)", "acceptances of 0.2 to 0.5 suit most posteriors")
    check_choice("metric", metric, METRICS)
    warm_key, run_key, look_key = keys.split(key, 3)
    check_log_p(log_p, look_key)
    state, tuning = _warmed(warm_key, log_p, init(log_p, start), warm_up, target, metric)
    return run(run_key, lambda state, key: update(state, log_p, tuning, key), state, steps, progress)


def _warmed(
    key: Key, log_p: LogDensity, state: State, steps: int, target: float, metric: Metric
) -> tuple[State, Tuning]:
    """The chains after the warm-up, and what it found."""
    optimal = state.z.new_tensor(OPTIMAL / math.sqrt(state.z.shape[1]))
    tuning = Tuning(0.1 * optimal, torch.ones_like(state.z[0]))
    for window in windows(steps):
        dual, past = DualAverage.start(tuning.size), []
        for low in range(0, len(window), BLOCK):
            accept = []
            for i in window[low : low + BLOCK]:
                state, info = update(state, log_p, Tuning(dual.size, tuning.factor), keys.fold_in(key, i))
                accept.append(info.accept)
                past.append(state.z)
            dual = dual.seen(harmonic_mean(torch.stack(accept).mean(0)), target)
        tuning = Tuning(dual.average, tuning.factor)
        if window.stop < steps and metric != "unit":
            tuning = Tuning(optimal, factor_of(torch.stack(past[len(past) // 2 :]), metric))
    return state, tuning
