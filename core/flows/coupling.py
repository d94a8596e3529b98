"""Affine coupling layers (Dinh et al., 2017): an affine map of one part of z, conditioned on the other part."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_dtype, check_floating, check_key
from jensen.core.contracts import Flow, Key


class Coupling(NamedTuple):
    """z' = (z1, shift + exp(log_scale) z2), with shift and log_scale a network of z1: RealNVP's layer.

    z1 is the first c of d components, z2 the rest; (shift, t) = out tanh(inner z1 + inner_bias) + out_bias and
    log_scale = 2 tanh(t / 2), so that one coupling scales by e^2 at most.

    Log det     sum_d log_scale
    Context     ignored
    Per datum   with an axis n in its fields, one network for each datum; without, one for all
    Reference   Dinh et al., 2017
    """

    inner: Float[Tensor, "*n h c"]
    inner_bias: Float[Tensor, "*n h"]
    out: Float[Tensor, "*n 2*(d-c) h"]
    out_bias: Float[Tensor, "*n 2*(d-c)"]

    @classmethod
    def identity(
        cls, key: Key, d: int, hidden: int, n: int | None = None, dtype: torch.dtype = torch.float32
    ) -> "Coupling":
        """The identity, for n data or one for all: the outer layer is 0, the inner one standard normal."""
        d, hidden = check_count("d", d), check_count("hidden", hidden)
        n = None if n is None else check_count("n", n)
        c, (inner_key, bias_key) = d // 2, keys.split(key)
        inner = keys.normal(inner_key, (hidden * c,), dtype).reshape(hidden, c)
        bias = keys.normal(bias_key, (hidden,), dtype)
        out, out_bias = inner.new_zeros(2 * (d - c), hidden), inner.new_zeros(2 * (d - c))
        return cls(*(t if n is None else t.expand(n, *t.shape).clone() for t in (inner, bias, out, out_bias)))

    def forward(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        z1, z2 = self._split(z)
        shift, log_scale = self._affine(z1)
        return torch.cat([z1, shift + torch.exp(log_scale) * z2], -1), log_scale.sum(-1)

    def inverse(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        z1, z2 = self._split(z)
        shift, log_scale = self._affine(z1)
        return torch.cat([z1, torch.exp(-log_scale) * (z2 - shift)], -1), -log_scale.sum(-1)

    def _affine(self, z1: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(_linear(self.inner, self.inner_bias, z1))
        shift, log_scale = _linear(self.out, self.out_bias, h).chunk(2, -1)
        return shift, 2 * torch.tanh(log_scale / 2)

    def _split(self, z: Tensor) -> list[Tensor]:
        c, moved = self.inner.shape[-1], self.out.shape[-2] // 2
        check_floating("z", z, f"... {c + moved}", f"the coupling is of {c} and {moved} components")
        check_dtype("z", z, self.inner, "the coupling's networks")
        return list(z.split([c, moved], -1))


class Reverse(NamedTuple):
    """The components in reverse order, so that the next coupling changes those that the last one left.

    Log det     0
    Context     ignored
    Per datum   no parameters
    Reference   Dinh et al., 2017
    """

    def forward(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        check_floating("z", z, "... d")
        return z.flip(-1), torch.zeros_like(z[..., 0])

    def inverse(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        return self.forward(z)


def real_nvp(
    key: Key,
    d: int,
    couplings: int = 4,
    hidden: int = 16,
    n: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Flow, ...]:
    """An even number of couplings with a reversal after each: the identity at the start."""
    check_key(key)
    if check_count("couplings", couplings) % 2:
        raise ValueError(f"expected an even number of couplings, 2 or more, got {couplings}: each changes half of z")
    drawn = [Coupling.identity(k, d, hidden, n, dtype) for k in keys.split(key, couplings)]
    return tuple(flow for coupling in drawn for flow in (coupling, Reverse()))


def _linear(weight: Tensor, bias: Tensor, z: Tensor) -> Tensor:
    """One layer for all data, or each datum's own: weight (*n, o, i), z (*s, n, i)."""
    return torch.einsum("...i,...oi->...o", z, weight) + bias
