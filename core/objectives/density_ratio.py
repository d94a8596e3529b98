"""The total correlation by a discriminator's density ratio: FactorVAE (Kim and Mnih, 2018).

    TC = KL(q(z) || prod_d q(z_d)) = E_q(z) log_ratio(z),    log_ratio = log q(z) - sum_d log q(z_d),
where q(z) is the aggregated posterior, the mean of q(z | x) over the data.

    of_joint, of_product = network(z), network(permuted(key, z))
    discrimination(of_joint, of_product).mean()    # is minimised by the network, whose output tends to log_ratio
    factor(reconstruction, kl, network(z).mean(0), gamma).objective.mean()    # is maximised by the model

Neither may reach the other's parameters: give the first z.detach(), and the second the network's parameters detached.
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_floating, check_key
from jensen.core.contracts import Key
from jensen.core.numerics import at_least_float32
from jensen.core.objectives.terms import Terms, charged, check_scalar, checked, scaled


def permuted(key: Key, z: Float[Tensor, "s n d"]) -> Float[Tensor, "s n d"]:
    """z with every dimension of every sample in an order of its own over data: samples of prod_d q(z_d)."""
    check_key(key)
    check_floating("z", z, "s n d", "draw z = q.sample(q.noise(key, s))")
    return z.gather(1, keys.bits(key, tuple(z.shape)).sort(dim=1, stable=True).indices)


def discrimination(of_joint: Float[Tensor, "s n"], of_product: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
    """The cross-entropy of telling q(z) from prod_d q(z_d), from logits at samples of each, in nats; mean over s.

    It is log 2 for logits of 0, and least where they are log_ratio.
    """
    for name, logits in (("of_joint", of_joint), ("of_product", of_product)):
        check_floating(name, logits, "s n", "a logit for each sample and datum")
    if of_joint.shape != of_product.shape:
        raise ValueError(
            f"expected of_joint and of_product (s, n) alike, got {tuple(of_joint.shape)} and "
            f"{tuple(of_product.shape)}: permute all samples"
        )
    of_joint, of_product = at_least_float32(of_joint), at_least_float32(of_product)
    return 0.5 * (F.softplus(-of_joint) + F.softplus(of_product)).mean(0)


def factor(
    reconstruction: Float[Tensor, " n"],
    kl: Float[Tensor, " n"],
    total_correlation: Float[Tensor, " n"],
    gamma: float | Tensor,
    weight: float | Tensor = 1.0,
) -> Terms:
    """reconstruction - weight (kl + gamma total_correlation), the latter a discriminator's mean logit at q's samples.

    Its parts are the total correlation and the remainder of the KL. ValueError for a negative gamma or weight, or one
    that is neither () nor (n,).
    """
    reconstruction, kl, tc = checked(reconstruction=reconstruction, kl=kl, total_correlation=total_correlation)
    check_scalar("gamma", gamma, len(kl), 0.0)
    check_scalar("weight", weight, len(kl), 0.0)
    parts = {"total_correlation": tc, "remainder": kl - tc}
    return charged(reconstruction, kl, scaled(weight, kl + scaled(gamma, tc)), parts)
