"""Baselines of score-function gradients: what is subtracted from the weight of a sample's score.

A baseline is a function (bound, log_w, q, z) -> (s, n), of a detached log_w (s, n), the value q and its samples z.
Entry s may depend on every sample but s, and on anything that is no sample: then it changes the variance of the
gradient and not its mean. It is subtracted from log_w_s for an additive bound, else from the bound. All but `none` and
the two values with a state need at least two samples.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, vmap

from jensen.core import bounds, trees
from jensen.core.bounds.derivatives import checked
from jensen.core.bounds.weights import check_log_weights
from jensen.core.checks import check_distribution, check_floating, check_number
from jensen.core.contracts import Bound, Derivatives, Distribution, Event, can
from jensen.core.numerics import log_add_exp
from jensen.estimators.gradients import catalogue
from jensen.estimators.gradients.contract import additive, difference, event_sum

Baseline: TypeAlias = Callable[[Bound, Tensor, Distribution, Event], Tensor]


def none(
    bound: Bound, log_w: Float[Tensor, "s n"], q: Distribution | None = None, z: Event = None
) -> Float[Tensor, "s n"]:
    """Zero: REINFORCE (Williams, 1992)."""
    check_log_weights(log_w)
    return torch.zeros_like(log_w)


def leave_one_out(
    bound: Bound, log_w: Float[Tensor, "s n"], q: Distribution | None = None, z: Event = None
) -> Float[Tensor, "s n"]:
    """The bound of the other samples, b_s = bound(log_w without s).

    RLOO's mean of the others for the ELBO (Salimans and Knowles, 2014; Kool et al., 2019). For IWAE it is VIMCO's
    arithmetic baseline, log mean_{t != s} w_t, which is the bound with w_s replaced by the others' mean.
    """
    check_log_weights(log_w)
    catalogue.check_baseline("leave_one_out", q, bound, *log_w.shape)
    return bounds.choose(
        additive(bound, log_w), lambda: _mean_of_others(log_w), lambda: _finite(_bound_of_others(bound, log_w))
    )


def vimco(
    bound: Bound, log_w: Float[Tensor, "s n"], q: Distribution | None = None, z: Event = None
) -> Float[Tensor, "s n"]:
    """VIMCO (Mnih and Rezende, 2016): the bound with w_s replaced by the geometric mean of the others."""
    check_log_weights(log_w)
    catalogue.check_baseline("vimco", q, bound, *log_w.shape)
    return bounds.choose(
        additive(bound, log_w), lambda: _mean_of_others(log_w), lambda: _finite(_bound_of_swaps(bound, log_w))
    )


def optimal(bound: Bound, log_w: Float[Tensor, "s n"], q: Distribution, z: Event) -> Float[Tensor, "s n"]:
    """The scalar of least variance, E[log_w g] / E[g] with g = |grad log q(z)|^2, estimated from the other samples.

    g is taken in q's fields (Ranganath et al., 2014, with one coefficient for all), which must have a row per datum:
    TypeError for others. ValueError for a bound that is not additive, which has no term for each sample.
    """
    check_log_weights(log_w)
    check_distribution("q", q)
    catalogue.check_baseline("optimal", q, bound, *log_w.shape)
    slopes = vmap(grad(lambda q, z: q.log_prob(trees.map(lambda t: t[None], z)).sum()), in_dims=(None, 0))(
        trees.stop(q), z
    )
    g = torch.stack([event_sum(t.square()) for t in trees.leaves(slopes)]).sum(0)
    finite = torch.where(log_w == -torch.inf, 0.0, log_w)
    found = _sum_of_others(finite * g) / _sum_of_others(g).clamp_min(torch.finfo(g.dtype).tiny)
    return bounds.choose(bounds.additive(bound, log_w), lambda: found, lambda: torch.full_like(found, torch.nan))


class RunningMean(NamedTuple):
    """The exponential moving average of earlier bounds, a state that the caller updates.

    value = score(log_p, q, noise, baseline=state)
    state = state.update(value)
    """

    total: Float[Tensor, ""]
    weight: Float[Tensor, ""]

    @classmethod
    def start(cls, like: Tensor) -> "RunningMean":
        """Before the first bound: a baseline of 0."""
        check_floating("like", like)
        zero = torch.zeros((), dtype=like.dtype, device=like.device)
        return cls(zero, zero)

    def __call__(
        self, bound: Bound, log_w: Float[Tensor, "s n"], q: Distribution | None = None, z: Event = None
    ) -> Float[Tensor, "s n"]:
        return torch.where(self.weight == 0, 0.0, self.total / self.weight).expand_as(log_w)

    def update(self, value: Float[Tensor, " n"], decay: float = 0.9) -> "RunningMean":
        """The state after the bounds of one step, without those of -inf."""
        check_floating("value", value, "n", "pass the estimator's")
        decay = check_number("decay", decay, "[0, 1)", "at 1 no step would count")
        finite = value.detach() != -torch.inf
        share = (1 - decay) * finite.any()
        mean = torch.where(finite, value.detach(), 0.0).sum() / finite.sum().clamp_min(1)
        return RunningMean((1 - share) * self.total + share * mean, (1 - share) * self.weight + share)


class Learned(NamedTuple):
    """NVIL's input-dependent baseline (Mnih and Gregor, 2014): a network's prediction of the bound, (n,).

    The network is trained by a loss of its own:

        learned = Learned(network(x))
        value = score(log_p, q, noise, baseline=learned)
        loss = -value.mean() + learned.loss(value).mean()
    """

    prediction: Float[Tensor, " n"]

    def __call__(
        self, bound: Bound, log_w: Float[Tensor, "s n"], q: Distribution | None = None, z: Event = None
    ) -> Float[Tensor, "s n"]:
        self._check(log_w.shape[1])
        return self.prediction.detach().expand_as(log_w)

    def loss(self, value: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The squared error of the prediction, (n,), and 0 for a bound of -inf."""
        check_floating("value", value, "n", "pass the estimator's")
        self._check(len(value))
        return difference(value.detach(), self.prediction).square()

    def _check(self, n: int) -> None:
        check_floating("prediction", self.prediction)
        if self.prediction.shape != (n,):
            shape = tuple(self.prediction.shape)
            raise ValueError(f"expected prediction ({n},), one per datum, got {shape}: flatten the network's output")


