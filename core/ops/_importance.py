"""Importance weighting: bound, normalised weights, effective sample size. Fused: one pass over s."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_floating
from jensen.core.numerics import at_least_float32, log_sum_exp, share
from jensen.core.operation import differentiable
from jensen.core.ops.dispatch import deserves_kernel, launch

CHUNK, GPU_CHUNK = 2**22, 2**26  # weights at once


def importance(
    log_p: Float[Tensor, "s n"], log_q: Float[Tensor, "s n"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, "s n"], Float[Tensor, " n"]]:
    """(bound, weights, ess) of log_w = log_p - log_q over the s samples of each datum.

    bound = log mean_s exp(log_w) in nats, (n,), which is `bounds.iwae`; weights = softmax_s(log_w), (s, n);
    ess = (sum w)^2 / sum w^2 = 1 / sum weights^2, (n,). Weights of at most `numerics.negligible` are 0. Log weights of
    -inf are legal; where all are, the bound is -inf and weights, ess and gradients are 0. Half precision is computed
    and returned in float32.
    """
    check_floating("log_p", log_p, "s n", "one row per sample")
    check_floating("log_q", log_q, "s n", "one row per sample")
    if log_p.shape != log_q.shape or not len(log_p):
        raise ValueError(
            f"expected log_p and log_q (s, n) with s >= 1, got {tuple(log_p.shape)} and {tuple(log_q.shape)}: "
            "evaluate both at the same samples"
        )
    if deserves_kernel(log_p, log_p.numel()):
        return _op(log_p, log_q)
    width = max(1, (GPU_CHUNK if log_p.is_cuda else CHUNK) // len(log_p))
    if log_p.shape[1] <= width:
        return reference(log_p, log_q)
    parts = [reference(p, q) for p, q in zip(log_p.split(width, 1), log_q.split(width, 1), strict=True)]
    bound, weights, ess = zip(*parts, strict=True)
    return torch.cat(bound), torch.cat(weights, 1), torch.cat(ess)


def reference(log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    log_w = at_least_float32(log_p) - at_least_float32(log_q)
    total = log_sum_exp(log_w, -2)
    empty = total == -torch.inf
    weights = share(log_w - torch.where(empty, 0.0, total).unsqueeze(-2))
    squares = weights.square().sum(-2)
    ess = torch.where(empty, 0.0, 1 / torch.where(empty, 1.0, squares))
    return total - math.log(log_w.shape[-2]), weights, ess


def _fake(log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    shape = torch.broadcast_shapes(log_p.shape, log_q.shape)
    weights = at_least_float32(log_p).new_empty(shape)
    flat = shape[:-2] + shape[-1:]
    return weights.new_empty(flat), weights, weights.new_empty(flat)


_op = differentiable("importance", launch("importance"), reference, _fake, events=(2, 2), outputs=3)
