"""The logistic distribution in cells around equally spaced levels, such as an image's grey values."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.checks import check_count
from jensen.core.contracts import Key
from jensen.core.distributions._draw import sample_then_log_prob
from jensen.core.distributions.shapes import check_fields, check_value, noise_shape
from jensen.core.distributions.support import moved_inside, outside, zero_density
from jensen.core.distributions.uniform import logistic
from jensen.core.numerics import at_least_float32, bounded
from jensen.core.trees import Static


class DiscretisedLogistic(NamedTuple):
    """The level in [0, 1] nearest to a logistic number, independent components: fields (n, d), log_scale bounded.

    P(z) = sigmoid((z + h - loc) / scale) - sigmoid((z - h - loc) / scale), h half the distance between levels, and the
    cells of 0 and 1 reach to infinity (Kingma et al., 2016; Salimans et al., 2017).

    Support       {0, 1 / (levels - 1), ..., 1}^d, to half a ten-thousandth of a cell
    Noise         uniform, (s, n, d)
    Closed forms  mean
    """

    loc: Float[Tensor, "*n d"]
    log_scale: Float[Tensor, "*n d"]
    levels: Static[int]

    reparameterised = False
    sample_and_log_prob = sample_then_log_prob

    def noise(self, key: Key, s: int, /) -> Float[Tensor, "s n d"]:
        """Uniform noise (s, n, d) for `sample`."""
        return keys.uniform(key, noise_shape(self.loc, s, 2), at_least_float32(self.loc).dtype)

    def sample(self, u: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n d"]:
        """The level nearest to loc + scale log(u / (1 - u)); no gradient passes."""
        check_value(u, self.loc, "noise")
        self._check()
        z = self.loc + torch.exp(bounded(self.log_scale)) * logistic(u)
        return (self._index(z) / self._last()).detach().to(self.loc.dtype)

    def log_prob(self, z: Float[Tensor, "... d"], /) -> Float[Tensor, "..."]:
        """sum_d log P(z) in nats per datum: (s, n, d) -> (s, n)."""
        check_value(z, self.loc)
        rows = self._between(z)
        index = self._index(moved_inside(z, rows, 0.0))
        low, high = self._standardised(index - 0.5), self._standardised(index + 0.5)
        inner = F.logsigmoid(high) + F.logsigmoid(-low) + torch.log(-torch.expm1(low - high))
        first, last = index == 0, index == self._last()
        log_p = torch.where(first, F.logsigmoid(high), torch.where(last, F.logsigmoid(-low), inner))
        return zero_density(log_p.sum(-1), rows)

    def mean(self) -> Float[Tensor, "*n d"]:
        """sum_k P(Z >= k / (levels - 1)) / (levels - 1) over all levels but 0: (n, d)."""
        self._check()
        last = self._last()
        places = torch.arange(last, device=self.loc.device) + 0.5
        loc, scale = (at_least_float32(t)[..., None] for t in (self.loc, bounded(self.log_scale).exp()))
        return torch.sigmoid((loc - places / last) / scale).mean(-1)

    def _index(self, z: Tensor) -> Tensor:
        return torch.round(z.detach() * self._last()).clamp(0, self._last())

    def _last(self) -> int:
        return self.levels.value - 1

    def _standardised(self, place: Tensor) -> Tensor:
        """(place - loc) / scale, of a place in units of cells."""
        scale = torch.exp(bounded(at_least_float32(self.log_scale)))
        return (place / self._last() - at_least_float32(self.loc)) / scale

    def _between(self, z: Tensor) -> Bool[Tensor, "..."]:
        """Whether a component is at no level."""
        self._check()
        place = z.detach() * self._last()
        return outside(torch.where((place - place.round()).abs() > 5e-5, -1.0, place), 0.0, float(self._last()))

    def _check(self) -> None:
        check_fields(loc=self.loc, log_scale=self.log_scale)
        check_count("levels", self.levels.value, 2)
