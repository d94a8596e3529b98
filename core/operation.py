"""Operations of a kernel's launch and a reference, for every torch.func transform and torch.compile.

The only place that knows transforms. Each layer has one job:
  library op          `jensen::name`, opaque to tracing: chooses its implementation when it runs
  autograd.Function   derivatives and batching of that op, by rules that are themselves operations
  allow_in_graph      keeps torch.compile from tracing into the Function, which would drop its backward
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_LIBRARY = torch.library.Library("jensen", "DEF")


def library_op(
    name: str, implementation: Callable[..., Any], fake: Callable[..., Any], schema: str, vmap: Callable[..., Any]
) -> Callable[..., Any]:
    """An opaque op `jensen::name` on every device, with shapes from `fake` and its own batching rule."""
    _LIBRARY.define(f"{name}{schema}")
    for device in ("CPU", "CUDA"):
        _LIBRARY.impl(name, implementation, device)
    torch.library.register_fake(f"jensen::{name}", fake, lib=_LIBRARY)
    torch.library.register_vmap(f"jensen::{name}", vmap, lib=_LIBRARY)
    return getattr(torch.ops.jensen, name)


def differentiable(
    name: str,
    implementation: Callable[..., Any],
    reference: Callable[..., Any],
    fake: Callable[..., Any],
    events: Sequence[int],
    outputs: int = 1,
    static: Sequence[str] = (),
    vjp: Callable[..., tuple[Tensor | None, ...]] | None = None,
) -> Callable[..., Any]:
    """An op equal to `reference`, computed by `implementation`.

    events: how many trailing axes of each tensor argument are no batch; batch axes broadcast.
    static: the schema types of arguments that follow the tensors and are not differentiated, such as "int".
    vjp: (needs, gradients, *args) -> one gradient per tensor argument, or None where needs is False, made of
    operations; without it the derivative is the reference's own, in the arguments that need one.
    """
    count = len(events)
    arguments = [f"Tensor a{i}" for i in range(count)] + [f"{kind} s{i}" for i, kind in enumerate(static)]
    returned = "Tensor" if outputs == 1 else f"({', '.join(['Tensor'] * outputs)})"

    def in_floats(args: Sequence[Any], needs: Sequence[bool]) -> tuple[list[int], Callable[..., Any]]:
        """Which arguments can and need to be differentiated, and the reference as a function of those alone."""
        places = [i for i in range(count) if needs[i] and args[i].is_floating_point()]

        def call(*tensors: Tensor) -> Any:
            full = list(args)
            for place, t in zip(places, tensors, strict=True):
                full[place] = t
            return reference(*full)

        return places, call

    def lead(in_dims: Sequence[int | None], args: Sequence[Any]) -> list[Any]:
        """Mapped axes to the front, and batch ranks padded behind them so that the rest still broadcasts."""
        pairs = zip(args[:count], in_dims[:count], strict=True)
        led = [t.unsqueeze(0) if dim is None else t.movedim(dim, 0) for t, dim in pairs]
        rank = max(t.ndim - event for t, event in zip(led, events, strict=True))
        padded = [
            t.reshape(t.shape[0], *[1] * (rank - t.ndim + event), *t.shape[1:])
            for t, event in zip(led, events, strict=True)
        ]
        return [*padded, *args[count:]]

    def batched(call: Callable[..., Any], in_dims: Sequence[int | None], args: Sequence[Any]) -> tuple[Any, Any]:
        out = call(*lead(in_dims, args))
        return out, 0 if outputs == 1 else (0,) * outputs

    raw = library_op(
        name,
        implementation,
        fake,
        f"({', '.join(arguments)}) -> {returned}",
        lambda info, in_dims, *args: batched(raw, in_dims, args),
    )

    class Op(torch.autograd.Function):
        @staticmethod
        def forward(*args: Any) -> Any:
            return raw(*args)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            ctx.save_for_backward(*inputs[:count])
            ctx.save_for_forward(*inputs[:count])
            ctx.static = inputs[count:]

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Any:
            args = (*ctx.saved_tensors, *ctx.static)
            if vjp is not None:
                return *vjp(ctx.needs_input_grad[:count], gradients, *args), *[None] * len(static)
            places, call = in_floats(args, ctx.needs_input_grad)
            pull = torch.func.vjp(call, *(args[i] for i in places))[1]
            slopes = dict(zip(places, pull(gradients[0] if outputs == 1 else gradients), strict=True))
            return tuple(slopes.get(i) for i in range(len(args)))

        @staticmethod
        def jvp(ctx: Any, *tangents: Tensor | None) -> Any:
            places, call = in_floats((*ctx.saved_tensors, *ctx.static), [True] * count)
            at = tuple(ctx.saved_tensors[i].clone() for i in places)  # a dual tensor may be no expanded view
            moves = [tangents[i] for i in places]
            dots = tuple(torch.zeros_like(t) if dot is None else dot.clone() for t, dot in zip(at, moves, strict=True))
            return torch.func.jvp(call, at, dots)[1]

        @staticmethod
        def vmap(info: Any, in_dims: Sequence[int | None], *args: Any) -> tuple[Any, Any]:
            return batched(Op.apply, in_dims, args)

    return in_graph(lambda *args: Op.apply(*args))


def in_graph(function: Callable[..., Any]) -> Callable[..., Any]:
    """`torch.compiler.allow_in_graph` at the first compiled call, since it imports torch._dynamo."""

    def allow() -> None:
        torch.compiler.allow_in_graph(function)

    # what torch.compiler.assume_constant_result sets, which imports it too: the compiler calls `allow` while it traces
    allow._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]

    def call(*args: Any) -> Any:
        if torch.compiler.is_dynamo_compiling():
            allow()
        return function(*args)

    return call


def over_batch(call: Callable[..., Any], events: Sequence[int], *tensors: Tensor) -> Any:
    """call on each element of the broadcast batch axes, stacked: for launches that take no batch of their own."""
    batch = torch.broadcast_shapes(*(t.shape[: t.ndim - event] for t, event in zip(tensors, events, strict=True)))
    if not batch:
        return call(*tensors)
    flat = [
        t.expand(*batch, *t.shape[t.ndim - event :]).reshape(-1, *t.shape[t.ndim - event :])
        for t, event in zip(tensors, events, strict=True)
    ]
    each = [call(*(t[i] for t in flat)) for i in range(batch.numel())]
    if isinstance(each[0], Tensor):
        return torch.stack(each).unflatten(0, batch)
    return tuple(torch.stack(parts).unflatten(0, batch) for parts in zip(*each, strict=True))


def fitted(slope: Tensor, like: Tensor) -> Tensor:
    """A gradient summed over the axes that `like` was broadcast along, in its type, saturating in half precision."""
    slope = slope.sum_to_size(like.shape)
    if torch.finfo(like.dtype).max < torch.finfo(slope.dtype).max:
        largest = torch.finfo(like.dtype).max
        slope = slope.clamp(-largest, largest)
    return slope.to(like.dtype)
