"""Importance sampling of the evidence, in chunks, with memory independent of the number of samples.

Approximates  log p(x) per datum
With          log mean_k w_k, w_k = p(x, z_k) / q(z_k | x), which is the IWAE bound at K = k
Requires      q > 0 wherever p(x, z) > 0; for a valid standard error, weights of finite variance
Unbiased when never on the log scale (it is below log p(x) on average); mean_k w_k is unbiased for p(x)
Cost          k evaluations of log_p and q per datum, rounded up to whole chunks; `chunk` of them at a time
Reference     Rezende et al., 2014, appendix E; Burda et al., 2016
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import NamedTuple

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from jensen.core import distributions, keys
from jensen.core.bounds.weights import check_log_weights
from jensen.core.checks import check_count, check_distribution, check_floating, check_function, check_key
from jensen.core.contracts import Distribution, Enumerable, Event, Key, LogDensity, can
from jensen.core.numerics import at_least_float32
from jensen.estimators.evidence.chunks import chunk_size
from jensen.estimators.evidence.judgement import Doubts, judged, of_weights, verdict
from jensen.estimators.evidence.processes import gathered, share, shares
from jensen.estimators.evidence.tail import nearly_equal, smooth_tail, tail_size
from jensen.estimators.gradients.contract import check_density, first


class Evidence(NamedTuple):
    """log_p in nats per datum, its standard error, the weights' effective sample size and tail shape, (n,) each."""

    log_p: Float[Tensor, " n"]
    standard_error: Float[Tensor, " n"]  # inf where a doubt holds
    ess: Float[Tensor, " n"]
    k_hat: Float[Tensor, " n"]
    doubts: Doubts

    def verdict(self) -> str:
        return verdict("importance sampling", self.log_p, self.standard_error, self.doubts)


def importance(
    log_p: LogDensity, q: Distribution, key: Key, k: int, chunk: int | None = None,
    group: dist.ProcessGroup | None = None,
) -> Evidence:  # fmt: skip
    """Evidence from k samples of q, `chunk` at a time; draws and, to rounding, results do not depend on the chunk.

    group: processes, such as torch.distributed.group.WORLD, that share the k samples and all get the whole's evidence.
    log_p: z (s, n, *event) -> (s, n), the log joint density; not differentiated. The default chunk is the largest for
    which the largest tensor of an evaluation is within `chunks.BUDGET`, 4 MiB.
    standard_error is that of log mean w by the delta method, sd(w) / (sqrt(k) mean w); it is inf for k = 1.
    ess is (sum w)^2 / sum w^2, in [1, k], and 0 where every weight is 0. An infinite weight, a log weight of +inf,
    gives log_p = +inf with an infinite error, and ess is the number of such weights; one of NaN gives NaN.
    k_hat is the Pareto shape of the largest weights, the only ones stored, and inf for fewer than 21 samples. Above
    min(1 - 1 / log10(k), 0.7), or for an ess below five, the error is not known: it is inf, and `verdict` says why. The
    weights of a q of finite support are bounded, whatever their k_hat.
    """
    k, chunk = check_count("k", k), None if chunk is None else check_count("chunk", chunk)
    log_weights = partial(draw, log_p, q)
    size = chunk_size(log_weights, key, k) if chunk is None else min(chunk, k)
    return from_log_weights(partial(log_weights, size), key, k, can(q, Enumerable), group)


def draw(log_p: LogDensity, q: Distribution, s: int, key: Key) -> Float[Tensor, "s n"]:
    """Log weights log p(x, z) - log q(z) of s particles by the key."""
    check_function("log_p", log_p, "partial(model.log_joint, params, x)")
    check_distribution("q", q)
    check_key(key)
    z, log_q_z = distributions.draw(q, key, check_count("s", s))
    return _log_weights(log_p, z, log_q_z)


def draw_at(log_p: LogDensity, q: Distribution, z: Event) -> Float[Tensor, "s n"]:
    """Log weights of given particles z (s, n, *event)."""
    check_function("log_p", log_p, "partial(model.log_joint, params, x)")
    check_distribution("q", q)
    check_floating("z", first(z), "s n *event", "samples lead, then data")
    return _log_weights(log_p, z, q.log_prob(z))


def _log_weights(log_p: LogDensity, z: Event, log_q_z: Tensor) -> Tensor:
    log_p_z = log_p(z)
    check_density(log_p_z, log_q_z.shape)
    return log_p_z - log_q_z


