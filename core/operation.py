"""Operations of a kernel's launch and a reference, for every torch.func transform and torch.compile.

The only place that knows transforms. Each layer has one job:
  library op          `jensen::name`, opaque to tracing: chooses its implementation when it runs
  autograd.Function   derivatives and batching of that op, by rules that are themselves operations
  allow_in_graph      keeps torch.compile from tracing into the Function, which would drop its backward
"""

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from jensen.core.checks import check_choice, check_floating

SMALL = 2**26  # elements below which the host takes longer than the memory traffic that a kernel saves
_LIBRARY = torch.library.Library("jensen", "DEF")
_path: Literal["reference", "triton", "auto"] = "auto"


@contextmanager
def use(path: Literal["reference", "triton", "auto"]) -> Iterator[None]:
    """Within the context operations run in plain torch, in Triton kernels, or in kernels for large CUDA tensors alone.

    For tests, benchmarks and debugging. On a CPU, "triton" needs TRITON_INTERPRET=1 in the environment before Python
    starts. A compiled function is compiled again for another path.
    """
    global _path
    check_choice("path", path, ("reference", "triton", "auto"))
    before, _path = _path, path
    try:
        yield
    finally:
        _path = before


def uses_kernel(t: Tensor) -> bool:
    """Whether operations on t launch a kernel now."""
    return _path == "triton" or (_path == "auto" and t.is_cuda)


def deserves_kernel(t: Tensor, elements: int, eager: int = SMALL, compiled: int = 4 * SMALL) -> bool:
    """Likewise, of an operation that plain torch computes as well, with as much memory: from as many elements as pay.

    A compiler fuses plain torch, and the host takes 0.3 ms longer for an operation that it cannot see into.
    """
    least = compiled if torch.compiler.is_compiling() else eager
    return _path == "triton" or (uses_kernel(t) and elements >= least)


def check_last(**tensors: Tensor) -> None:
    """Raises unless all last axes agree: a last axis of 1 would broadcast, and count its one element d times."""
    for name, t in tensors.items():
        check_floating(name, t)
    if any(t.ndim == 0 for t in tensors.values()) or len({t.shape[-1] for t in tensors.values()}) > 1:
        shapes = ", ".join(f"{name} {tuple(t.shape)}" for name, t in tensors.items())
        raise ValueError(f"expected last axes that agree, got {shapes}: expand the shorter")


def launch(name: str, function: str = "forward") -> Callable[..., Any]:
    """jensen.kernels.<name>.<function>, imported at the first call, so that nothing else needs Triton."""

    def call(*args: Any) -> Any:
        try:
            module = importlib.import_module(f"jensen.kernels.{name}")
        except ImportError as error:
            raise RuntimeError(f'{name} needs Triton ({error}): install it, or use ops.use("reference")') from error
        return getattr(module, function)(*args)

    return call


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


def pullback(reference: Callable[..., Tensor], keep: Sequence[int]) -> Callable[..., Any]:
    """(g, *args, *needs) -> the gradients of `reference` for the arguments in `keep`, not summed over broadcast axes.

    For references that reduce one event axis. What a backward kernel computes, in plain torch. needs: which of several
    gradients are computed; the others have no columns.
    """

    def slopes(g: Tensor, *given: Any) -> Any:
        args, needs = _split(given, len(keep))
        batch = torch.broadcast_shapes(g.shape, *(t.shape[:-1] for t in args))
        full = [t.expand(*batch, t.shape[-1]) for t in args]
        pull = torch.func.vjp(reference, *full)[1]
        every = pull(g.expand(batch).to(accumulated(*args)))
        some = (every[i] if need else every[i][..., :0] for i, need in zip(keep, needs, strict=True))
        kept = tuple(slope.to(accumulated(g, *args)) for slope in some)
        return kept[0] if len(kept) == 1 else kept

    return slopes


def fake_reduced(*args: Tensor) -> Tensor:
    """The shape of an operation that reduces the last axis."""
    batch = torch.broadcast_shapes(*(t.shape[:-1] for t in args))
    return args[0].new_empty(batch, dtype=accumulated(*args))


def fake_slopes(count: int) -> Callable[..., Any]:
    """The shapes of what `pullback` gives for `count` arguments."""

    def fake(g: Tensor, *given: Any) -> Any:
        args, needs = _split(given, count)
        batch, dtype = torch.broadcast_shapes(g.shape, *(t.shape[:-1] for t in args)), accumulated(g, *args)
        shapes = [args[0].new_empty(*batch, args[0].shape[-1] if need else 0, dtype=dtype) for need in needs]
        return shapes[0] if count == 1 else tuple(shapes)

    return fake


def _split(given: Sequence[Any], count: int) -> tuple[Sequence[Tensor], Sequence[bool]]:
    """The tensors, and which of `count` gradients are needed: that of a single one."""
    return (given, (True,)) if count == 1 else (given[:-count], given[-count:])


def accumulated(*tensors: Tensor) -> torch.dtype:
    """What operations compute and return: float64 where an argument is, else float32."""
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32
