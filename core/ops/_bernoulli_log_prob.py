"""log Bernoulli(x; sigmoid(logits)), summed over the last axis. Fused: x is never expanded over samples."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.concrete import is_concrete
from jensen.core.numerics import at_least_float32
from jensen.core.ops._logits import of_logits
from jensen.core.ops._reduced import check_last
from jensen.core.ops.dispatch import deserves_kernel

LANES = 16  # columns whose products run side by side


def bernoulli_log_prob(x: Float[Tensor, "... d"], logits: Float[Tensor, "... d"]) -> Float[Tensor, "..."]:
    """sum_d of x logits - log(1 + e^logits), in nats: a log probability for x in {0, 1}.

    Batch axes broadcast, as x (n, d) against logits (s, n, d); the last axes must agree. For x strictly between 0
    and 1 it is minus a cross-entropy and no density. Infinite logits are certain values: 0 where x agrees with all of
    them, else -inf, with no gradient. Half precision is computed and returned in float32.
    """
    check_last(x=x, logits=logits)
    return _op(x, logits) if deserves_kernel(logits, logits.numel()) else reference(x, logits)


def reference(x: Tensor, logits: Tensor) -> Tensor:
    x, logits = at_least_float32(x), at_least_float32(logits)
    value = _of_finite(x, logits)
    if not value.is_cuda and is_concrete(value) and not value.isnan().any():
        return value  # most are finite, and one pass less; a GPU would be waited for
    range_ = torch.finfo(logits.dtype)
    certain = range_.max / 4
    value = _of_finite(x, logits.clamp(-certain, certain))
    return torch.where(value.abs() > certain * range_.eps / 2, -torch.inf, value)


def _of_finite(x: Tensor, logits: Tensor) -> Tensor:
    fused = torch.compiler.is_compiling() and not torch.is_grad_enabled()
    if fused and logits.shape[-1] % LANES == 0:
        return by_products(x, logits)
    return (x * logits - F.softplus(logits, threshold=40.0)).sum(-1)  # beyond 40, exact in float64


def by_products(x: Float[Tensor, "... d"], logits: Float[Tensor, "... d"]) -> Float[Tensor, "..."]:
    """`bernoulli_log_prob` with one logarithm for a product of up to 64 factors; d a multiple of LANES.

    log(1 + e^l) = max(l, 0) + log(1 + e^-|l|), and 64 factors in [1, 2] cannot overflow. Compiled it is faster than
    softplus, and its derivative slower: for evaluation.
    """
    terms = (x * logits - logits.clamp_min(0)).unflatten(-1, (-1, LANES))
    factors = (1 + torch.exp(-logits.abs())).unflatten(-1, (-1, LANES))
    parts = zip(terms.split(64, -2), factors.split(64, -2), strict=True)
    return torch.stack([(t.sum(-2) - f.prod(-2).log()).sum(-1) for t, f in parts]).sum(0)


_op = of_logits("bernoulli_log_prob", reference, lambda x, logits: at_least_float32(logits))
