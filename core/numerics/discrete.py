"""Entropy and KL of discrete outcomes by the logarithms of their masses, of which some may be 0."""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.numerics.series import exp_less_tangent

FAR = 20.0  # gaps of logits whose exponentials are summed as they are


def entropy_of(log_p: Float[Tensor, "... k"]) -> Float[Tensor, "..."]:
    """-sum_k p log p, where p = 0 contributes 0."""
    p = log_p.exp()
    return -(p * torch.where(p == 0, 0.0, log_p)).sum(-1)


def kl_of_masses(
    log_q: Float[Tensor, "... k"], log_p: Float[Tensor, "... k"], gap: Float[Tensor, "... k"]
) -> Float[Tensor, "..."]:
    """sum_k q (e^t - 1 - t) with t = log(p / q): KL(q || p) as a sum of which no term is negative.

    The terms sum to sum_k q log(q / p) because q e^t = p sums to 1. Where q is 0 the term is p; where only p is, it is
    inf, with no gradient. gap is that of the logits, p's less q's, but for a constant: with that of q's most probable
    outcome 0, t = gap - log(1 + sum_k q (e^gap - 1)) keeps the digits that log p - log q loses where the two nearly
    agree.
    """
    q, p = log_q.exp(), log_p.exp()
    none, never = q == 0, log_p == -torch.inf
    gap = torch.where((log_q == -torch.inf) & never, 0.0, gap - gap.gather(-1, log_q.argmax(-1, keepdim=True)))
    moderate = (gap.abs() < FAR).all(-1, keepdim=True)
    gap = torch.where(moderate, gap, 0.0)
    close = gap - torch.log1p((q * torch.expm1(gap)).sum(-1, keepdim=True))
    unlike = none | never
    t = torch.where(moderate, close, torch.where(unlike, 0.0, log_p) - torch.where(unlike, 0.0, log_q))
    near = t.abs() < 0.5
    small, large = torch.where(near, t, 0.0), torch.where(near, 0.0, t)
    terms = torch.where(near & ~none, q * exp_less_tangent(small), p - q - q * large)
    return torch.where(~none & never, torch.inf, terms).sum(-1)
