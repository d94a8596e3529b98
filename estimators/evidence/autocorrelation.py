"""The error of a mean of draws that a chain made one from another (Geyer, 1992)."""

import torch
from jaxtyping import Float
from torch import Tensor


def variance_of_mean(t: Float[Tensor, "s n"]) -> Float[Tensor, " n"]:
    """(2 sum_k g_k - c_0) / s, with the sums g_k = c_2k + c_2k+1 of autocovariances of a reversible chain.

    They are positive, and fall: estimates of them are summed up to the first that is not positive, each no larger than
    the last, which is Geyer's initial monotone sequence. For independent draws it is the variance over s.
    """
    s = len(t)
    spectrum = torch.fft.rfft(t - t.mean(0), n=2 * s, dim=0).abs().square()
    covariance = torch.fft.irfft(spectrum, n=2 * s, dim=0)[:s] / s
    pairs = covariance[: s - s % 2].unflatten(0, (s // 2, 2)).sum(1)
    positive = (pairs > 0).cumprod(0)
    total = 2 * (positive * pairs.cummin(0).values).sum(0) - covariance[0]
    return torch.where(positive[0] == 0, t.var(0), total) / s
