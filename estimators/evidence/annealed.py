"""Annealed importance sampling (Neal, 2001): weights of Markov chains from q to the posterior.

Approximates  log p(x) per datum
With          log mean_k w_k, log w = sum_i (beta_i - beta_{i-1}) (log p(x, z_{i-1}) - log q(z_{i-1})), z_0 from q and
              z_i a move of z_{i-1} that leaves f_{beta_i} = q^(1 - beta_i) p^beta_i invariant
Requires      a continuous z, q > 0 wherever p(x, z) > 0; for a valid standard error, chains that mix well enough for
              weights of finite variance
Unbiased when never on the log scale (it is below log p(x) on average); mean_k w_k is unbiased for p(x) at any
              schedule, since steps come from a separate run, see `tuning`
Cost          k (t - 1) moves per datum, `chunk` chains at a time, a pilot of 16 chains, and `exploration`'s; memory for
              one chunk's particles, the last ones of 1,000 chains, and a step per temperature and datum
Reference     Neal, 2001; Wu et al., 2017, for q the encoder's posterior
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_key
from jensen.core.contracts import Distribution, Key, LogDensity
from jensen.core.numerics import at_least_float32
from jensen.estimators.evidence import exploration
from jensen.estimators.evidence._importance import from_log_weights
from jensen.estimators.evidence.exploration import Ends, missed, still_moving, stuck
from jensen.estimators.evidence.judgement import Doubts, judged, verdict
from jensen.estimators.evidence.moves import Hamiltonian, Step, check_move, hmc
from jensen.estimators.evidence.paths import Geometric, Point, check_schedule
from jensen.estimators.evidence.tuning import tune

KEPT = 1000  # chains at least, whose ends are explored from


class Annealed(NamedTuple):
    """Evidence with the moves' mean acceptance, each (n,); nats per datum."""

    log_p: Float[Tensor, " n"]
    standard_error: Float[Tensor, " n"]  # inf where a doubt holds
    ess: Float[Tensor, " n"]
    k_hat: Float[Tensor, " n"]
    doubts: Doubts
    acceptance: Float[Tensor, " n"]  # of chains in the support: NaN where none is, or no move is made

    def verdict(self) -> str:
        return verdict("annealed importance sampling", self.log_p, self.standard_error, self.doubts)


class Walk(NamedTuple):
    """The schedule, the steps at its temperatures between 0 and 1, and the moves, common to all chains."""

    schedule: Float[Tensor, " t"]
    steps: list[Step]
    move: Hamiltonian
    repeats: int

    def back(self) -> "Walk":
        """The same temperatures, each with its step, from 1 to 0."""
        return self._replace(schedule=self.schedule.flip(0), steps=self.steps[::-1])


@torch.no_grad()
def annealed_importance(
    log_p: LogDensity,
    q: Distribution,
    key: Key,
    k: int,
    schedule: Float[Tensor, " t"],
    move: Hamiltonian = hmc,
    repeats: int = 1,
    chunk: int = 64,
) -> Annealed:
    """Evidence from k chains from q, `chunk` at a time; draws and, to rounding, results do not depend on the chunk.

    log_p: z (s, n, *d) -> (s, n), the log joint density, differentiable in z. q has one row per datum: the encoder's
    posterior, or the prior expanded to (n, d). schedule: betas (t,) from 0 to 1, `linear` or `sigmoidal`; with
    [0, 1] this is `importance`. move: `hmc`, `langevin`, or another `Hamiltonian`; `repeats` of them per temperature.
    standard_error, ess and k_hat are of the k chains' weights, as in `importance`, and so are the first doubts; the
    others are of `exploration`, about the first 1,000 chains. Nothing returned is differentiable.
    ValueError for another schedule, TypeError for one that is no tensor and for a discrete q.
    """
    k, repeats, chunk = check_run(key, k, schedule, move, repeats, chunk)
    path, size = Geometric.of(log_p, q), min(chunk, k)
    pilot_key, run_key, start_key, explore_key, stuck_key = keys.split(key, 5)
    walk = Walk(schedule, tune(path, schedule, move, pilot_key), move, repeats)
    parts: list[tuple[Point, Tensor]] = []
    found = chains(path, walk, partial(path.start, s=size), run_key, k, parts)
    points, log_w = zip(*parts, strict=True)
    _, point = next(Point.joined(points).split(k))
    ends = Ends(point, torch.cat(log_w)[:k, None], size)
    doubts = {**found.doubts, exploration.MISSED: missed(path, ends, found.log_p, start_key) > found.standard_error}
    if walk.steps:
        moves = min(4 * exploration.MOVES, repeats * len(walk.steps))  # fewer effective chains than there are
        doubts[exploration.MOVING] = still_moving(path, ends, walk.steps[-1], explore_key, moves)
        doubts[exploration.STUCK] = stuck(path, ends, move, walk.steps[-1], stuck_key)
    return found._replace(standard_error=judged(found.standard_error, doubts), doubts=doubts)


def chains(
    path: Geometric,
    walk: Walk,
    start: Callable[[Tensor], Point],
    key: Key,
    k: int,
    ends: list[tuple[Point, Tensor]] | None = None,
) -> Annealed:
    """The mean weight of k chains, as many at a time as `start` gives points for a key.

    The first KEPT chains' last points and log weights are appended to `ends`.
    """
    acceptances = []

    def log_weights(key: Tensor) -> Tensor:
        start_key, chain_key = keys.split(key)
        point, log_w, acceptance = anneal(path, start(start_key), walk, chain_key)
        acceptances.append(acceptance)
        if ends is not None and sum(len(end) for _, end in ends) < KEPT:
            ends.append((point, log_w))
        return log_w

    evidence = from_log_weights(log_weights, key, k)
    return Annealed(*evidence, torch.stack(acceptances).nanmean(0))


def anneal(
    path: Geometric, point: Point, walk: Walk, key: Key
) -> tuple[Point, Float[Tensor, "s n"], Float[Tensor, " n"]]:
    """Chains along a walk, in either direction: their last points, log weights, and mean acceptance per datum."""
    log_w = torch.zeros_like(at_least_float32(point.log_p))
    accepted = [torch.full_like(log_w[0], torch.nan)]
    for i, (here, there) in enumerate(pairwise(walk.schedule)):
        log_w = log_w + (there - here) * point.log_ratio()
        if i == len(walk.schedule) - 2:
            break
        for j in range(walk.repeats):
            point, accept = walk.move(path, point, there, walk.steps[i], keys.fold_in(key, i * walk.repeats + j))
            accepted.append(accept.nanmean(0))
    return point, log_w, torch.stack(accepted).nanmean(0)


def check_run(key: Key, k: int, schedule: Tensor, move: Hamiltonian, repeats: int, chunk: int) -> tuple[int, int, int]:
    """k, repeats and chunk as ints, all of the arguments checked."""
    check_key(key)
    check_schedule(schedule)
    check_move(move)
    return check_count("k", k), check_count("repeats", repeats), check_count("chunk", chunk)
