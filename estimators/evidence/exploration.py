"""Whether a run's particles, as draws of p(z | x), cover it: chains of one run agree where all of them miss the same.

Tests         `still_moving`: moves at temperature 1 with steps of many sizes change the shares of particles with low
              and high log p, log q and log p - log q, or reach values that none had. Particles that cover the posterior
              keep them on average, since the moves leave it invariant; those that miss the neck or the mouth of a
              funnel move on into it
              `stuck`: the acceptance of the run's own steps from each particle, which is the same everywhere where one
              size of step suits the whole posterior
              `missed`: modes that a climb from fresh draws of q finds, and the evidence around each, by importance
              sampling from Laplace's normal, beside the share of particles there. A narrow mode has a negligible share
              at intermediate temperatures, where particles near it are lost, and a climb still reaches it
Blind to      a mode that no draw of q climbs to, or most of whose mass is far from Laplace's normal
Cost          24 moves of 8 steps for each particle, up to 96 where they are weighted, and 8 of the run's; 40 gradients
              for each draw of q; 8 Hessians for each datum, with 64 draws each
"""

import math
from typing import NamedTuple

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.estimators.evidence.moves import Hamiltonian, Step
from jensen.estimators.evidence.paths import Geometric, Point
from jensen.estimators.gradients.contract import event_sum, over_events
from jensen.estimators.student import student

MOVES, WIDE = 24, Hamiltonian(leapfrog=8, jitter=0.0)
SIZES = (-4.0, 0.5)  # log of the steps' sizes, uniformly, in units of the run's
TAILS = (0.05, 0.2, 0.8, 0.95)  # quantiles of the particles that shares are taken at
LEVEL = 0.02  # how often particles that cover the posterior are said to move
BEYOND = 9  # particles beyond all earlier ones: as many with probability 2^-9 where they are exchangeable
TRIES, REJECTED, SHARE = 8, 0.1, 0.01  # moves; an acceptance, and the share of particles with less, that are too small
STARTS, CLIMB = 500, 40  # draws of q at most, and the gradients of each
MODES = 8  # different modes of a datum, the highest first
LARGEST = 200  # dimensions beyond which no Hessian is computed, and no mode sought
DRAWS = 64  # of the normal at each mode
EXCESS = 2.0  # times its share of particles that a mode's evidence may be

MOVING = "particles still move into regions that the run did not cover: take more repeats, temperatures or chains"
STUCK = "the step is too long for some regions: take moves of a higher target or a dense metric, or other coordinates"
MISSED = "a climb from draws of q found modes without their share of particles: take a wider q or more particles"


class Ends(NamedTuple):
    """Particles in g independent groups of m, such as islands or single chains, and log weights at temperature 1.

    No more than `chunk` of them are evaluated at once; results do not depend on it.
    """

    point: Point
    log_w: Float[Tensor, "g m n"]
    chunk: int

    def weights(self) -> Float[Tensor, "k n"]:
        """Normalised over all particles."""
        return torch.softmax(self.log_w.flatten(0, 1).double(), 0).nan_to_num(nan=0.0)


def still_moving(path: Geometric, ends: Ends, step: Step, key: Key, moves: int = MOVES) -> Bool[Tensor, " n"]:
    """Whether particles change under moves at temperature 1.

    For each of three log densities: paired tests over groups of the shares at four tails, at LEVEL for all of them
    together, and the effective number of particles beyond the extremes of all before.
    """
    weights, before = ends.weights(), _log_densities(ends.point)
    after = _log_densities(_moved(path, ends, step, key, moves))
    if len(ends.log_w) < 2:
        return torch.zeros_like(weights[0], dtype=torch.bool)
    limit = student(LEVEL / (2 * 3 * len(TAILS)), float(len(ends.log_w) - 1))
    ordered = before.sort(1).values
    cuts = [ordered[:, int(tail * (before.shape[1] - 1))][:, None] for tail in TAILS]
    shifted = [_t_statistic(ends, ((after > cut).double() - (before > cut).double()) * weights) > limit for cut in cuts]
    effective = 1 / weights.square().sum(0)
    beyond = [(weights * out).sum(1) * effective > BEYOND for out in (after > ordered[:, -1:], after < ordered[:, :1])]
    return torch.stack([*shifted, *beyond]).any(0).any(0)


def stuck(path: Geometric, ends: Ends, move: Hamiltonian, step: Step, key: Key) -> Bool[Tensor, " n"]:
    """Whether the run's moves are rejected around more than a hundredth of the posterior."""
    beta, accepted = torch.ones_like(ends.point.log_p[0]), []
    for start, part in ends.point.split(ends.chunk):
        tries = [move(path, part, beta, step, keys.fold_in(keys.at(key, particle=start), i))[1] for i in range(TRIES)]
        accepted.append(torch.stack(tries).nan_to_num().mean(0))
    return (ends.weights() * (torch.cat(accepted) < REJECTED)).sum(0) > SHARE


