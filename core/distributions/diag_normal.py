"""The diagonal normal."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.distributions.shapes import check_fields, check_value, noise_shape
from jensen.core.numerics import bounded
from jensen.core.ops import normal_kl, normal_log_prob, normal_sample
from jensen.core.ops._normal_log_prob import HALF_LOG_2PI


class DiagNormal(NamedTuple):
    """N(loc, exp(log_scale)^2) with independent components, one per datum: fields (n, d).

    Scales lie in [e^-20, e^20] (float16: [e^-4, e^4]); log_scale is levelled off beyond, see `numerics.bounded`.
    """

    loc: Float[Tensor, "*n d"]
    log_scale: Float[Tensor, "*n d"]

    reparameterised = True

    @classmethod
    def from_mean(cls, mean: Float[Tensor, "*n d"]) -> "DiagNormal":
        """The unit-scale normal of this mean."""
        return cls(mean, torch.zeros_like(mean))

    @classmethod
    def from_scale(cls, loc: Float[Tensor, "*n d"], scale: Float[Tensor, "..."]) -> "DiagNormal":
        """The normal of this mean and standard deviation, expanded to loc's shape. ValueError unless scale > 0."""
        if is_concrete(scale) and not (scale > 0).all():
            raise ValueError(f"expected scales above 0, got {scale.min().item():.4g}: pass log_scale for any number")
        return cls(loc, torch.log(scale).expand_as(loc))

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Standard normal noise (s, n, d) for `sample`."""
        return keys.normal(key, noise_shape(self.loc, s, 2), self.loc.dtype)

    def sample(self, eps: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """z = loc + exp(log_scale) eps, differentiable in both."""
        self._check()
        check_value(eps, self.loc)
        return (self.loc + torch.exp(bounded(self.log_scale)) * eps).to(self.loc.dtype)

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """log N(z; loc, scale^2) in nats per datum: z (s, n, d) -> (s, n)."""
        self._check()
        check_value(z, self.loc)
        return normal_log_prob(z, self.loc, self.log_scale)

    def draw(self, key: Key, s: int, /) -> tuple[Float[Tensor, "s n d"], Float[Tensor, "s n"]]:
        """(z, log N(z)) of the noise at the key's place: one operation, differentiable in both fields."""
        self._check()
        noise_shape(self.loc, s, 2)
        return normal_sample(key, self.loc, self.log_scale, s)

    def mean(self) -> Float[Tensor, "*n d"]:
        """loc: (n, d)."""
        return self.loc

    def entropy(self) -> Float[Tensor, "..."]:
        """sum_d log_scale + log(2 pi e) / 2, in nats: (n,)."""
        self._check()
        return (bounded(self.log_scale) + HALF_LOG_2PI + 0.5).sum(-1)

    def kl(self, p: "DiagNormal", /) -> Float[Tensor, "..."]:
        """KL(self || p) in nats per datum: (n,)."""
        self._check()
        p._check()
        check_value(self.loc, p.loc)
        return normal_kl(self.loc, self.log_scale, p.loc, p.log_scale)

    def kl_per_dimension(self, p: "DiagNormal", /) -> Float[Tensor, "... d"]:
        """The terms of `kl`: (n, d)."""
        self._check()
        p._check()
        check_value(self.loc, p.loc)
        return normal_kl(*(t[..., None] for t in (*self, *p)))

    def _check(self) -> None:
        check_fields(self.loc, self.log_scale)
