"""The Protocol of quantisers: values that replace vectors by codes, whichever a model or a prior of codes is given.

    params, state = quantiser.init(key, z)              # z (n, *positions, d), an encoder's outputs
    q = quantiser.quantise(params, state, z, key)       # a step of training: q.z is what the decoder is given
    terms = q.objective(reconstruction)                 # maximise terms.objective.mean()
    state = q.state

    codes = quantiser.encode(params, state, z)          # whole numbers from 0 to quantiser.size - 1
    z = quantiser.decode(params, state, codes)

    state = quantiser.follow(state, seen, key)          # instead of q.state, of q.seen of all parts of a batch

A code is a whole number, and `decode` gives its vector. `encode` and `decode` draw nothing and leave the state: they
serve evaluation, and priors of codes. A quantiser has `follow` where its state follows data, as a codebook does.
"""

import math
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core.checks import check_floating, check_number, check_tensor
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key, can
from jensen.core.objectives import Terms
from jensen.core.trees import Params, Tree


class Quantised(NamedTuple):
    """Vectors (n, *positions, d) replaced by those of their codes."""

    z: Float[Tensor, "n *positions d"]  # with a gradient in the vectors that were replaced
    codes: Int[Tensor, "n *positions_levels"]  # (n, *positions), and one axis more for several codes a position
    kl: Float[Tensor, " n"]  # KL(q(codes | z) || uniform), in nats per datum: log size for a code that is certain
    terms: dict[str, Float[Tensor, " n"]]  # what a loss adds, weighted, summed over the positions of a datum
    state: Tree  # the next one
    seen: Tree = ()  # what it follows, (n, ...) each, without a gradient; none where the state stays

    def objective(self, reconstruction: Float[Tensor, " n"]) -> Terms:
        """reconstruction - kl - the sum of `terms`, (n,) each."""
        check_floating("reconstruction", reconstruction, "n", "average over samples and sum over pixels")
        if reconstruction.shape != self.kl.shape:
            raise ValueError(
                f"expected a reconstruction ({len(self.kl)},), one per datum, got {tuple(reconstruction.shape)}: it "
                "belongs to other data"
            )
        penalty = sum(self.terms.values(), torch.zeros_like(self.kl))
        return Terms(reconstruction - self.kl - penalty, reconstruction, self.kl, penalty, {})


@runtime_checkable
class Quantiser(Protocol):
    """A quantiser; equal where its settings are.

    size      how many codes there are
    init      parameters, which follow a gradient, and the state, which does not, from z (n, *positions, d)
    quantise  a step of training; the key is for what is drawn, if anything is
    encode    the codes of z, the most probable ones where they are drawn in training
    decode    the vectors of codes, (n, *positions, d)
    """

    @property
    def size(self) -> int: ...
    def init(self, key: Key, z: Tensor, /) -> tuple[Params, Tree]: ...
    def quantise(self, params: Params, state: Tree, z: Tensor, key: Key, /) -> Quantised: ...
    def encode(self, params: Params, state: Tree, z: Tensor, /) -> Tensor: ...
    def decode(self, params: Params, state: Tree, codes: Tensor, /) -> Tensor: ...


class Following(Protocol):
    """A quantiser whose state follows a batch: by more than a mean over data, so that parts have to be joined."""

    def follow(self, state: Tree, seen: Tree, key: Key, /) -> Tree: ...


def follow(quantiser: Quantiser, state: Tree, seen: Tree, key: Key) -> Tree:
    """The state that `quantise` leaves of data of which this was seen, with the key that it had."""
    return quantiser.follow(state, seen, key) if can(quantiser, Following) else state


def check_vectors(z: Tensor, width: int | None = None, owner: str = "") -> None:
    """z (n, *positions, d) in floating point, of the width that its owner has, if any."""
    check_floating("z", z, "n ... d", "one row per datum, its positions, and a vector at each")
    if width is not None and z.shape[-1] != width:
        raise ValueError(f"expected z (n, ..., {width}), got {tuple(z.shape)}: {owner}")


def check_codes(codes: Tensor, size: int | None = None) -> None:
    """Whole numbers from 0 to size - 1; their values are read where they can be."""
    check_tensor("codes", codes)
    if codes.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"expected codes, whole numbers, got {codes.dtype}: pass those of `encode` or `quantise`")
    if size is None or not codes.numel() or not is_concrete(codes):
        return
    low, high = (int(end) for end in codes.aminmax())
    if low < 0 or high >= size:
        found = low if low < 0 else high
        raise ValueError(f"expected codes from 0 to size - 1 = {size - 1}, got {found}: pass those of this quantiser")


def check_size(name: str, size: int) -> None:
    """Few enough codes for 64-bit whole numbers."""
    if size > 2**62:
        raise ValueError(f"expected {name} of 2^62 codes or fewer, got {size}: pass fewer, or quantise in groups")


def check_temperature(temperature: float | Tensor) -> None:
    """A number above 0, or a 0-d tensor of a schedule, whose value is not read."""
    if not isinstance(temperature, Tensor):
        check_number("temperature", temperature, "(0, inf)")
        return
    check_floating("temperature", temperature)
    if temperature.ndim:
        raise ValueError(f"expected temperature (), got {tuple(temperature.shape)}: pass one for all data")


def certain(codes: Int[Tensor, "n *rest"], size: int, like: Tensor) -> Float[Tensor, " n"]:
    """The KL of codes without doubt to uniform ones: log size for each."""
    return like.new_full(codes.shape[:1], math.prod(codes.shape[1:]) * math.log(size))


def per_datum(t: Float[Tensor, "n *positions"]) -> Float[Tensor, " n"]:
    """Summed over positions."""
    return t.reshape(len(t), math.prod(t.shape[1:])).sum(-1)
