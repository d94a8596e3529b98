"""What is not known of an estimate of the evidence, in one form for every method.

Each estimate has its doubts: reasons, in words with a remedy, and the data that each holds for. Where one holds the
standard error is inf, since the error cannot be judged; a method that never estimates its error has NaN.
"""

from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jensen.estimators.evidence.pareto import LEAST
from jensen.estimators.evidence.tail import k_hat_threshold, tail_size
from jensen.estimators.wording import of_data

Doubts: TypeAlias = dict[str, Bool[Tensor, " n"]]

FEW = 5.0  # draws that an estimate must rest on
VARIANCE = 0.5  # the k-hat from which on weights have none
EMPTY = "no draw is in the support of log_p: start from a q that overlaps it"
BROKEN = "log_p or log q is NaN or infinite: look there first"
HEAVY = (
    "weights of so heavy a tail (k-hat) may have no variance: take a q nearer the posterior, more temperatures or draws"
)
THIN = "fewer than five draws carry the estimate: take a q nearer the posterior, more temperatures or draws"


def of_weights(k_hat: Float[Tensor, " n"], ess: Float[Tensor, " n"], k: int, bounded: bool = False) -> Doubts:
    """About the mean of k weights: a tail without the variance that an error needs, or few weights that carry it.

    `bounded`: weights of a q of finite support, of which every moment exists.
    """
    thin = ess < min(FEW, k / 2)
    judged_by_tail = not bounded and tail_size(k) >= LEAST
    even = (k_hat == torch.inf) & (ess > k / 2)  # no tail can be fitted to weights most of which are equal
    heavy = (k_hat > min(VARIANCE, k_hat_threshold(k))) & ~even
    return {HEAVY: heavy if judged_by_tail else torch.zeros_like(thin), THIN: thin}


def judged(standard_error: Float[Tensor, " n"], doubts: Doubts) -> Float[Tensor, " n"]:
    """The standard error, inf for data with a doubt; NaN stays."""
    for holds in doubts.values():
        standard_error = torch.where(holds & ~standard_error.isnan(), torch.inf, standard_error)
    return standard_error


def verdict(method: str, log_p: Float[Tensor, " n"], standard_error: Float[Tensor, " n"], doubts: Doubts) -> str:
    """How well a method knows log p(x), and for which data it does not, with what to do."""
    empty, broken = log_p == -torch.inf, log_p.isnan() | (log_p == torch.inf)
    finite = ~(empty | broken)
    reasons = {EMPTY: empty, BROKEN: broken, **{reason: holds & finite for reason, holds in doubts.items()}}
    known = standard_error.isfinite() & finite
    parts = [f"{reason}{of_data(holds)}" for reason, holds in reasons.items() if holds.any()]
    parts = parts or ["its error is not estimated"]
    if not known.any():
        return f"the error of log p(x) by {method} is not known: {'; '.join(parts)}"
    worst = standard_error[known].max().item()
    if len(known) == 1:
        return f"log p(x) by {method} has a standard error of {worst:.2g} nats"
    text = f"log p(x) by {method} has a standard error of {worst:.2g} nats at most"
    if known.all():
        return f"{text}, for {len(known)} data"
    return f"{text} for {int(known.sum())} of {len(known)} data; for the others it is not known: {'; '.join(parts)}"
