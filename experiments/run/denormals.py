"""Denormal numbers, which a CPU takes some fifty times as long for as for others, are 0 while a run lasts.

A unit without gradient has Adam's mean of gradients fall by a tenth at each step, and from some 700 steps on rounding
keeps it at 6e-45: a step over a million such moments takes 55 ms in place of 1. Saturated likelihoods and attention
have such numbers too, in matrix products.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def flushed() -> Iterator[None]:
    """Denormal numbers are 0 on this thread and on those that it starts, torch's own among them, and after as before.

    Threads that run already keep what they have, so a program begins with it. A processor that cannot do so does not.
    """
    before = flushes()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def flushes() -> bool:
    """Whether this thread takes denormal numbers for 0."""
    least = torch.full((), torch.finfo(torch.float32).tiny)
    return not (least / 2).item()
