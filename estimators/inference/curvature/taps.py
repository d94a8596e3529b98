"""The layers of a pure function: what each reads, and the outputs' gradient where it writes, for each datum.

A call of linear, conv1d or conv2d is recognised by its weight, which is one of the random parameters. Zeros are added
to what it gives, and the gradient in these zeros is the one in the layer's output.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.func import vjp, vmap
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from jensen.estimators.inference.curvature.linearised import ELEMENTS, TOGETHER, Layout, Linearised, Part


class Called(NamedTuple):
    """A call with a random weight, at t places of each datum: t = 1 but for sequences and convolutions."""

    weight: str
    bias: str | None  # where that is random too
    written: tuple[int, ...]  # the shape of a datum's outputs
    rows: int  # of what it writes: one per datum, or else others
    convolution: bool
    parts: int  # q, of a convolution in groups of channels, whose rows of weights each read one group

    @property
    def one_place(self) -> bool:
        return len(self.written) == 1


class Layer(NamedTuple):
    """What a layer reads, with a column of ones for a random bias, and gradients of each of the network's outputs."""

    inputs: Float[Tensor, "n t q i"]
    gradients: Float[Tensor, "c n t q o"]


def called(linearised: Linearised, x: Tensor) -> tuple[Called, ...]:
    """The calls of the network with random weights, in the order of the parameters."""
    named = linearised.random()
    with _Tapped(named) as tapped:
        linearised.outputs(named, x)
    order = list(named)
    return tuple(sorted((call for call, _ in tapped.calls), key=lambda call: order.index(call.weight)))


def fault(linearised: Linearised, calls: tuple[Called, ...], n: int) -> str | None:
    """Why random parameters are not those of layers, each called once with a row per datum; None where they are."""
    once = [path for call in calls for path in (call.weight, call.bias) if path is not None]
    for path in linearised.random():
        if path not in once:
            return f"{path}, which no linear layer has, nor a convolution"
        if once.count(path) > 1:
            return f"{path} in several calls"
    mixed = [call.weight for call in calls if call.rows != n]
    return f"{mixed[0]}, whose inputs have not one row per datum" if mixed else None


def layout(linearised: Linearised, calls: tuple[Called, ...]) -> Layout:
    """Each layer's weight, and its bias beside it."""
    shapes = {path: tuple(t.shape) for path, t in linearised.random().items()}
    names = [[path for path in (call.weight, call.bias) if path is not None] for call in calls]
    return Layout(tuple(tuple(Part(path, shapes[path]) for path in group) for group in names))


def layers(linearised: Linearised, calls: tuple[Called, ...], x: Tensor, root: Float[Tensor, "n c r"]) -> list[Layer]:
    """Of each call, for these data; gradients are of S' f, for a root S."""
    named = linearised.random()
    zeros = {call.weight: root.new_zeros(len(x), *call.written) for call in calls}

    def outputs(zeros: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        with _Tapped(named, zeros) as tapped:
            found = linearised.outputs(named, x)
        return found, {call.weight: read for call, read in tapped.calls}

    _, pull, read = vjp(outputs, zeros, has_aux=True)  # pyright: ignore[reportAssignmentType]
    (gradients,) = vmap(pull)(root.movedim(-1, 0))
    return [Layer(read[call.weight], _at_places(call, gradients[call.weight])) for call in calls]


def together(calls: tuple[Called, ...] | None, outputs: int, parameters: int) -> int:
    """How much of a datum is in memory: little where every layer has one place, else a Jacobian."""
    one = calls is not None and all(call.one_place for call in calls)
    return ELEMENTS // TOGETHER if one else outputs * parameters


def covariance(layer: Layer, variances: Float[Tensor, "o i"]) -> Float[Tensor, "n c c"]:
    """Of the outputs, for independent entries of the layer's matrix; at one place without a Jacobian."""
    own = variances.unflatten(0, (layer.inputs.shape[2], -1))
    if layer.inputs.shape[1] == 1:
        spread = torch.einsum("nqi,qoi->nqo", layer.inputs[:, 0].square(), own).flatten(1)
        g = layer.gradients[:, :, 0].flatten(2).movedim(0, 1)
        return (g * spread[:, None]) @ g.mT
    rows = torch.einsum("cntqo,ntqi->ncqoi", layer.gradients, layer.inputs)
    return (rows * own).flatten(2) @ rows.flatten(2).mT


def _at_places(call: Called, gradients: Tensor) -> Float[Tensor, "c n t q o"]:
    axes = "c n (q o) ... -> c n (...) q o" if call.convolution else "c n ... (q o) -> c n (...) q o"
    return rearrange(gradients, axes, q=call.parts)


class _Tapped(TorchFunctionMode):
    """Keeps the calls with what they read, and adds zeros to what they give."""

    def __init__(self, named: dict[str, Tensor], zeros: dict[str, Tensor] | None = None) -> None:
        super().__init__()
        self.paths = {id(t): path for path, t in named.items()}
        self.zeros = zeros
        self.calls: list[tuple[Called, Tensor]] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        out = func(*args, **given)
        path = self.paths.get(id(args[1] if len(args) > 1 else given.get("weight")))
        if path is None or func not in READ:
            return out
        bias, inputs = READ[func](*args, **given)
        bias_path = self.paths.get(id(bias))
        if bias_path is not None:
            inputs = torch.cat([inputs, torch.ones_like(inputs[..., :1])], -1)
        call = Called(path, bias_path, tuple(out.shape[1:]), len(out), func is not F.linear, inputs.shape[2])
        self.calls.append((call, inputs))
        if self.zeros is None:
            return out
        if out.shape != self.zeros[path].shape:
            raise ValueError(
                f"expected the layer of {path} to write {tuple(self.zeros[path].shape)}, a row per datum, got "
                f"{tuple(out.shape)}: keep the data's axis first, or take diagonal or full"
            )
        return out + self.zeros[path]


Reading = tuple[Tensor | None, Float[Tensor, "n t q i"]]  # bias, and inputs at each place


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Reading:
    return bias, rearrange(input, "n ... i -> n (...) 1 i")


def _conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Reading:  # fmt: skip
    sides = weight.shape[2:]
    if isinstance(padding, str):
        input, padding = _padded(input, sides, padding, _pair(dilation)), 0
    read = F.unfold(input, sides, dilation, padding, stride)
    return bias, rearrange(read, "n (q i) t -> n t q i", q=groups)


def _conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Reading:  # fmt: skip
    """As images of one row."""
    if not isinstance(padding, str):
        padding = (0, _pair(padding)[-1])
    sides = (1, _pair(stride)[-1]), padding, (1, _pair(dilation)[-1])
    return _conv2d(input[:, :, None], weight[:, :, None], bias, *sides, groups)


def _padded(input: Tensor, sides: Sequence[int], padding: str, dilation: tuple[int, ...]) -> Tensor:
    """By "same", with as many zeros that the sides stay, the odd one last; by "valid", none."""
    if padding == "valid":
        return input
    every = [each * (side - 1) for each, side in zip(dilation, sides, strict=True)]
    return F.pad(input, [zeros for total in reversed(every) for zeros in (total // 2, total - total // 2)])


def _pair(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value, value)


READ = {F.linear: _linear, F.conv1d: _conv1d, F.conv2d: _conv2d}
