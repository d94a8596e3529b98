"""Schedules: pure functions of the step."""

import math


def warmup(step: int, peak: float, steps: int) -> float:
    """Linear from 0 towards the peak, which it reaches after `steps` steps."""
    return peak if step >= steps else peak * step / steps


def warmup_cosine(step: int, peak: float, final: float, warmup_steps: int, total: int) -> float:
    """Linear to the peak over warmup_steps, then half a cosine down to final * peak at the last of `total` steps.

    The first step of a warm-up has 1 / warmup_steps of the peak: a learning rate of 0 would waste it.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, total - 1 - warmup_steps)
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def cyclical(step: int, peak: float, total: int, cycles: int = 4, ramp: float = 0.5) -> float:
    """Linear from 0 to the peak over the first `ramp` of each of `cycles` equal parts of `total` steps, then the peak.

    For a KL weight (Fu et al., 2019): each restart lets a collapsed posterior be used again. After `total` it stays.
    """
    if step >= total:
        return peak
    done = step * cycles % total / total
    return peak if done >= ramp else peak * done / ramp


def geometric(step: int, start: float, final: float, total: int) -> float:
    """start * (final / start)^(step / (total - 1)), then final: for the temperature of a relaxation.

    Hand it on as a 0-d tensor, `torch.tensor(...)`, and a compiled step is compiled once.
    """
    return start * (final / start) ** min(1.0, step / max(1, total - 1))
