"""The grouped jackknife (Quenouille, 1956; Tukey, 1958) of a statistic of two samples: its bias and its standard error.

A statistic whose mean is T + b / n + O(1 / n^2) has mean T + b g / ((g - 1) n) where one of g groups is left out. So

    extrapolated = g T_n - (g - 1) mean_i T_(-i)            has no bias of order 1 / n
    error^2      = (g - 1) / g  sum_i (T_(-i) - mean)^2     is the variance of T_n, where T is smooth

The samples are independent, and group i is left out of both.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

GROUPS = 10


class Jackknife(NamedTuple):
    """0-d tensors: the statistic, what it tends to as both samples grow, and its standard error."""

    value: Tensor
    extrapolated: Tensor
    error: Tensor


def jackknife(statistic: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Jackknife:
    """Of (n, d) and (m, d), GROUPS rows or more each, in any order that says nothing of their values."""
    value = statistic(x, y)
    without = torch.stack([statistic(_without(x, i), _without(y, i)) for i in range(GROUPS)])
    mean = without.mean()
    error = ((GROUPS - 1) / GROUPS * (without - mean).square().sum()).sqrt()
    return Jackknife(value, GROUPS * value - (GROUPS - 1) * mean, error)


def _without(x: Tensor, group: int) -> Tensor:
    return x[torch.arange(len(x), device=x.device) % GROUPS != group]
