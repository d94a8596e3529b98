"""Score-function gradients (REINFORCE): the score of q, weighted by the bound.

Approximates  grad E_q[bound(log_w)], log_w = log p(x, z) - log q(z | x)
With          sum_s (bound - b_s) grad log q(z_s) + sum_s u_s grad log_w_s, u = d bound / d log_w, z detached. For an
              additive bound u_s (log_w_s - b_s), the term of that sample alone, weights its score, and the score
              within grad log_w, whose mean is 0, is left out
Requires      a q with a log density: any, discrete or not; no gradient of log_p in z (`muprop` needs one)
Unbiased when always, for the bound at this number of samples, if baseline s does not use sample s, and log q is that
              of the rounded sample, as `distributions.edge_cells` makes it
Cost          one evaluation of log_p per sample, differentiated in theta alone; `muprop` one evaluation and one
              gradient at the mean beside
Reference     Williams, 1992; Mnih and Gregor, 2014; for several samples Mnih and Rezende, 2016; `vargrad` Richter
              et al., 2020; `muprop` Gu et al., 2016
"""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds, trees
from jensen.core.checks import check_function
from jensen.core.contracts import Bound, Distribution, LogDensity, Noise, Relaxable
from jensen.estimators.gradients import baselines, catalogue
from jensen.estimators.gradients.contract import (
    apply_bound,
    carry,
    check_density,
    density,
    difference,
    event_sum,
    log_q_at,
    log_ratio,
    over_events,
    sample_with_score,
    shares,
    sizes,
)


def score(
    log_p: LogDensity,
    q: Distribution,
    noise: Noise,
    /,
    *,
    bound: Bound = bounds.elbo,
    baseline: baselines.Baseline = baselines.none,
) -> Float[Tensor, " n"]:
    """bound(log_w) in nats per datum, (n,), with the score-function gradient.

    The score of a datum whose bound is -inf is left out. ValueError for a baseline that needs more samples.
    """
    catalogue.check("score", q, bound, *sizes(noise))
    check_function("baseline", baseline, "baselines.vimco")
    z, log_q = sample_with_score(q, noise)
    log_p_z = density(log_p, z)
    additive = bounds.additive(bound, log_q)
    detached = log_p_z.detach() - log_q.detach()
    value = apply_bound(bound, log_p_z - bounds.choose(additive, log_q.detach, lambda: log_q))
    b = baseline(bound, detached, q, z)
    check_density(b, log_q.shape, "baseline(bound, log_w, q, z)")
    b = b.detach()

    def of_each() -> Tensor:
        return bounds.derivatives(bound, detached)[0] * difference(detached, b)

    weights = bounds.choose(additive, of_each, lambda: value.detach() - b)
    return value + carry((torch.where(value.detach() == -torch.inf, 0.0, weights) * log_q).sum(0))


def vargrad(log_p: LogDensity, q: Distribution, noise: Noise, /, *, bound: Bound = bounds.elbo) -> Float[Tensor, " n"]:
    """The ELBO in nats per datum, (n,), with q's gradient of minus half the sample variance of log_w, z detached.

    The log-variance divergence from q to the posterior (Richter et al., 2020). Its gradient is that of `score` with
    `baselines.leave_one_out`, sample by sample. ValueError for one sample, or another bound.
    """
    catalogue.check("vargrad", q, bound, *sizes(noise))
    z, log_q = sample_with_score(q, noise)
    log_p_z = density(log_p, z)
    value = apply_bound(bound, log_p_z - log_q.detach())
    weights = shares(bound, log_q)
    empty = value.detach() == -torch.inf
    log_w = torch.where(empty, 0.0, log_p_z.detach()) - log_q
    variance = (weights * (log_w - log_w.mean(0)).square()).sum(0) * len(log_w) / (len(log_w) - 1)
    return value - carry(torch.where(empty, 0.0, 0.5 * variance))


def muprop(log_p: LogDensity, q: Relaxable, noise: Noise, /, *, bound: Bound = bounds.elbo) -> Float[Tensor, " n"]:
    """The ELBO in nats per datum, (n,), with log_w's first-order expansion at q's mean as control variate.

    h(z) = f(m) + f'(m) (z - m), f = log_p - log q, m = q.mean(), has a known mean under q, so that
    sum_s u_s (f(z_s) - h(z_s)) grad log q(z_s) + f'(m) grad m is unbiased. log_p must be defined between the values of
    z and differentiable there. TypeError for a q that cannot be relaxed, ValueError for another bound.
    """
    catalogue.check("muprop", q, bound, *sizes(noise))
    z, stopped = q.sample(noise).detach(), trees.stop(q)
    mean = q.mean()
    log_q = log_q_at(q, z)
    log_w = density(log_p, z) - log_q.detach()
    at_mean, pull, *_ = torch.func.vjp(lambda m: log_ratio(log_p, stopped, m), mean.detach()[None])
    outside = over_events(at_mean == -torch.inf, mean[None])
    slope = torch.where(outside, 0.0, pull(torch.ones_like(at_mean))[0]).detach()
    expansion = at_mean.detach() + event_sum(slope * (z - mean.detach()))
    weights = shares(bound, log_w) * difference(log_w.detach(), expansion)
    return apply_bound(bound, log_w) + carry((weights * log_q).sum(0) + event_sum(slope * mean).squeeze(0))
