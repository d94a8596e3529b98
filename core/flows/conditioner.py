"""The network that gives a transform's parameters for some components as a function of others, and of a context."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys, trees
from jensen.core.checks import check_count, check_dtype, check_floating, check_key, check_sizes
from jensen.core.contracts import Key
from jensen.core.flows.transform import Transform, check_transform
from jensen.core.trees import Static


class Conditioner(NamedTuple):
    """theta = W_k h_k-1 + b_k, with h_1 = tanh(W_1 z + given context + b_1) and h_j = tanh(W_j h_j-1 + b_j).

    With an axis n in its fields, one network for each datum; without, one for all data, which a context tells apart.
    """

    weights: tuple[Float[Tensor, "*n o i"], ...]
    biases: tuple[Float[Tensor, "*n o"], ...]
    given: Float[Tensor, "*n h c"]  # c = 0: no context

    @classmethod
    def zero(
        cls,
        key: Key,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        context: int = 0,
        n: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> "Conditioner":
        """theta = 0: the last layer is 0, the others normal with variance 1 / inputs, and the first biases normal."""
        check_key(key)
        hidden, context = check_sizes("hidden", hidden), check_count("context", context, 0)
        n = None if n is None else check_count("n", n)
        if not hidden:
            raise ValueError("expected hidden of one width or more, got (): pass (16,)")
        widths = (inputs, *hidden)
        first_key, bias_key, given_key, *others = keys.split(key, len(hidden) + 2)
        layers = zip((first_key, *others), widths[:-1], hidden, strict=True)
        weights = [_normal(k, o, i, dtype) for k, i, o in layers]
        biases = [_normal(bias_key, hidden[0], 1, dtype)[:, 0], *(weights[0].new_zeros(o) for o in hidden[1:])]
        last = weights[0].new_zeros(outputs, hidden[-1]), weights[0].new_zeros(outputs)
        one = cls((*weights, last[0]), (*biases, last[1]), _normal(given_key, hidden[0], context, dtype))
        return one if n is None else trees.map(lambda t: t.expand(n, *t.shape).clone(), one)

    def theta(
        self,
        z: Float[Tensor, "*s n i"],
        context: Float[Tensor, "... c"] | None = None,
        masks: Sequence[Tensor] | None = None,
    ) -> Float[Tensor, "*s n o"]:
        """The outputs; masks (o, i), one for each weight, say which of its entries are not 0.

        A context (*s, n, c) is of each datum, or of each sample of it.
        """
        weights = self._masked(masks)
        return linear(weights[-1], self.biases[-1], self._hidden(z, context, weights)[-1])

    def pulled(
        self,
        z: Float[Tensor, "*s n i"],
        context: Float[Tensor, "... c"] | None,
        masks: Sequence[Tensor] | None,
        slopes: Float[Tensor, "*s n p d"],
    ) -> Float[Tensor, "*s n d i"]:
        """sum_p slopes_pd dtheta_pd / dz_i: for outputs (p, d) with these slopes, the gradients of d numbers in z."""
        weights = self._masked(masks)
        hidden = self._hidden(z, context, weights)
        rows = torch.einsum("...pd,...pdh->...dh", slopes, weights[-1].unflatten(-2, slopes.shape[-2:]))
        for weight, h in zip(reversed(weights[:-1]), reversed(hidden), strict=True):
            rows = (rows * (1 - h * h)[..., None, :]) @ weight
        return rows

    def along(
        self, z: Float[Tensor, "*s n i"], context: Float[Tensor, "... c"], directions: Float[Tensor, "... k i"]
    ) -> tuple[Float[Tensor, "*s n o"], Float[Tensor, "*s n k o"]]:
        """The outputs, and their derivatives along k directions in z."""
        hidden = self._hidden(z, context, self.weights)
        change = directions @ self.weights[0].mT
        for weight, h in zip(self.weights[1:], hidden, strict=True):
            change = (change * (1 - h * h)[..., None, :]) @ weight.mT
        return linear(self.weights[-1], self.biases[-1], hidden[-1]), change

    def _hidden(self, z: Tensor, context: Tensor | None, weights: Sequence[Tensor]) -> list[Tensor]:
        """h_1 ... h_k-1."""
        check_dtype("z", z, self.given, "the flow's networks")
        h = linear(weights[0], self.biases[0], z)
        if c := self.given.shape[-1]:
            h = h + linear(self.given, None, checked_context(context, c, self.given))
        hidden = [torch.tanh(h)]
        for weight, bias in zip(weights[1:-1], self.biases[1:-1], strict=True):
            hidden.append(torch.tanh(linear(weight, bias, hidden[-1])))
        return hidden

    def _masked(self, masks: Sequence[Tensor] | None) -> Sequence[Tensor]:
        return self.weights if masks is None else [w * m for w, m in zip(self.weights, masks, strict=True)]


def unmoved(
    key: Key,
    inputs: int,
    moved: int,
    hidden: Sequence[int],
    context: int,
    n: int | None,
    transform: Transform,
    dtype: torch.dtype,
) -> tuple[Conditioner, Static[Transform]]:
    """A network and a transform that leave so many components as they are: the fields of a coupling, for one."""
    outputs = check_transform(transform).parameters * moved
    return Conditioner.zero(key, inputs, hidden, outputs, context, n, dtype), Static(transform)


def checked_context(context: Tensor | None, c: int, like: Tensor) -> Tensor:
    """The context of a flow that needs one, of c numbers."""
    if context is None:
        raise TypeError(
            f"expected context (n, {c}), got None: call forward(z, context), or Conditional(flows, context) in a "
            "distribution"
        )
    check_floating("context", context, f"... {c}", f"the flow is conditional on {c} numbers for each datum")
    check_dtype("context", context, like, "the flow's networks")
    return context


def linear(weight: Tensor, bias: Tensor | None, z: Tensor) -> Tensor:
    """One layer for all data, or each datum's own: weight (*n, o, i), z (*s, n, i)."""
    if weight.ndim == 2:
        return F.linear(z, weight, bias)
    out = torch.einsum("...i,...oi->...o", z, weight)
    return out if bias is None else out + bias


def _normal(key: Key, outputs: int, inputs: int, dtype: torch.dtype) -> Tensor:
    drawn = keys.normal(key, (outputs * inputs,), dtype).reshape(outputs, inputs)
    return drawn / max(inputs, 1) ** 0.5
