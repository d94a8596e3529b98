"""Sequential Monte Carlo samplers (Del Moral et al., 2006) with temperatures adapted to each datum.

Approximates  log p(x) per datum, and draws of p(z | x)
With          log mean over islands of Z, Z = prod_i mean_m w_i, the incremental weights w_i = (p / q)^(beta_i -
              beta_{i-1}); particles are resampled by them (systematically) and moved at beta_i. A pilot population
              finds the temperatures, each rise of beta keeping a given effective sample size, and the step sizes
Requires      a continuous z, q > 0 wherever p(x, z) > 0, and several islands for a standard error; islands that all
              miss a part agree with each other, which `exploration` looks for
Unbiased when never on the log scale; mean Z is unbiased for p(x), since the pilot's particles are discarded and its
              temperatures and steps are constants to the islands
Cost          `repeats` moves of k particles per temperature, and the pilot, 8 moves of k / islands particles per
              temperature; `exploration`'s; memory for k particles
Reference     Del Moral et al., 2006; Jasra et al., 2011, for the temperatures; Kitagawa, 1996, for the resampling
"""

import math
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key, check_number
from jensen.core.contracts import Distribution, Event, Key, LogDensity
from jensen.core.numerics import bisect, log_sum_exp
from jensen.estimators.evidence import exploration
from jensen.estimators.evidence._importance import Evidence, from_log_weights
from jensen.estimators.evidence.exploration import Ends, missed, still_moving, stuck
from jensen.estimators.evidence.judgement import Doubts, judged, verdict
from jensen.estimators.evidence.moves import Hamiltonian, Step, check_move, hmc
from jensen.estimators.evidence.paths import Geometric, Point
from jensen.estimators.evidence.tuning import DENSE, WARM, Tuner
from jensen.estimators.gradients.contract import over_events

LEAST = 1e-10  # the smallest rise of beta, where only a few particles lie in the support of p
APART = "the islands disagree too much for the error of their mean: take more particles, repeats or temperatures"
SETTLE = 8  # the pilot's moves at each temperature after the first


class Smc(NamedTuple):
    """Evidence in nats per datum, each (n,), and equally weighted draws of the posterior.

    The standard error is that of a mean over islands: for an interval take Student's t with islands - 1 degrees of
    freedom. ± 1.96 of it cover 94 % for 20 islands, 91 % for 8, 70 % for 2.
    """

    log_p: Float[Tensor, " n"]
    standard_error: Float[Tensor, " n"]  # from the spread of the islands; inf for one island, or where a doubt holds
    ess: Float[Tensor, " n"]  # how many islands the estimate rests on, in [1, islands]
    doubts: Doubts
    acceptance: Float[Tensor, " n"]
    temperatures: Int[Tensor, " n"]  # how many the pilot found
    z: Event  # (s, n, *event), whole islands, resampled by their Z: one of Z = 0 only where all are

    def verdict(self) -> str:
        return verdict("sequential Monte Carlo", self.log_p, self.standard_error, self.doubts)


@torch.no_grad()
def smc(
    log_p: LogDensity,
    q: Distribution,
    key: Key,
    k: int,
    islands: int = 20,
    ess: float = 0.9,
    move: Hamiltonian = hmc,
    repeats: int = 3,
    most: int = 1000,
) -> Smc:
    """Evidence from k particles, in `islands` independent populations of m = k / islands.

    log_p: z (s, n, *d) -> (s, n), differentiable in z; q has one row per datum. ess is the share of m that the
    effective sample size falls to at each rise of beta. ValueError where k is no multiple of the islands, or ess is
    not in (0, 1); RuntimeError where `most` temperatures do not lead to 1.
    """
    check_key(key)
    check_move(move)
    k, islands = check_count("k", k), check_count("islands", islands)
    repeats, most = check_count("repeats", repeats), check_count("most", most)
    ess = check_number("ess", ess, "(0, 1)", "it is a share of the particles")
    if k % islands or k // islands < 2:
        raise ValueError(
            f"expected k = islands m with m >= 2 particles each, got k = {k} for {islands}: change one of the two"
        )
    path, m = Geometric.of(log_p, q), k // islands
    pilot_key, start_key, resample_key, move_key, island_key, explore_key = keys.split(key, 6)
    schedule = pilot(path, pilot_key, max(m, DENSE) if move.metric == "dense" else m, ess, move, most)
    point = path.start(start_key, k)
    n = point.u.shape[1]
    log_z = torch.zeros(islands, n, dtype=torch.float64, device=point.u.device)
    accepted, beta = [], torch.zeros_like(log_z[0])
    for i, (there, step) in enumerate(schedule):
        log_w = rearrange(_increment(point, there - beta), "(island m) n -> island m n", m=m)
        log_z, beta = log_z + log_sum_exp(log_w, 1) - math.log(m), there
        point = _take(point, systematic(log_w, keys.fold_in(resample_key, i)))
        for j in range(repeats):
            point, accept = move(path, point, beta, step, keys.fold_in(move_key, i * repeats + j))
            accepted.append(accept.nanmean(0))
    evidence = from_log_weights(lambda _: log_z.to(point.log_p.dtype), key, islands)
    doubts = explored(path, point, log_z, move, schedule[-1][1], evidence, explore_key)
    error = judged(evidence.standard_error, doubts)
    temperatures = torch.stack([there < 1 for there, _ in schedule]).sum(0) + 1
    z = path.values(by_island(point.u, systematic(log_z[None], island_key)[0]))
    return Smc(evidence.log_p, error, evidence.ess, doubts, torch.stack(accepted).nanmean(0), temperatures, z)


