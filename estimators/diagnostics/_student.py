"""Student's t, of which torch has no quantiles."""

import math

import torch


def student(level: float, freedom: float) -> float:
    """The upper quantile of Student's t by Wallace's transformation of the normal's (1959), for levels up to 1/10.

    It is right to 3 % for 9 degrees of freedom or more, and for fewer too large: a test by it alarms less often.
    """
    z = -torch.special.ndtri(torch.tensor(level, dtype=torch.float64)).item()
    return math.sqrt(freedom * math.expm1((z * (8 * freedom + 3) / (8 * freedom + 1)) ** 2 / freedom))
