"""Schedules: pure functions of the step. ValueError for a negative step, and for settings that leave no schedule."""

import math


def warmup(step: int, peak: float, steps: int, delay: int = 0) -> float:
    """0 for `delay` steps, then linear from 0 to the peak, which it reaches after `steps` more."""
    _check_step(step)
    if steps < 0 or delay < 0:
        raise ValueError(f"expected a warm-up and a delay of 0 steps or more, got {steps} and {delay}")
    if step >= delay + steps:
        return peak
    return peak * max(0, step - delay) / steps if step >= delay else 0.0


def warmup_cosine(step: int, peak: float, final: float, warmup_steps: int, total: int) -> float:
    """Linear to the peak over warmup_steps, then half a cosine down to final * peak at the last of `total` steps.

    The first step of a warm-up has 1 / warmup_steps of the peak: a learning rate of 0 would waste it.
    """
    _check_step(step)
    _check_total(total)
    if not 0 <= warmup_steps <= total:
        raise ValueError(
            f"expected a warm-up of 0 to total = {total} steps, got {warmup_steps}: shorten it, or train for longer"
        )
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, total - 1 - warmup_steps)
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def cyclical(step: int, peak: float, total: int, cycles: int = 4, ramp: float = 0.5) -> float:
    """Linear from 0 to the peak over the first `ramp` of each of `cycles` equal parts of `total` steps, then the peak.

    For a KL weight (Fu et al., 2019): each restart lets a collapsed posterior be used again. After `total` it stays.
    """
    _check_step(step)
    _check_total(total)
    if not 1 <= cycles <= total / 2:
        raise ValueError(f"expected 1 to total / 2 = {total / 2} cycles, got {cycles}: one of a single step stays at 0")
    if not 0 <= ramp <= 1:
        raise ValueError(f"expected a ramp in [0, 1], got {ramp}: it is the share of a cycle that rises")
    if step >= total:
        return peak
    done = step * cycles % total / total
    return peak if done >= ramp else peak * done / ramp


def geometric(step: int, start: float, final: float, total: int) -> float:
    """start * (final / start)^(step / (total - 1)), then final: for a temperature.

    Hand it on as a 0-d tensor, `torch.tensor(...)`, and a compiled step is compiled once.
    """
    _check_step(step)
    _check_total(total)
    if not (0 < start < math.inf and 0 < final < math.inf):
        raise ValueError(f"expected a positive, finite start and final, got {start} and {final}: a factor joins them")
    return start * (final / start) ** min(1.0, step / max(1, total - 1))


def _check_step(step: int) -> None:
    if isinstance(step, int | float) and not step >= 0:  # a tensor may be compiled
        raise ValueError(f"expected a step of 0 or more, got {step}: the first is 0")


def _check_total(total: int) -> None:
    if not total >= 1:
        raise ValueError(f"expected a total of at least one step, got {total}")
