"""Doubly reparameterised gradients of multi-sample bounds.

Approximates  grad E_q[bound(log_w)], log_w = log p(x, z) - log q(z | x)
With          z = q.sample(noise), u = d bound / d log_w and h = the diagonal of d^2 bound / d log_w^2:
              sum_s u_s grad_theta log_w_s for theta, the parameters of log_p, and
              sum_s (u_s - h_s) (d log_w_s / d z_s) (d z_s / d phi) for phi, those of q.
              For IWAE u = w, the normalised weights, and u - h = w^2; the score term of the plain pathwise gradient,
              -sum_s u_s grad_phi log q(z_s), is reparameterised a second time, into -h on the path
Requires      a reparameterised q, a twice differentiable bound
Unbiased when always, for the bound at this number of samples, for theta and phi each; not for the weights of
              `bounds.TailAdaptive`, which are no function's derivatives
Cost          one evaluation of log_p per sample and one backward pass through it, as for `pathwise`
Reference     Tucker et al., 2019; for several layers and other bounds Bauer and Mnih, 2021
"""

from jaxtyping import Float
from torch import Tensor

from jensen.core import bounds
from jensen.core.contracts import Bound, Derivatives, Distribution, LogDensity, Noise, can
from jensen.core.ops import path_scale
from jensen.estimators.gradients import catalogue
from jensen.estimators.gradients._pathwise import stl
from jensen.estimators.gradients.contract import apply_bound, carry, density, sample_with_path, sizes, weighted


def dreg(log_p: LogDensity, q: Distribution, noise: Noise, /, *, bound: Bound = bounds.iwae) -> Float[Tensor, " n"]:
    """bound(log_w) in nats per datum, (n,), with the doubly reparameterised gradient.

    The gradient is 0 for an exact posterior; near one, or with many samples, its variance is far below that of
    `pathwise`, and its signal-to-noise ratio does not fall as samples are added; far from one it can be noisier. For an
    additive bound, or one sample, it is `stl`; with `bounds.TailAdaptive`, whose path coefficients are 1, it is the
    tail-adaptive gradient. The layers of a `Hierarchical` q are one joint sample.

    Once differentiable, in reverse mode: see `ops.path_scale`. TypeError for a discrete q. ValueError for `vr_max`,
    which is not differentiable where two particles tie.
    """
    catalogue.check("dreg", q, bound, *sizes(noise))
    if can(bound, Derivatives) and bounds.additive(bound, sizes(noise)[0]):
        return stl(log_p, q, noise, bound=bound)
    z, log_q = sample_with_path(q, noise)
    z, first, second = path_scale(z)
    log_q_z = log_q(z)
    log_w = density(log_p, z) - log_q_z
    u, path = bounds.derivatives(bound, log_w.detach())
    scale = (path.detach() * first + second).sum(0)  # scales each sample's path in the backward pass
    return apply_bound(bound, log_w.detach()) + carry(weighted(u, log_w) + scale)