def missed(path: Geometric, ends: Ends, log_evidence: Float[Tensor, " n"], key: Key) -> Float[Tensor, " n"]:
    """The evidence of modes without their share of particles, as nats that log_evidence is too small by."""
    lost, u = torch.zeros_like(log_evidence, dtype=torch.float64), ends.point.u
    if u.ndim != 3 or u.shape[-1] > LARGEST:
        return lost
    weights, (start_key, draw_key) = ends.weights(), keys.split(key)
    sizes = range(0, min(len(u), STARTS), ends.chunk)
    starts = [path.start(keys.at(start_key, particle=i), min(ends.chunk, min(len(u), STARTS) - i)) for i in sizes]
    top = Point.joined([climb(path, start) for start in starts])
    for i, mode in enumerate(_modes(path, top)):
        share = (weights * mode.around(u)).sum(0)
        evidence = mode.evidence(path, log_evidence, keys.fold_in(draw_key, i))
        lost = lost + torch.where(mode.sure, evidence - EXCESS * share, 0.0).clamp_min(0).nan_to_num(nan=0.0)
    return torch.log1p(lost)


class Peak(NamedTuple):
    """A mode of each datum's log p, where `sure`, and the Cholesky factor of minus the Hessian there."""

    u: Float[Tensor, "n d"]
    factor: Float[Tensor, "n d d"]
    sure: Bool[Tensor, " n"]

    def evidence(self, path: Geometric, log_evidence: Float[Tensor, " n"], key: Key) -> Float[Tensor, " n"]:
        """That of importance sampling from the normal at the mode, over exp(log_evidence), less two standard errors."""
        noise = keys.normal(key, (DRAWS, *self.u.shape), torch.float64)
        white = torch.linalg.solve_triangular(self.factor.mT.double(), noise[..., None], upper=True)[..., 0]
        log_det = self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_normal = log_det - 0.5 * noise.square().sum(-1) - noise.shape[-1] / 2 * math.log(2 * math.pi)
        log_p = path.at((self.u + white).to(self.u.dtype)).log_p
        weights = torch.exp(log_p.double() - log_normal - log_evidence)
        return weights.mean(0) - 2 * weights.std(0) / DRAWS**0.5

    def around(self, u: Float[Tensor, "s n d"]) -> Bool[Tensor, "s n"]:
        """Whether u is where the normal at the mode has its mass: within four standard deviations of its chi^2."""
        d = u.shape[-1]
        square = einsum(u - self.u, self.factor, "s n i, n i j -> s n j").square().sum(-1)
        return square < d + 4 * math.sqrt(2 * d)


def climb(path: Geometric, point: Point) -> Point:
    """Ascent of log p by CLIMB gradients, with steps of Barzilai and Borwein (1988) and none that lowers it."""
    step = 0.1 / event_sum(point.slope_p.square()).sqrt().clamp_min(torch.finfo(point.log_p.dtype).tiny)
    for i in range(CLIMB):
        new = path.at((point.u + over_events(step, point.u) * point.slope_p).to(point.u.dtype))
        moved, bent = new.u - point.u, point.slope_p - new.slope_p
        along, square = event_sum(moved * bent), event_sum((bent if i % 2 else moved).square())
        ratio = along / square if i % 2 else square / along
        better = new.log_p >= point.log_p
        step = torch.where(better, torch.where(along > 0, ratio, 4 * step), step / 4)
        point = Point(*(torch.where(over_events(better, a), a, b) for a, b in zip(new, point, strict=True)))
    return point


def _modes(path: Geometric, top: Point) -> list[Peak]:
    """The highest mode that points ended at, then the highest of those not around it, and so on."""
    found, left = [], torch.ones_like(top.log_p, dtype=torch.bool)
    for _ in range(MODES):
        best = torch.where(left, top.log_p, -torch.inf).nan_to_num(nan=-torch.inf).argmax(0)
        at = Point(*(t.gather(0, over_events(best[None], t).expand_as(t[:1]))[0] for t in top))
        factor, info = torch.linalg.cholesky_ex(-path.hessian(at.u))
        rise = torch.cholesky_solve(at.slope_p[..., None], factor)[..., 0]
        gain = (at.slope_p * rise).sum(-1) / 2
        mode = Peak(at.u, factor, (info == 0) & (gain < 0.1) & left.gather(0, best[None])[0])
        found.append(mode)
        left = left & ~(mode.around(top.u) & (info == 0)) & (top.u != at.u).any(-1)
    return found


def _moved(path: Geometric, ends: Ends, step: Step, key: Key, moves: int) -> Point:
    """The particles after moves at temperature 1 with steps of many sizes."""
    parts, (low, high) = [], SIZES
    for start, point in ends.point.split(ends.chunk):
        for i in range(moves):
            size_key, move_key = keys.split(keys.fold_in(keys.at(key, particle=start), i))
            log_size = low + (high - low) * keys.uniform(size_key, tuple(point.log_p.shape), torch.float64)
            scaled = step._replace(size=step.size * log_size.exp())
            point, _ = WIDE(path, point, torch.ones_like(point.log_p[0]), scaled, move_key)
        parts.append(point)
    return Point.joined(parts)


def _t_statistic(ends: Ends, change: Float[Tensor, "f k n"]) -> Float[Tensor, "f n"]:
    """|total| over its standard error, where groups are independent: of changes that are weighted already."""
    each = rearrange(change, "f (g m) n -> f g m n", m=ends.log_w.shape[1]).sum(2)
    share = rearrange(ends.weights(), "(g m) n -> g m n", m=ends.log_w.shape[1]).sum(1)
    total = each.sum(1)
    error = (each - share * total[:, None]).square().sum(1).sqrt()
    return torch.where(error > 0, total.abs() / torch.where(error > 0, error, 1.0), 0.0)


def _log_densities(point: Point) -> Float[Tensor, "3 k n"]:
    return torch.stack([point.log_p, point.log_q, point.log_ratio()]).double()
