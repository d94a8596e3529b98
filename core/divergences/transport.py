"""Optimal transport between distributions of independent components, over which the cost is a sum."""

from jaxtyping import Float
from torch import Tensor

from jensen.core.contracts import Distribution, Transportable
from jensen.core.divergences.exact import one_family


def squared_wasserstein2(q: Distribution, p: Distribution) -> Float[Tensor, " n"]:
    """The least mean squared distance |z - z'|^2 of a joint draw z ~ q, z' ~ p: (n,), in squared units of z, not nats.

    Squared, as its root has no gradient where q = p. TypeError for q and p of two families, and for one without the
    capability.
    """
    one, other = one_family(q, p, Transportable, "a squared_wasserstein2", "compare samples with squared_mmd instead")
    return one.squared_wasserstein2(other)
