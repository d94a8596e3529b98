"""Recurrences over time as opaque operations: torch's own loops forward, and backpropagation through time by hand.

An unrolled loop takes a compiler minutes, and torch's recurrent functions have no rule under vmap. Each operation is of
x (n, t, i), states (n, d), and weights as torch.nn has them: (g d, i), (g d, d) and two biases (g d,) for g gates. It
gives the hidden states h (n, t, d), and after them the last of what other states there are.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_dtype, check_floating, check_rows
from jensen.core.operation import differentiable, library_op, over_batch

# (this step's share of the gates (n, g d), states, (g d, d), (g d,)) -> states
Step: TypeAlias = Callable[[Tensor, tuple[Tensor, ...], Tensor, Tensor], tuple[Tensor, ...]]
WEIGHTS = (2, 2, 1, 1)  # axes of each


def recurrence(
    name: str,
    step: Step,
    forward: Callable[..., Any],
    backward: Callable[..., tuple[Tensor, ...]],
    gates: int,
    states: int = 1,
    fast: Callable[..., tuple[Tensor, ...]] | None = None,
) -> Callable[..., Any]:
    """The op of (x, *states, *weights) that iterates `step`, as `forward` computes it.

    backward: (outputs, their gradients, x, *states, *weights) -> one gradient for each argument, differentiable; the
    outputs are there to be used again, and no gate is stored.
    fast: the same by other means, where those are quicker.
    """
    results = (3, *(2,) * (states - 1))  # axes of the outputs
    events = (3, *(2,) * states, *WEIGHTS)

    def reference(x: Tensor, *given: Tensor) -> Any:
        now, (wi, wh, bi, bh) = given[:states], given[states:]
        inputs, hidden = F.linear(x, wi, bi), []
        for t in range(x.shape[-2]):
            now = step(inputs[..., t, :], now, wh, bh)
            hidden.append(now[0])
        h = torch.stack(hidden, -2)
        return h if states == 1 else (h, *now[1:])

    def fake(x: Tensor, *given: Tensor) -> Any:
        batch = _batch(events, x, *given)
        h = x.new_empty(*batch, *x.shape[-3:-1], given[0].shape[-1])
        return h if states == 1 else (h, *(each.new_empty(*batch, *each.shape[-2:]) for each in given[1:states]))

    def run(*args: Tensor) -> Any:
        return _in_order(over_batch(forward, events, *args))

    def batched(info: Any, in_dims: tuple[int | None, ...], *args: Tensor) -> tuple[Any, Any]:
        rows = [t.unsqueeze(0) if dim is None else t.movedim(dim, 0) for t, dim in zip(args, in_dims, strict=True)]
        return computed(*rows), 0 if states == 1 else (0,) * states

    schema = ", ".join(f"Tensor a{i}" for i in range(len(events)))
    returned = "Tensor" if states == 1 else f"({', '.join(['Tensor'] * states)})"
    computed = library_op(name, run, fake, f"({schema}) -> {returned}", batched)

    def again(*given: Tensor) -> tuple[Tensor, ...]:
        outputs = reference(*given[2 * states :])
        return backward(*((outputs,) if states == 1 else outputs), *given[states:])

    def fake_slopes(*given: Tensor) -> tuple[Tensor, ...]:
        batch = _batch((*results, *results, *events), *given)
        pairs = zip(given[2 * states :], events, strict=True)
        return tuple(t.new_empty(*batch, *t.shape[t.ndim - event :]) for t, event in pairs)

    def run_back(*args: Tensor) -> Any:
        return _in_order(over_batch(fast or backward, (*results, *results, *events), *args))

    slopes = differentiable(
        f"{name}_slopes", run_back, again, fake_slopes, (*results, *results, *events), outputs=len(events)
    )

    def vjp(needs: tuple[bool, ...], gradients: tuple[Tensor, ...], *given: Tensor) -> tuple[Tensor | None, ...]:
        args = given[states:]
        found = slopes(*given[:states], *gradients, *args)
        pairs = zip(needs[states:], found, args, strict=True)
        return (None,) * states + tuple(g.sum_to_size(t.shape) if need else None for need, g, t in pairs)

    def copied(*given: Tensor) -> Any:
        return given[0].clone() if states == 1 else tuple(t.clone() for t in given[:states])

    attached = differentiable(
        f"{name}_attached", copied, lambda *given: reference(*given[states:]),
        lambda *given: fake(*given[states:]), (*results, *events), outputs=states, vjp=vjp,
    )  # fmt: skip

    def call(*args: Tensor) -> Any:
        _check(gates, *args)
        if torch.compiler.is_exporting():  # to programs that hold torch's own operations alone
            return reference(*args)
        outputs = computed(*(t.detach() for t in args))
        return attached(*((outputs,) if states == 1 else outputs), *args)

    return call


def before(first: Tensor, sequence: Tensor) -> Tensor:
    """The states (t, n, d) that each step of a sequence (t, n, d) starts from."""
    return torch.cat([first[None], sequence[:-1]])


def _check(gates: int, x: Tensor, h: Tensor, *given: Tensor) -> None:
    """Raises unless the shapes and the dtypes agree."""
    cells, (wi, wh, bi, bh) = given[:-4], given[-4:]
    check_floating("x", x, "n t i", "data, then steps, then features")
    check_floating("wh", wh, "g d", f"rows of {gates} gates, one column per feature")
    features, whole = wh.shape[1], f"{gates} gates of {wh.shape[1]} features"
    states = {"h": h, **dict(zip("c", cells, strict=False))}
    for name, t in states.items():
        check_floating(name, t, f"n {features}", "one row per sequence, one column per feature")
        check_rows(name, t, x, "x")
    check_floating("wh", wh, f"{gates * features} {features}", whole)
    check_floating("wi", wi, f"{gates * features} {x.shape[2]}", whole)
    for name, t in {"bi": bi, "bh": bh}.items():
        check_floating(name, t, str(gates * features), whole)
    for name, t in {**states, "wi": wi, "wh": wh, "bi": bi, "bh": bh}.items():
        check_dtype(name, t, x, "x and the others")


def backwards(g: Tensor) -> list[tuple[int, Tensor]]:
    """The steps of gradients g (n, t, d) from the last one, with their numbers."""
    return [*enumerate(g.transpose(0, 1).contiguous())][::-1]


def products(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Linear maps of x (t, n, i) by one product: (t, n, g d)."""
    return F.linear(x.reshape(-1, x.shape[-1]), weight, bias).unflatten(0, x.shape[:2])


def to_weights(
    x: Tensor, previous: Tensor, inputs: Tensor, hidden: Tensor, wi: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x (n, t, i), wi, wh, bi, bh from those of each step's two products, (t, n, g d) each."""
    by_inputs, by_hidden = inputs.flatten(0, 1), hidden.flatten(0, 1)
    return (
        (by_inputs @ wi).unflatten(0, inputs.shape[:2]).transpose(0, 1),
        by_inputs.T @ x.transpose(0, 1).reshape(-1, x.shape[-1]),
        by_hidden.T @ previous.flatten(0, 1),
        by_inputs.sum(0),
        by_hidden.sum(0),
    )


def _in_order(outputs: Any) -> Any:
    """Contiguous outputs, as `fake` says that they are."""
    return outputs.contiguous() if isinstance(outputs, Tensor) else tuple(t.contiguous() for t in outputs)


def _batch(events: Sequence[int], *args: Tensor) -> torch.Size:
    return torch.broadcast_shapes(*(t.shape[: t.ndim - event] for t, event in zip(args, events, strict=True)))
