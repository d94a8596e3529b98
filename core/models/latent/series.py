"""Time series of irregular times with values that may be missing, and what models of them share.

A model gives p(x | z) at every time of a series, observed or not: what is not observed is what it predicts. To predict
at other times, add them with a mask of False.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.core import trees
from jensen.core.checks import check_distribution, check_dtype, check_floating, check_tensor, described
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Distribution, Key
from jensen.core.distributions import DiagNormal
from jensen.core.trees import Params


class Series(NamedTuple):
    """n series of m times each; what stands where the mask is False, NaN too, changes nothing."""

    times: Float[Tensor, "n m"]
    values: Float[Tensor, "n m c"]
    mask: Bool[Tensor, "n m"]  # whether it is observed

    def filled(self) -> Float[Tensor, "n m c"]:
        """The values, 0 where they are not observed."""
        return torch.where(self.mask[..., None], self.values, 0.0)

    def only(self, mask: Bool[Tensor, "n m"]) -> "Series":
        """The series with fewer observations: those of the mask too."""
        return self._replace(mask=self.mask & mask)


class Inferred(NamedTuple):
    """What a model makes of series: p(x | z) of samples of q(z | x), and q's divergence from the prior.

    The ELBO in nats per series is observed_log_prob(p, x).mean(0) - kl.sum(-1).
    """

    p: DiagNormal  # of the values at every time: fields (s, n, m, c)
    kl: Float[Tensor, "n k"]  # by latent dimension or by visit: its sum is KL(q || prior), or is so in expectation


@runtime_checkable
class SeriesModel(Protocol):
    """A latent-variable model of series, whose program trains it: `init` takes training data."""

    def init(self, key: Key, x: Series, /) -> Params: ...
    def infer(self, params: Params, x: Series, key: Key, s: int, /) -> Inferred: ...


@runtime_checkable
class LatentSeriesModel(SeriesModel, Protocol):
    """A model of series whose latents z (s, n, d) have densities: p(z) p(x | z) at given times, and q(z | x)."""

    def posterior(self, params: Params, x: Series, /) -> Distribution: ...
    def prior(self, params: Params, times: Tensor, /) -> Distribution: ...
    def likelihood(self, params: Params, z: Tensor, times: Tensor, /) -> DiagNormal: ...
    def log_joint(self, params: Params, x: Series, z: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class AtTimes:
    """The same at times that all data share, every one observed: a `LatentModel` of their values side by side.

    With it, what takes latent-variable models takes those of series: x is (n, times * channels).
    """

    model: LatentSeriesModel
    times: tuple[float, ...]

    def init(self, key: Key, x: Float[Tensor, "n D"], /) -> Params:
        return self.model.init(key, self.series(x))

    def posterior(self, params: Params, x: Float[Tensor, "n D"], /) -> Distribution:
        return self.model.posterior(params, self.series(x))

    def prior(self, params: Params, n: int, /) -> Distribution:
        return self.model.prior(params, self._times(trees.leaves(params)[0], n))

    def likelihood(self, params: Params, z: Float[Tensor, "s n d"], /) -> DiagNormal:
        p = self.model.likelihood(params, z, self._times(z, z.shape[-2]))
        return DiagNormal(p.loc.flatten(-2), p.log_scale.flatten(-2))

    def log_prior(self, params: Params, z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n"]:
        return self.prior(params, z.shape[-2]).log_prob(z)

    def log_joint(self, params: Params, x: Float[Tensor, "n D"], z: Float[Tensor, "s n d"], /) -> Float[Tensor, "s n"]:
        return self.model.log_joint(params, self.series(x), z)

    def series(self, x: Float[Tensor, "n D"], /) -> Series:
        """The data as series. ValueError for a number of values that is no multiple of the times."""
        count = len(self.times)
        check_floating("x", x, "n D", f"{count} times side by side, each of as many channels")
        if x.shape[-1] % count:
            raise ValueError(
                f"expected x (n, {count} channels) of {count} times, got {tuple(x.shape)}: pass as many at each"
            )
        values = x.unflatten(-1, (count, -1))
        times = self._times(x, len(x))
        return Series(times, values, torch.ones_like(times, dtype=torch.bool))

    def _times(self, like: Tensor, n: int) -> Tensor:
        return like.new_tensor(self.times).expand(n, -1)


def observed_log_prob(p: DiagNormal, x: Series) -> Float[Tensor, "s n"]:
    """log p(x | z) of what is observed, the sum over its times, in nats per series: p's fields (s, n, m, c)."""
    check_distribution("p", p)
    check_series(x)
    return torch.where(x.mask, p.log_prob(x.filled()), 0.0).sum(-1)


def moments(x: Series) -> tuple[Float[Tensor, " c"], Float[Tensor, ""]]:
    """The mean of observed values, (c,), and the log of their standard deviation about it, ().

    ValueError unless two series or more are given, of which something is observed.
    """
    check_series(x)
    if len(x.values) < 2 or (is_concrete(x.mask) and not x.mask.any()):
        raise ValueError(f"expected x, training series with observations, got {len(x.values)}: pass two or more")
    mean = x.filled().sum((0, 1)) / x.mask.sum()
    squares = torch.where(x.mask[..., None], (x.filled() - mean).square(), 0.0).sum((0, 1)) / x.mask.sum()
    return mean, 0.5 * torch.log(squares.mean())


def check_series(x: object, channels: int | str = "c") -> None:
    """Times (n, m), values (n, m, c) of one dtype, and a mask (n, m) of truth values.

    TypeError for what is no `Series`, ValueError for another shape and, while torch runs eagerly, for times that are
    not finite.
    """
    if not isinstance(x, Series):
        raise TypeError(f"expected x, a Series, got {described(x)}: pass Series(times, values, mask)")
    check_floating("x.times", x.times, "n m", "a row per series")
    n, m = x.times.shape
    check_floating(
        "x.values", x.values, f"{n} {m} {channels}", "times by channels; add an axis to one with [..., None]"
    )
    check_dtype("x.values", x.values, x.times, "times")
    check_tensor("x.mask", x.mask, f"{n} {m}", "one for each time")
    if x.mask.dtype != torch.bool:
        raise TypeError(f"expected x.mask of truth values, got {x.mask.dtype}: convert it with mask > 0")
    if is_concrete(x.times) and not x.times.isfinite().all():
        raise ValueError("expected x.times finite, got NaN or inf: give what is not observed some time, masked")
