"""Likelihoods of a linear layer's outputs. Fused: logits (s, n, D) are made a chunk at a time, in backward again."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_floating, check_tensor, shown
from jensen.core.numerics import at_least_float32
from jensen.core.operation import differentiable, fitted, over_batch
from jensen.core.ops._bernoulli_log_prob import reference as bernoulli_reference
from jensen.core.ops._categorical_log_prob import log_softmax
from jensen.core.ops._categorical_log_prob import reference as categorical_reference
from jensen.core.ops._indexed_log_prob import are_indices, check_range
from jensen.core.ops._indexed_log_prob import reference as indexed_reference
from jensen.core.ops._indexed_log_prob import residual as indexed_residual
from jensen.core.ops.dispatch import deserves_kernel, is_plain, launch, uses_kernel

CHUNK, GPU_CHUNK = 2**19, 2**25  # logits at once inside the operation: 2 MiB of float32, and 128 MiB on a GPU
INLINE, GPU_INLINE = 2**22, 2**24  # up to so many in all, plain torch is as small, and a compiler can fuse it
LAYER = (3, 2, 1)  # event axes of h (s, n, H), weight (D, H) and bias (D,)


def linear_bernoulli_log_prob(
    x: Float[Tensor, "n D"], h: Float[Tensor, "s n H"], weight: Float[Tensor, "D H"], bias: Float[Tensor, " D"]
) -> Float[Tensor, "s n"]:
    """`bernoulli_log_prob` of x under logits = h weight^T + bias, in nats: (s, n).

    Logits are never stored, forward or backward: beside inputs and gradients, memory is that of a chunk. Half precision
    is computed and returned in float32.
    """
    return _bernoulli.call(x, h, weight, bias)


def linear_categorical_log_prob(
    x: Float[Tensor, "n D"] | Integer[Tensor, " n"],
    h: Float[Tensor, "s n H"],
    weight: Float[Tensor, "D H"],
    bias: Float[Tensor, " D"],
) -> Float[Tensor, "s n"]:
    """`categorical_log_prob` of x, one-hot over D or its indices, under logits = h weight^T + bias, in nats: (s, n).

    Logits are never stored, forward or backward: beside inputs and gradients, memory is that of a chunk. Half precision
    is computed and returned in float32.
    """
    return (_indexed if are_indices(x) else _categorical).call(x, h, weight, bias)


class Likelihood(NamedTuple):
    """An operation as users call it, always in chunks, and in plain torch."""

    call: Callable[..., Tensor]
    chunked: Callable[..., Tensor]
    reference: Callable[..., Tensor]


def _define(
    name: str,
    density: Callable[[Tensor, Tensor], Tensor],
    residual: Callable[[Tensor, Tensor, Tensor], Tensor],
    x_slope: Callable[[Tensor, Tensor], Tensor] | None,
) -> Likelihood:
    """The operation for a density(x, logits) with residual(g, x, logits) = g d density / d logits.

    x_slope: (x, logits) -> d density / d x for x (n, D); None for x (n,), which has no gradient.
    """
    kernel, kernel_slopes = launch(name), launch(name, "backward")
    data = 1 if x_slope is None else 2
    events, with_upstream = (data, *LAYER), (2, data, *LAYER)

    def reference(x: Tensor, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        logits = at_least_float32(h) @ at_least_float32(weight).mT.unsqueeze(-3)
        return density(x.unsqueeze(-1 - data), logits + at_least_float32(bias)[..., None, None, :])

    def forward(x: Tensor, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if any(t.ndim > event for t, event in zip((x, h, weight, bias), events, strict=True)):
            return over_batch(forward, events, x, h, weight, bias)
        f = kernel if uses_kernel(h) else density
        x, h, weight, bias = (_wide(t) for t in (x, h, weight, bias))
        out = h.new_empty(h.shape[:-1])
        for part, some in chunks(h, len(bias)):
            out[part] = f(x[some], F.linear(h[part], weight, bias))
        return out

    def backward(
        g: Tensor, x: Tensor, h: Tensor, weight: Tensor, bias: Tensor, *needs: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if any(t.ndim > event for t, event in zip((g, x, h, weight, bias), with_upstream, strict=True)):
            return over_batch(lambda *each: backward(*each, *needs), with_upstream, g, x, h, weight, bias)
        f = kernel_slopes if uses_kernel(h) else residual
        g, x, h, weight, bias = (_wide(t) for t in (g, x, h, weight, bias))
        shapes = _shapes((x, h, weight, bias), events, needs)
        dx, dh, dweight, dbias = (h.new_zeros(shape) for shape in shapes)
        for part, some in chunks(h, len(bias)):
            logits = F.linear(h[part], weight, bias)
            if needs[0] and x_slope is not None:
                dx[some] += (g[part][..., None] * x_slope(x[some], logits)).sum(0)
            r = f(g[part], x[some], logits)
            if needs[1]:
                dh[part] = r @ weight
            if needs[2]:
                dweight.addmm_(r.flatten(0, 1).T, h[part].flatten(0, 1))
            if needs[3]:
                dbias += r.sum((0, 1))
        return dx, dh, dweight, dbias

    def backward_reference(
        g: Tensor, x: Tensor, h: Tensor, weight: Tensor, bias: Tensor, *needs: bool
    ) -> tuple[Tensor, ...]:
        args = (x, h, weight, bias)
        batch = batch_of((g, *args), with_upstream)
        full = [_wide(t).expand(*batch, *t.shape[t.ndim - e :]) for t, e in zip(args, events, strict=True)]
        moving = [i for i, need in enumerate(needs) if need]

        def call(*some: Tensor) -> Tensor:
            return reference(*(dict(enumerate(full)) | dict(zip(moving, some, strict=True))).values())

        pull = torch.func.vjp(call, *(full[i] for i in moving))[1]
        slopes = dict(zip(moving, pull(g.expand(*batch, *g.shape[-2:])), strict=True))
        empty = _shapes(args, events, [False] * 4)
        return tuple(slopes[i] if i in slopes else g.new_zeros(*batch, *empty[i]) for i in range(4))

    def fake(x: Tensor, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return at_least_float32(h).new_empty(*batch_of((x, h, weight, bias), events), *h.shape[-3:-1])

    def fake_backward(
        g: Tensor, x: Tensor, h: Tensor, weight: Tensor, bias: Tensor, *needs: bool
    ) -> tuple[Tensor, ...]:
        batch, like = batch_of((g, x, h, weight, bias), with_upstream), at_least_float32(h)
        return tuple(like.new_empty(*batch, *shape) for shape in _shapes((x, h, weight, bias), events, needs))

    def vjp(needs: tuple[bool, ...], gradients: tuple[Tensor], *args: Tensor) -> tuple[Tensor | None, ...]:
        every = zip(slopes(gradients[0], *args, *needs), args, needs, strict=True)
        return tuple(fitted(slope, t) if need else None for slope, t, need in every)

    slopes = differentiable(
        f"linear_{name}_slopes",
        backward,
        backward_reference,
        fake_backward,
        events=with_upstream,
        outputs=4,
        static=("bool",) * 4,
    )
    op = differentiable(f"linear_{name}", forward, reference, fake, events=events, vjp=vjp)

    def call(x: Tensor, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        check(x, h, weight, bias, data)
        logits = h.shape[0] * h.shape[1] * len(bias)
        inline = GPU_INLINE if h.is_cuda else INLINE
        if deserves_kernel(h, logits, inline, inline) or (logits > inline and not is_plain()):
            return op(x, h, weight, bias)
        return density(x, F.linear(*(at_least_float32(t) for t in (h, weight, bias))))

    return Likelihood(call, op, reference)


def chunks(h: Tensor, outputs: int) -> Iterator[tuple[tuple[slice, slice], slice]]:
    """Places (samples, data) of h (s, n, H) whose logits fill a chunk, and their data."""
    s, n, _ = h.shape
    size = (GPU_CHUNK if h.is_cuda else CHUNK) // max(1, outputs)
    data = max(1, min(n, size))
    samples = max(1, size // data)
    for u in range(0, n, data):
        for a in range(0, s, samples):
            where = slice(u, u + data)
            yield (slice(a, a + samples), where), where


def check(x: Tensor, h: Tensor, weight: Tensor, bias: Tensor, data: int) -> None:
    """x has `data` axes: (n, D), or (n,) for indices below D."""
    fix, axes = "see the axes of all four", ("n", "n D")[data - 1]
    (check_floating if data == 2 else check_tensor)("x", x, axes, fix)
    for name, t, its in (("h", h, "s n H"), ("weight", weight, "D H"), ("bias", bias, "D")):
        check_floating(name, t, its, fix)
    shapes = tuple(tuple(t.shape) for t in (x, h, weight, bias))
    if shapes != ((h.shape[1], len(bias))[:data], shapes[1], (len(bias), h.shape[2]), (len(bias),)):
        raise ValueError(
            f"expected x {shown(axes)}, h (s, n, H), weight (D, H) and bias (D,), got {shapes}: D is the outputs' size"
        )
    if data == 1:
        check_range("x", x, len(bias))


def batch_of(tensors: tuple[Tensor, ...], events: tuple[int, ...]) -> torch.Size:
    return torch.broadcast_shapes(*(t.shape[: t.ndim - e] for t, e in zip(tensors, events, strict=True)))


def _shapes(tensors: Sequence[Tensor], events: Sequence[int], needs: Sequence[bool]) -> list[Sequence[int]]:
    """Of the tensors' gradients without batch axes: those that are not needed have no elements."""
    return [t.shape[t.ndim - e :] if need else [0] * e for t, e, need in zip(tensors, events, needs, strict=True)]


def _wide(t: Tensor) -> Tensor:
    return at_least_float32(t) if t.is_floating_point() else t


def _bernoulli_residual(g: Tensor, x: Tensor, logits: Tensor) -> Tensor:
    return logits.sigmoid_().neg_().add_(x).mul_(g[..., None])


def _categorical_residual(g: Tensor, x: Tensor, logits: Tensor) -> Tensor:
    return (x - x.sum(-1, keepdim=True) * torch.softmax(logits, -1)).mul_(g[..., None])


_bernoulli = _define("bernoulli_log_prob", bernoulli_reference, _bernoulli_residual, lambda x, logits: logits)
_categorical = _define("categorical_log_prob", categorical_reference, _categorical_residual, log_softmax)
_indexed = _define("indexed_log_prob", indexed_reference, indexed_residual, None)
