"""Rounds of noisy steps: q is kept where its ELBO rises on draws that all rounds share, until that and k-hat settle."""

from collections.abc import Callable
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import distributions
from jensen.core.contracts import Distribution, Key, LogDensity
from jensen.estimators.diagnostics import psis
from jensen.estimators.gradients.contract import density
from jensen.estimators.inference.fitting import Trace

SHARED = 1000  # draws on which rounds are compared
BETTER = 0.05  # of k-hat, by which it still falls
RELIABLE = 0.5  # a k-hat that need not fall
WILD = 1e4  # nats that log weights vary by where a mode is that of a density without bound, or of rounding
Q = TypeVar("Q", bound=Distribution)


def best_of_rounds(
    go: Callable[[int, Q], Q],
    log_p: LogDensity,
    q: Q,
    key: Key,
    rounds: int,
    tolerance: float,
    progress: Callable[[str], object] | None = None,
) -> tuple[Q, Trace]:
    """The best q, from which go(i, q) makes the i-th round's, and the ELBO of the best so far after each round.

    A round is the last where its ELBO is within `tolerance` nats of gaining nothing, and k-hat no longer falls.
    """
    best, log_w = q, log_weights(log_p, q, key)
    elbos, settled = [log_w], False
    for i in range(rounds):
        tried = go(i, best)
        now = log_weights(log_p, tried, key)
        gain = now - log_w
        error = gain.std() / len(gain) ** 0.5
        small = bool((gain.mean().abs() < tolerance) & (gain.mean() + 2 * error < tolerance))
        settled = small and _reliable(log_w, now)
        if gain.mean() > 0:
            best, log_w = tried, now
        elbos.append(log_w)
        if progress is not None:
            progress(f"round {i + 1} of {rounds} at most: ELBO {now.mean().item():.3f}, gain {gain.mean().item():.2g}")
        if settled:
            break
    objective = torch.stack([each.mean() for each in elbos])
    errors = torch.stack([each.std() / len(each) ** 0.5 for each in elbos])
    return best, Trace(objective, errors, {}, torch.tensor(settled))


def is_wild(log_p: LogDensity, q: Distribution, key: Key) -> bool:
    """Whether no steps should begin from q, though it is of a mode: its log weights are not finite, or far apart."""
    return not bool(log_weights(log_p, q, key).std() < WILD)


@torch.no_grad()
def log_weights(log_p: LogDensity, q: Distribution, key: Key) -> Float[Tensor, " s"]:
    """log p - log q of the shared draws, in nats."""
    z, log_q = distributions.draw(q, key, SHARED)
    return (density(log_p, z) - log_q)[:, 0]


def _reliable(before: Tensor, now: Tensor) -> bool:
    """Whether k-hat is small, or no longer falls."""
    old, new = (psis(each[:, None]).k_hat.item() for each in (before, now))
    return new < RELIABLE or not new < old - BETTER
