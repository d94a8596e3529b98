"""A stopping rule: a sequential test that the bound's gain per window is within a tolerance.

Approximates  the gain of the bound from one window of the trace to the next, and whether it may exceed a tolerance
With          the paired differences y[t + w] - y[t] of the last two windows of w values; its standard error from the
              mean square as of a first-order autoregression, or from the means of up to 20 batches where larger
Requires      a trace of values to be maximised, such as the validation bound, whose noise decorrelates within a
              quarter of a window; false stops are more frequent for slower noise, 5 % for a whole window
Unbiased when always for the gain; paired differences remove a linear trend from the noise
Cost          a few operations on the trace
Reference     Student's t on batch means (Law and Kelton, 2000, section 9.5.3); Wallace, 1959, for its quantiles
"""

import math
from typing import NamedTuple

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_floating, check_number
from jensen.estimators.diagnostics._checks import check_finite
from jensen.estimators.student import student

BATCHES = 20
SHARE = 6  # the last third of the trace is looked at, as two windows of a sixth
GROWTH = 1.25  # looks are at lengths of the trace that grow by this factor


class Stop(NamedTuple):
    """0-d tensors in the trace's units; upper is the gain's one-sided confidence limit at this look."""

    gain: Float[Tensor, ""]
    error: Float[Tensor, ""]
    upper: Float[Tensor, ""]
    tolerance: Float[Tensor, ""]
    window: int
    seen: int  # values of the trace at the look that decided, or the latest; 0 before the first
    stop: bool

    def verdict(self) -> str:
        if not self.seen:
            return "go on: the trace is shorter than two windows, too short to judge"
        gain, error, upper, tolerance = (t.item() for t in self[:4])
        text = (
            f"at {self.seen} values, the last {self.window} gained {gain:.3g} ± {error:.2g} over those before, at most "
            f"{upper:.3g} with confidence"
        )
        if self.stop:
            return f"stop: {text}, within the tolerance {tolerance:.3g}"
        if gain > tolerance:
            return f"go on: {text}, and the tolerance is {tolerance:.3g}"
        return f"go on: {text}, above the tolerance {tolerance:.3g}: a larger gain is not excluded"


@torch.no_grad()
def stopping(trace: Float[Tensor, " t"], tolerance: float, level: float = 0.05, window: int = 20) -> Stop:
    """The first look at which training could stop, or the latest look, for a trace to be maximised.

    Looks are at 2 window, then at every growth by a quarter, each at windows of max(window, seen / 6) values.
    A look stops where gain + t error <= tolerance, t Student's quantile at level / (j (j + 1)) for the j-th look, so
    that a trace whose gain stays above the tolerance is stopped at any of them with probability at most `level`. Call
    it with the whole trace each time: earlier looks do not change. Where the KL is warmed up, pass the trace after the
    warm-up: the bound falls while the KL's weight grows, which the test would take for convergence.
    """
    check_floating("trace", trace, "t", "one trace at a time, a value for each step")
    check_finite("trace", trace)
    tolerance = check_number("tolerance", tolerance, "[0, inf)", "in the units of the trace, such as 0.1 nats")
    level = check_number("level", level, "(0, 1)", "the probability of stopping a trace that still gains")
    window = check_count("window", window, 10)
    trace = trace.double()
    limit = trace.new_tensor(tolerance)
    unknown = trace.new_full((), torch.nan)
    found = Stop(unknown, unknown, unknown, limit, window, 0, False)
    seen, look = 2 * window, 1
    while seen <= len(trace):
        w = max(window, seen // SHARE)
        gain, error, freedom = gain_of_last(trace[:seen], w)
        upper = gain + student(level / (look * (look + 1)), freedom) * error
        found = Stop(gain, error, upper, limit, w, seen, bool(upper <= limit))
        if found.stop:
            break
        seen, look = math.ceil(seen * GROWTH), look + 1
    return found


def gain_of_last(trace: Float[Tensor, " t"], window: int) -> tuple[Float[Tensor, ""], Float[Tensor, ""], float]:
    """(gain, its standard error, degrees of freedom) of the last `window` values over the `window` before them.

    phi is the pairs' lag-one correlation, cleared of its bias of -(1 + 4 phi) / w and raised by its standard error.
    With m = w (1 - phi) / (1 + phi) independent values' worth of pairs, error^2 = var / (m - 1) on m - 1 degrees of
    freedom, var the mean square about the mean, or the batch means' on theirs where that is larger.
    """
    if window < 10 or len(trace) < 2 * window:
        raise ValueError(f"expected a window >= 10 and a trace of two windows, got {window} and {len(trace)} values")
    pairs = trace[-window:] - trace[-2 * window : -window]
    rest = pairs - pairs.mean()
    square = rest.square().sum()
    phi = (rest[1:] * rest[:-1]).sum() / torch.where(square == 0, 1.0, square)
    phi = ((window * phi + 1) / (window - 4)).clamp(0, 0.99)
    phi = (phi + torch.sqrt((1 - phi.square()) / window)).clamp_max(0.99)
    worth = max(2.0, (window * (1 - phi) / (1 + phi)).item())
    batches = min(BATCHES, window // 2)
    means = reduce(pairs[window % batches :], "(batch t) -> batch", "mean", batch=batches)
    variance = torch.maximum(square / window / (worth - 1), means.var() / batches)
    return pairs.mean(), variance.sqrt(), min(worth, float(batches)) - 1