def explored(
    path: Geometric,
    point: Point,
    log_z: Float[Tensor, "r n"],
    move: Hamiltonian,
    step: Step,
    evidence: Evidence,
    key: Key,
) -> Doubts:
    """The doubts about islands of evidence log_z: their spread, and those of `exploration`."""
    start_key, move_key, stuck_key = keys.split(key, 3)
    ends = Ends(point, log_z[:, None].expand(-1, len(point.u) // len(log_z), -1), len(point.u))
    return {
        APART: evidence.ess < len(log_z) / 2,
        exploration.MISSED: missed(path, ends, evidence.log_p, start_key) > evidence.standard_error,
        exploration.MOVING: still_moving(path, ends, step, move_key),
        exploration.STUCK: stuck(path, ends, move, step, stuck_key),
    }


def pilot(
    path: Geometric, key: Key, m: int, ess: float, move: Hamiltonian, most: int
) -> list[tuple[Float[Tensor, " n"], Step]]:
    """Temperatures (n,) and steps by a pilot population of m; a datum at beta = 1 stays there."""
    start_key, resample_key, move_key = keys.split(key, 3)
    point = path.start(start_key, m)
    beta = torch.zeros(point.u.shape[1], dtype=torch.float64, device=point.u.device)
    tuner, schedule = Tuner.start(point, move), []
    while (beta < 1).any():
        taken = len(schedule)
        if taken == most:
            raise RuntimeError(
                f"expected beta = 1 within {most} temperatures, got {beta.min():.3g}: "
                "start from a q nearer the posterior, or allow a lower ess"
            )
        rise = _rise(point.log_ratio().double(), 1 - beta, ess * m)
        log_w = _increment(point, rise)
        beta = torch.where(rise == 1 - beta, 1.0, beta + rise)
        point = _take(point, systematic(log_w[None], keys.fold_in(resample_key, taken)))
        move_now = keys.fold_in(move_key, taken)
        for j in range(WARM if taken == 0 else SETTLE):
            point, accept = move(path, point, beta, tuner.step(), keys.fold_in(move_now, j))
            tuner = tuner.accepted(accept, move.target, 2 / math.sqrt(1 + j) if taken == 0 else 0.5)
        tuner = tuner.seen(point, move.metric)
        schedule.append((beta, tuner.step()))
    return schedule


def systematic(log_w: Float[Tensor, "r m n"], key: Key) -> Int[Tensor, "r m n"]:
    """Ancestors of m particles per island r and datum: each appears floor(m w) or ceil(m w) times, w its share.

    One uniform number per island and datum places m points, (i + u) / m. Where no weight is positive, or one is NaN
    or infinite, each particle is its own ancestor.
    """
    check_floating("log_w", log_w, "islands m n", "islands lead, then their particles, then data")
    r, m, n = log_w.shape
    u = keys.uniform(key, (r, n), torch.float64)[..., None]
    points = (torch.arange(m, device=u.device) + u) / m
    weights = torch.softmax(log_w.double(), 1)
    cumulative = weights.cumsum(1).transpose(1, 2).contiguous()
    index = torch.searchsorted(cumulative / cumulative[..., -1:], points, right=True)
    own = torch.arange(m, device=u.device)[:, None]
    return torch.where(weights.isnan(), own, index.clamp_max(m - 1).transpose(1, 2))


def _increment(point: Point, rise: Tensor) -> Tensor:
    """rise (log p - log q), (s, n), in float64; 0 where beta does not rise."""
    return torch.where(rise == 0, 0.0, rise * point.log_ratio().double())


def _rise(log_ratio: Tensor, left: Tensor, target: float) -> Tensor:
    """The largest rise of beta, at most `left`, (n,), with an effective sample size of at least the target."""
    low, _ = bisect(lambda rise: _ess(log_ratio, rise) >= target, torch.zeros_like(left), left, 60)
    broken = ~torch.isfinite(log_ratio.amax(0))  # none in the support, or infinite, or NaN: so will the evidence be
    whole = (_ess(log_ratio, left) >= target) | broken
    return torch.where(whole, left, torch.minimum(low.clamp_min(LEAST), left))


def _ess(log_ratio: Tensor, rise: Tensor) -> Tensor:
    log_w = torch.where(rise == 0, 0.0, rise * log_ratio)
    return torch.exp(2 * log_sum_exp(log_w, 0) - log_sum_exp(2 * log_w, 0))


def _take(point: Point, index: Tensor) -> Point:
    """The particles at the islands' indices (r, m, n)."""
    r, m, _ = index.shape
    flat = rearrange(index + m * torch.arange(r, device=index.device)[:, None, None], "r m n -> (r m) n")
    return Point(*(t.gather(0, over_events(flat, t).expand_as(t)) for t in point))


def by_island(z: Tensor, index: Tensor) -> Tensor:
    """The particles (k, n, *d) of the islands at indices (r, n), one after the other."""
    m = len(z) // len(index)
    particles = rearrange(m * index[:, None] + torch.arange(m, device=z.device)[:, None], "r m n -> (r m) n")
    return z.gather(0, over_events(particles, z).expand_as(z))
