"""Score-function gradients: weight the score of q by how well a sample did.

Approximates  grad E_q[bound(log_w)], log_w = log p(x, z) - log q(z | x)
With          sum_s (signal_s - b_s) grad log q(z_s) + sum_s u_s grad log_w_s, u = d bound / d log_w, z held fixed.
              signal_s is the bound; for the ELBO it is log_w_s / s, what the bound owes to that sample, and the
              score within grad log_w, whose mean is 0, is left out
Requires      a q with a log density: any, discrete or not; no gradient of log_p in z (`muprop` needs one)
Unbiased when always, for the bound at this number of samples, as long as baseline s does not use sample s, and z is
              a number of its type: see `Beta` for one that often is not
Cost          one evaluation of log_p per sample, differentiated in its own parameters alone; `muprop` one
              evaluation and one gradient at the mean beside
Reference     Williams, 1992; Mnih and Gregor, 2014; for several samples Mnih and Rezende, 2016; `vargrad` Richter
              et al., 2020; `muprop` Gu et al., 2016
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds, trees
from jensen.estimators.gradients import baselines
from jensen.estimators.gradients.contract import (
    Bound,
    LogDensity,
    carry,
    check_bound,
    density,
    difference,
    event_sum,
    over_events,
    require_discrete,
)


def score(
    log_p: LogDensity,
    q: Any,
    noise: Float[Tensor, "s n *d"],
    bound: Bound = bounds.elbo,
    baseline: Callable[..., Tensor] = baselines.none,
) -> Float[Tensor, " n"]:
    """bound(log_w) in nats per datum, (n,), with the score-function gradient.

    A datum whose bound is -inf has no score. ValueError for a baseline that needs more samples.
    """
    check_bound(bound)
    z = q.sample(noise).detach()
    log_q = q.log_prob(z)
    additive = bound is bounds.elbo
    log_w = density(log_p, z) - (log_q.detach() if additive else log_q)
    value = bound(log_w)
    held = log_w.detach()
    signal = (held if additive else value.detach()) - baseline(bound, held, q, z).detach()
    signal = torch.where(value.detach() == -torch.inf, 0.0, signal / len(z) if additive else signal)
    return value + carry((signal * log_q).sum(0))


def vargrad(log_p: LogDensity, q: Any, noise: Float[Tensor, "s n *d"]) -> Float[Tensor, " n"]:
    """The ELBO, (n,), with q's gradient from minus half the sample variance of log_w, samples held fixed.

    That variance is the log-variance divergence from q to the posterior where the samples come from q. Its gradient
    is `score`'s with `baselines.leave_one_out`, sample by sample. ValueError for one sample.
    """
    z = q.sample(noise).detach()
    if len(z) < 2:
        raise ValueError("vargrad needs at least two samples, got one: draw more, or use score")
    log_q = q.log_prob(z)
    log_p_z = density(log_p, z)
    value = bounds.elbo(log_p_z - log_q.detach())
    dead = value.detach() == -torch.inf
    variance = (torch.where(dead, 0.0, log_p_z.detach()) - log_q).var(0)
    return value - carry(torch.where(dead, 0.0, 0.5 * variance))


def muprop(log_p: LogDensity, q: Any, noise: Float[Tensor, "s n *d"]) -> Float[Tensor, " n"]:
    """The ELBO, (n,), with log_w's first-order expansion at q's mean as control variate.

    h(z) = f(m) + f'(m) (z - m), f = log_p - log q, m = q.mean(): its mean under q is known, so
    sum_s (f(z_s) - h(z_s)) grad log q(z_s) / s + f'(m) grad m has the gradient's mean. log_p must take values between
    those of q and be differentiable there. TypeError for a q that is neither Bernoulli nor categorical.
    """
    require_discrete("muprop", q)
    z, frozen = q.sample(noise).detach(), trees.stop(q)
    mean = q.mean()
    log_q = q.log_prob(z)
    log_w = density(log_p, z) - log_q.detach()
    at_mean, pull, *_ = torch.func.vjp(lambda m: density(log_p, m) - frozen.log_prob(m), mean.detach()[None])
    dead = over_events(at_mean == -torch.inf, mean[None])
    slope = torch.where(dead, 0.0, pull(torch.ones_like(at_mean))[0]).detach()
    expansion = at_mean.detach() + event_sum(slope * (z - mean.detach()))
    signal = difference(log_w.detach(), expansion) / len(z)
    return bounds.elbo(log_w) + carry((signal * log_q).sum(0) + event_sum(slope * mean).squeeze(0))
