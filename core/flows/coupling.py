"""Coupling layers (Dinh et al., 2017): a transform of one part of z, with parameters from the other part."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key
from jensen.core.contracts import Flow, Key
from jensen.core.flows.affine import Affine
from jensen.core.flows.conditioner import Conditioner, unmoved
from jensen.core.flows.permutation import with_reversals
from jensen.core.flows.spline import RationalQuadratic
from jensen.core.flows.transform import Transform
from jensen.core.trees import Static


class Coupling(NamedTuple):
    """z' = (z1, transform(theta, z2)), with theta a network of z1, the first c of d components, and of the context.

    Log det     sum_d of the transform's
    Context     (n, c) where the network was made for one, through weights that all data share; otherwise ignored
    Per datum   with an axis n in its fields, one network for each datum; without, one for all
    Reference   Dinh et al., 2017; with splines Durkan et al., 2019
    """

    network: Conditioner
    transform: Static[Transform]

    @classmethod
    def identity(
        cls,
        key: Key,
        d: int,
        hidden: Sequence[int] = (16,),
        context: int = 0,
        n: int | None = None,
        transform: Transform = Affine(),
        dtype: torch.dtype = torch.float32,
    ) -> "Coupling":
        """The identity: the network's last layer is 0. Its hidden layers have these widths, its context this size."""
        d = check_count("d", d)
        return cls(*unmoved(key, d // 2, d - d // 2, hidden, context, n, transform, dtype))

    def forward(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        z1, z2, theta = self._parts(z, context)
        moved, log_slope = self.transform.value.forward(theta, z2)
        return torch.cat([z1, moved], -1), log_slope.sum(-1)

    def inverse(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        z1, z2, theta = self._parts(z, context)
        moved, log_slope = self.transform.value.inverse(theta, z2)
        return torch.cat([z1, moved], -1), log_slope.sum(-1)

    def _parts(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """z1, z2 and theta."""
        p, c = self.transform.value.parameters, self.network.weights[0].shape[-1]
        moved = self.network.biases[-1].shape[-1] // p
        check_floating("z", z, f"... {c + moved}", f"the coupling is of {c} and {moved} components")
        z1, z2 = z.split([c, moved], -1)
        return z1, z2, self.network.theta(z1, context).unflatten(-1, (p, moved))


def real_nvp(
    key: Key,
    d: int,
    couplings: int = 4,
    hidden: Sequence[int] = (16,),
    context: int = 0,
    n: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Flow, ...]:
    """An even number of affine couplings with a reversal after each (Dinh et al., 2017): the identity at the start."""
    return _alternating(key, d, couplings, hidden, context, n, Affine(), dtype)


def spline_couplings(
    key: Key,
    d: int,
    couplings: int = 4,
    hidden: Sequence[int] = (16,),
    bins: int = 8,
    bound: float = 5.0,
    context: int = 0,
    n: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Flow, ...]:
    """An even number of spline couplings with a reversal after each (Durkan et al., 2019): the identity at the start.

    Each spline has so many bins on [-bound, bound], and is the identity outside.
    """
    return _alternating(key, d, couplings, hidden, context, n, RationalQuadratic(bins, bound), dtype)


def _alternating(
    key: Key,
    d: int,
    couplings: int,
    hidden: Sequence[int],
    context: int,
    n: int | None,
    transform: Transform,
    dtype: torch.dtype,
) -> tuple[Flow, ...]:
    check_key(key)
    if check_count("couplings", couplings) % 2:
        raise ValueError(f"expected an even number of couplings, 2 or more, got {couplings}: each changes half of z")
    return with_reversals(
        Coupling.identity(k, d, hidden, context, n, transform, dtype) for k in keys.split(key, couplings)
    )
