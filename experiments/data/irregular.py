"""Series seen in part: random masks of observations, and what is asked of a model that sees the rest."""

from typing import NamedTuple

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.latent.series import Series

LEAST = 0.25  # the smallest share of its observations that a series may keep


class Asked(NamedTuple):
    """Test series with all that is known of them, what a model sees, and which of the rest it is asked for."""

    series: Series
    seen: Tensor  # (n, m)
    questions: dict[str, Tensor]  # by name, (n, m): the observations asked for

    def given(self) -> Series:
        """The series as a model sees them."""
        return self.series.only(self.seen)


def irregular(key: Key, x: Series, least: float = LEAST) -> Series:
    """Each series with a random share of its observations, uniform on [least, 1]: missing at random.

    Every series so seen is a datum of its own: a bound of it is one of log p of what is observed.
    """
    n, m = x.mask.shape
    u = keys.uniform(key, (1, n, m + 1), x.times.dtype)[0]
    return x.only(u[:, 1:] < least + (1 - least) * u[:, :1])


def carried_forward(x: Series) -> Tensor:
    """At each time the last value observed before it, or the series' mean where there is none: (n, m, c).

    Times are increasing.
    """
    place = torch.arange(x.mask.shape[1], device=x.mask.device)
    last = torch.where(x.mask, place, -1).cummax(-1).values.roll(1, -1).index_fill(-1, place[:1], -1)
    found = x.filled().gather(1, last.clamp_min(0)[..., None].expand_as(x.values))
    return torch.where(last[..., None] < 0, series_mean(x), found)


def series_mean(x: Series) -> Tensor:
    """The mean of what is observed of each series at all its times, or of all series where nothing is: (n, m, c)."""
    count = x.mask.sum(-1)[:, None, None]
    mean, overall = x.filled().sum(1, keepdim=True) / count.clamp_min(1), x.filled().sum((0, 1)) / x.mask.sum()
    return torch.where(count > 0, mean, overall).expand_as(x.values)
