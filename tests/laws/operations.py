"""Laws of operations: an op with its plain reference, under every transform."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

from jensen.laws._law import law
from jensen.laws.transforms import compiled


@dataclass(frozen=True)
class Operation:
    """op(*args) as reference(*args) is: args are tensors in floating point, which both may be differentiated in.

    Each gives a tensor, or a tuple of them.
    """

    op: Callable[..., Tensor | tuple[Tensor, ...]]
    reference: Callable[..., Tensor | tuple[Tensor, ...]]
    args: tuple[Tensor, ...]


def vector(f: Callable[..., Tensor | tuple[Tensor, ...]]) -> Callable[..., Tensor]:
    """All outputs as one vector."""

    def call(*args: Tensor) -> Tensor:
        out = f(*args)
        return torch.cat([t.reshape(-1) for t in (out if isinstance(out, tuple) else (out,))])

    return call


def scalar(f: Callable[..., Tensor | tuple[Tensor, ...]]) -> Callable[..., Tensor]:
    """Outputs times an upstream gradient that differs for each of them and is nowhere 1."""

    def call(*args: Tensor) -> Tensor:
        out = vector(f)(*args)
        return (out * torch.linspace(-1, 2.3, len(out), dtype=out.dtype, device=out.device)).sum()

    return call


def close(got: object, expected: object) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-9)


def square(t: Tensor) -> Tensor:
    return t * t


class WrongBackward(torch.autograd.Function):
    """t^2 whose backward is 3 t g; differentiable once."""

    generate_vmap_rule = True

    @staticmethod
    def forward(t: Tensor) -> Tensor:
        return t * t

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grad_outputs: Tensor) -> Tensor:
        return 3 * ctx.saved_tensors[0] * grad_outputs[0]  # type: ignore[attr-defined]


T = torch.linspace(-1, 2, 6, dtype=torch.float64).reshape(2, 3)


@law("operation", planted=lambda: [Operation(lambda t: t * t + 1e-3, square, (T,))])
def value_is_the_references(case: Operation) -> None:
    """op(*args) = reference(*args), in shape, type and value."""
    close(case.op(*case.args), case.reference(*case.args))


@law("operation", planted=lambda: [Operation(WrongBackward.apply, square, (T,))])
def gradients_are_the_references(case: Operation) -> None:
    """grad and jacrev in every argument, with an upstream gradient other than 1."""
    every = tuple(range(len(case.args)))
    close(grad(scalar(case.op), every)(*case.args), grad(scalar(case.reference), every)(*case.args))
    close(jacrev(vector(case.op), every)(*case.args), jacrev(vector(case.reference), every)(*case.args))


@law("operation", planted=lambda: [Operation(lambda t: t * t if t.max() > 0 else t, square, (T,))])
def vmap_is_a_loop(case: Operation) -> None:
    """vmap(grad(op)) over a batch of every argument is its loop."""
    every = tuple(range(len(case.args)))
    batch = [torch.stack([t, 0.5 * t]) for t in case.args]
    gradient = grad(scalar(case.op), every)
    looped = [gradient(*(t[i] for t in batch)) for i in range(2)]
    close(vmap(gradient)(*batch), tuple(torch.stack(parts) for parts in zip(*looped, strict=True)))


def _with_a_break(t: Tensor) -> Tensor:
    torch._dynamo.graph_break()
    return t * t


@law("operation", planted=lambda: [Operation(_with_a_break, square, (T,))])
def compiled_is_eager(case: Operation) -> None:
    """One graph of value and gradient gives what eager calls give: no backward is dropped."""
    every = tuple(range(len(case.args)))

    def both(*args: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return vector(case.op)(*args), grad(scalar(case.op), every)(*args)

    close(compiled(both)(*case.args), both(*case.args))


def _in_place(t: Tensor) -> Tensor:
    return t.mul_(t.clone())


@law("operation", planted=lambda: [Operation(_in_place, square, (T.clone(),))])
def inputs_are_unchanged(case: Operation) -> None:
    """No argument is written to."""
    before = [t.clone() for t in case.args]
    case.op(*case.args)
    for t, kept in zip(case.args, before, strict=True):
        assert torch.equal(t, kept), "an argument was written to"