@torch.no_grad()
def from_log_weights(
    log_weights: Callable[[Tensor], Float[Tensor, "s n"]], key: Key, k: int, bounded: bool = False,
    group: dist.ProcessGroup | None = None,
) -> Evidence:  # fmt: skip
    """Evidence from a function of a key, the log weights (s, n) of s particles.

    It is called with the key advanced by s particles until there are k; those beyond k are dropped, so that a compiled
    function has one shape. `bounded`: whether the weights are, so that their tail raises no doubt. ValueError for fewer
    samples than processes in the group.
    """
    check_function("log_weights", log_weights, "partial(draw, log_p, q, s)")
    check_key(key)
    k = check_count("k", k)
    tail = tail_size(k) + 1
    start, stop = share(k, group)
    moments, largest, waiting = None, [], []
    while start < stop:
        log_w = log_weights(keys.at(key, particle=start))
        check_log_weights(log_w, "log_weights(key)")
        start += len(log_w)
        waiting.append(at_least_float32(log_w[: len(log_w) - max(0, start - stop)]))
        if start >= stop or sum(map(len, waiting)) >= 2 * tail:  # batched: each step below is many small operations
            log_w, waiting = torch.cat(waiting), []
            moments = _Moments.of(log_w) if moments is None else moments.merge(_Moments.of(log_w))
            log_w = torch.cat([*largest, log_w])
            largest = [log_w.topk(min(tail, len(log_w)), 0).values]
    assert moments is not None
    if group is not None:
        every = zip(shares(k, group), gathered(moments[1:], group), strict=True)
        moments = reduce(_Moments.merge, (_Moments(size, *rows) for size, rows in every))
        padding = largest[0].new_full((min(tail, k) - len(largest[0]), *largest[0].shape[1:]), -torch.inf)
        every = gathered([torch.cat([*largest, padding])], group)
        largest = [torch.cat([rows for (rows,) in every]).topk(min(tail, k), 0).values]
    log_p, error, ess = moments.estimates()
    k_hat = smooth_tail(largest[0], nearly_equal(ess, k)).k_hat
    doubts = of_weights(k_hat, ess, k, bounded)
    return Evidence(log_p, judged(error, doubts), ess, k_hat.to(ess.dtype), doubts)


class _Moments(NamedTuple):
    """Count, mean and summed squared deviation of exp(log_w - peak) per datum: merged without cancellation."""

    size: int
    peak: Tensor
    mean: Tensor
    squares: Tensor

    @classmethod
    def of(cls, log_w: Tensor) -> "_Moments":
        peak = log_w.amax(0)
        peak = torch.where(peak == -torch.inf, torch.finfo(peak.dtype).min, peak)
        w = _over(log_w, peak)
        mean = w.mean(0)
        return cls(log_w.shape[0], peak, mean, (w - mean).square().sum(0))

    def merge(self, other: "_Moments") -> "_Moments":
        size, peak = self.size + other.size, torch.maximum(self.peak, other.peak)
        ours, theirs = _over(self.peak, peak), _over(other.peak, peak)
        gap = theirs * other.mean - ours * self.mean
        mean = ours * self.mean + gap * (other.size / size)
        squares = ours.square() * self.squares + theirs.square() * other.squares
        return _Moments(size, peak, mean, squares + gap.square() * (self.size * other.size / size))

    def estimates(self) -> tuple[Tensor, Tensor, Tensor]:
        """log_p, its standard error, and the effective sample size."""
        k, mean_square = self.size, self.mean.square()
        error = (
            torch.sqrt(self.squares / (k * (k - 1)) / mean_square) if k > 1 else torch.full_like(self.mean, torch.inf)
        )
        ess = k * mean_square / (mean_square + self.squares / k)
        empty = self.mean == 0
        unknown = empty | (self.peak == torch.inf)
        log_p = torch.log(self.mean) + self.peak
        return log_p, torch.where(unknown, torch.inf, error), torch.where(empty, 0.0, ess)


def _over(log_w: Tensor, peak: Tensor) -> Tensor:
    """exp(log_w - peak), where a peak of +inf is 1 and all below it 0."""
    return torch.exp(torch.where((log_w == peak) & (peak == torch.inf), 0.0, log_w - peak))
