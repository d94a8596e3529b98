"""Autoregressive flows: a transform of each component, with parameters from those before it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import vjp

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key
from jensen.core.contracts import Flow, Key
from jensen.core.flows.affine import Affine
from jensen.core.flows.conditioner import Conditioner, unmoved
from jensen.core.flows.inverse import Inverse
from jensen.core.flows.permutation import with_reversals
from jensen.core.flows.transform import Transform
from jensen.core.nn import masking
from jensen.core.trees import Static


class Autoregressive(NamedTuple):
    """z'_i = transform(theta_i(z_1 … z_i-1, context), z_i), with theta one masked network (Germain et al., 2015).

    `forward` is one pass of the network and `inverse` d passes, which is the inverse autoregressive flow; `Inverse` of
    it is the masked autoregressive flow, whose density is one pass.

    Log det     sum_d of the transform's
    Context     (n, c) where the network was made for one, through weights that all data share; otherwise ignored
    Per datum   with an axis n in its fields, one network for each datum; without, one for all
    Reference   Kingma et al., 2016; Papamakarios et al., 2017; with splines Durkan et al., 2019
    """

    network: Conditioner
    transform: Static[Transform]

    @classmethod
    def identity(
        cls,
        key: Key,
        d: int,
        hidden: Sequence[int] = (64,),
        context: int = 0,
        n: int | None = None,
        transform: Transform = Affine(),
        dtype: torch.dtype = torch.float32,
    ) -> "Autoregressive":
        """The identity: the network's last layer is 0. Its hidden layers have these widths, its context this size."""
        d = check_count("d", d)
        return cls(*unmoved(key, d, d, hidden, context, n, transform, dtype))

    def forward(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        moved, log_slope = self.transform.value.forward(self._theta(z, context, self._masks(z)), z)
        return moved, log_slope.sum(-1)

    def inverse(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        masks, place = self._masks(z), torch.arange(z.shape[-1], device=z.device)
        found, log_slope = torch.zeros_like(z), torch.zeros_like(z)
        for i in range(z.shape[-1]):  # the i-th pass finds the i-th component
            known = torch.where(place < i, found, 0.0)
            found, log_slope = self.transform.value.inverse(self._theta(known, context, masks), z)
        return found, log_slope.sum(-1)

    def push_score(
        self, z: Float[Tensor, "*s n d"], score: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> Float[Tensor, "*s n d"]:
        """J^-T (score - grad log det), J = diag(slope) + the network's part, lower triangular, (*s, n, d, d)."""
        masks = self._masks(z)
        theta, pull_network, *_ = vjp(lambda z: self._theta(z, context, masks), z)
        (moved, _), pull, *_ = vjp(self.transform.value.forward, theta, z)
        zero, one = torch.zeros_like(moved), torch.ones_like(moved)
        of_theta, of_z = pull((zero, one))
        rest = score - of_z - pull_network(of_theta)[0]
        slopes, slope = pull((one, zero))
        jacobian = self.network.pulled(z, context, masks, slopes) + torch.diag_embed(slope)
        return torch.linalg.solve_triangular(jacobian.mT, rest[..., None], upper=True)[..., 0]

    def _theta(self, z: Tensor, context: Tensor | None, masks: list[Tensor]) -> Tensor:
        return self.network.theta(z, context, masks).unflatten(-1, (self.transform.value.parameters, z.shape[-1]))

    def _masks(self, z: Tensor) -> list[Tensor]:
        """Which entries of each weight are not 0."""
        d = self.network.weights[0].shape[-1]
        check_floating("z", z, f"... {d}", f"the flow is of {d} components")
        hidden = [bias.shape[-1] for bias in self.network.biases[:-1]]
        return masking.perceptron(d, hidden, self.transform.value.parameters, z.device)


def iaf(
    key: Key,
    d: int,
    layers: int = 4,
    hidden: Sequence[int] = (64,),
    context: int = 0,
    n: int | None = None,
    transform: Transform = Affine(),
    dtype: torch.dtype = torch.float32,
) -> tuple[Flow, ...]:
    """Inverse autoregressive layers with a reversal after each (Kingma et al., 2016): the identity at the start.

    A sample and its density are one pass of each network, the density of a given value d passes.
    """
    check_key(key)
    each = keys.split(key, check_count("layers", layers))
    return with_reversals(Autoregressive.identity(k, d, hidden, context, n, transform, dtype) for k in each)


def maf(
    key: Key,
    d: int,
    layers: int = 4,
    hidden: Sequence[int] = (64,),
    context: int = 0,
    n: int | None = None,
    transform: Transform = Affine(),
    dtype: torch.dtype = torch.float32,
) -> tuple[Flow, ...]:
    """Masked autoregressive layers with a reversal after each (Papamakarios et al., 2017): the identity at the start.

    The density of a given value is one pass of each network, a sample d passes.
    """
    return tuple(Inverse(flow) for flow in iaf(key, d, layers, hidden, context, n, transform, dtype))
