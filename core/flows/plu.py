"""The invertible linear map by its PLU factors: the 1×1 convolution of Glow (Kingma and Dhariwal, 2018)."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key
from jensen.core.contracts import Key
from jensen.core.flows._zeros import zeros
from jensen.core.flows.conditioner import linear
from jensen.core.flows.permutation import inverted, permuted
from jensen.core.trees import Static


class PLU(NamedTuple):
    """z' = P L (U + diag(sign exp(log_scale))) z, with L below and U above the diagonal, and ones on that of L.

    The permutation P and the signs are fixed, and no tensors.

    Log det     sum_d log_scale
    Context     ignored; see `Hypernetwork`
    Per datum   with an axis n in its fields, one map for each datum; without, one for all
    Reference   Kingma and Dhariwal, 2018
    """

    lower: Float[Tensor, "*n d d"]
    upper: Float[Tensor, "*n d d"]
    log_scale: Float[Tensor, "*n d"]
    order: Static[tuple[int, ...]]
    sign: Static[tuple[float, ...]]

    @classmethod
    def identity(cls, d: int, dtype: torch.dtype = torch.float32) -> "PLU":
        zero = zeros(d, dtype)
        return cls(torch.diag(zero), torch.diag(zero), zero, Static(tuple(range(d))), Static((1.0,) * d))

    @classmethod
    def rotation(cls, key: Key, d: int, dtype: torch.dtype = torch.float32) -> "PLU":
        """A random rotation or reflection, from which Glow starts."""
        check_key(key)
        d = check_count("d", d)
        q, _ = torch.linalg.qr(keys.normal(key, (d * d,), dtype).reshape(d, d).double())
        p, lower, upper = torch.linalg.lu(q)
        scale = upper.diagonal()
        order, sign = tuple(p.argmax(1).tolist()), tuple(scale.sign().tolist())
        below, above, log_scale = (t.to(dtype) for t in (lower.tril(-1), upper.triu(1), scale.abs().log()))
        return cls(below, above, log_scale, Static(order), Static(sign))

    def forward(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        lower, upper = self._factors(z)
        moved = permuted(linear(lower, None, linear(upper, None, z)), self.order.value)
        return moved, self.log_scale.sum(-1) + torch.zeros_like(z[..., 0])

    def inverse(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        lower, upper = self._factors(z)
        found = _solved(upper, _solved(lower, permuted(z, inverted(self.order.value)), False), True)
        return found, torch.zeros_like(z[..., 0]) - self.log_scale.sum(-1)

    def _factors(self, z: Tensor) -> tuple[Tensor, Tensor]:
        d = self.log_scale.shape[-1]
        check_floating("z", z, f"... {d}", f"the flow is of {d} components")
        sign = torch.tensor(self.sign.value, dtype=z.dtype, device=z.device)
        one = torch.eye(d, dtype=z.dtype, device=z.device)
        return self.lower.tril(-1) + one, self.upper.triu(1) + torch.diag_embed(sign * torch.exp(self.log_scale))


def _solved(factor: Tensor, z: Tensor, upper: bool) -> Tensor:
    """factor^-1 z, of one triangular factor for all data or each datum's own."""
    rows = z if factor.ndim == 2 else z[..., None, :]
    return torch.linalg.solve_triangular(factor.mT, rows, upper=not upper, left=False).reshape(z.shape)