def _bound_of_others(bound: Bound, log_w: Tensor) -> Tensor:
    if bounds.iwae == bound:
        return bounds.leave_one_out_iwae(log_w)
    s = len(log_w)
    index = torch.arange(s, device=log_w.device)
    others = index[:-1, None] + (index[:-1, None] >= index)  # (s - 1, s), column s without s
    try:
        return _of_each(bound, log_w[others])
    except (ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"leave_one_out needs the bound of {s - 1} samples: use vimco ({reason})") from error


def _bound_of_swaps(bound: Bound, log_w: Tensor) -> Tensor:
    s = len(log_w)
    if bounds.iwae == bound:
        others = bounds.leave_one_out_iwae(log_w) + math.log(s - 1)
        return log_add_exp(others, _mean_of_others(log_w, -torch.inf)) - math.log(s)
    own = torch.eye(s, dtype=torch.bool, device=log_w.device)[..., None]
    swapped = torch.where(own, _mean_of_others(log_w, -torch.inf), log_w[:, None])
    return _of_each(bound, swapped)


def _of_each(bound: Bound, sets: Float[Tensor, "t s n"]) -> Float[Tensor, "s n"]:
    """The bound of s sets of t samples: of all at once, but for a function, which may be another for each datum."""
    if can(bound, Derivatives):
        return rearrange(checked(bound, rearrange(sets, "t s n -> t (s n)")), "(s n) -> s n", s=sets.shape[1])
    return torch.stack([checked(bound, each) for each in sets.unbind(1)])


def _mean_of_others(log_w: Tensor, of_none: float = 0.0) -> Tensor:
    """The mean over t != s, and `of_none` where one of them is outside the support."""
    outside = log_w == -torch.inf
    finite = torch.where(outside, 0.0, log_w)
    return torch.where(outside.sum(0) > outside, of_none, _sum_of_others(finite) / (len(log_w) - 1))


def _sum_of_others(t: Tensor) -> Tensor:
    """Sums of the terms before and after each: the total less one term would have that term's rounding error."""
    zero = torch.zeros_like(t[:1])
    before, after = torch.cat([zero, t[:-1]]).cumsum(0), torch.cat([t[1:], zero]).flip(0).cumsum(0).flip(0)
    return before + after


def _finite(baseline: Tensor) -> Tensor:
    """0 where the other samples are all outside the support."""
    return torch.where(baseline.abs() == torch.inf, 0.0, baseline)
