"""Vector quantisation with a codebook that follows its data (van den Oord et al., 2017; Razavi et al., 2019).

    codebook = init(key, z, 512)                               # z (n, positions, d), an encoder's outputs
    q = quantise(codebook, z)                                  # q.z is decoded; its gradient is z's (straight through)
    terms = q.terms(reconstruction, codebook, weight=0.25)     # maximise terms.objective.mean()
    codebook = reset(update(codebook, z, q.indices), z, key)

The codebook is a state, learned without a gradient: each code is the moving average of the vectors nearest to it.
"""

import math
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_number, check_tensor, described
from jensen.core.contracts import Key
from jensen.core.numerics import at_least_float32
from jensen.core.objectives import Terms
from jensen.core.ops import nearest_code


class Codebook(NamedTuple):
    """C codes with the exponential moving averages, of counts and of sums, whose ratio they are."""

    codes: Float[Tensor, "C d"]
    counts: Float[Tensor, " C"]  # vectors of a minibatch nearest to each code
    sums: Float[Tensor, "C d"]  # of those vectors


class Quantised(NamedTuple):
    """Vectors replaced by their nearest codes."""

    z: Float[Tensor, "*n d"]  # the codes, with the gradient of what they replace (straight through)
    indices: Int[Tensor, "*n"]
    commitment: Float[Tensor, "*n"]  # |z - code|^2, differentiable in z alone

    def terms(self, reconstruction: Float[Tensor, " n"], codebook: Codebook, weight: float | Tensor = 0.25) -> Terms:
        """reconstruction - KL - weight commitment, (n,) each, summed over the positions of a datum.

        The KL of one certain code to a uniform prior over C is log C nats a position, a constant.
        """
        _check_codebook(codebook)
        check_floating("reconstruction", reconstruction, "n", "average over samples and sum over pixels")
        if not isinstance(weight, Tensor):
            check_number("weight", weight, "[0, inf)")
        commitment = rearrange(self.commitment, "n ... -> n (...)")
        if reconstruction.shape != commitment.shape[:1]:
            raise ValueError(
                f"expected a reconstruction ({len(commitment)},), one per datum, got "
                f"{tuple(reconstruction.shape)}: it belongs to other data"
            )
        kl = torch.full_like(reconstruction, commitment.shape[1] * math.log(len(codebook.codes)))
        penalty = weight * commitment.sum(-1)
        return Terms(reconstruction - kl - penalty, reconstruction, kl, penalty, {})


def init(key: Key, z: Float[Tensor, "*n d"], size: int) -> Codebook:
    """`size` codes at vectors drawn from z, each with an equal share of them. ValueError for a size below 1."""
    size = check_count("size", size)
    codes = _drawn(key, _rows(z), size)
    counts = codes.new_full((size,), len(_rows(z)) / size)
    return Codebook(codes, counts, codes * counts[:, None])


def quantise(codebook: Codebook, z: Float[Tensor, "*n d"]) -> Quantised:
    """Each vector's nearest code by Euclidean distance; of equally near codes the first."""
    _check_codebook(codebook)
    indices, distances = nearest_code(_rows(z), codebook.codes.detach())
    indices = indices.reshape(z.shape[:-1])
    codes = codebook.codes[indices].to(z.dtype)
    return Quantised(z + (codes - z).detach(), indices, distances.reshape(z.shape[:-1]))


def update(codebook: Codebook, z: Float[Tensor, "*n d"], indices: Int[Tensor, "*n"], decay: float = 0.99) -> Codebook:
    """average <- decay average + (1 - decay) minibatch, of counts and sums; codes = sums / counts.

    A code without nearest vectors keeps its place while its count decays. ValueError unless 0 <= decay < 1.
    """
    _check_codebook(codebook)
    decay = check_number("decay", decay, "[0, 1)", "at 1 no minibatch would change the average")
    _check_indices(indices)
    rows, places = _rows(z).detach(), indices.reshape(-1)
    here = torch.zeros_like(codebook.counts).index_add(0, places, rows.new_ones(len(rows)))
    total = torch.zeros_like(codebook.sums).index_add(0, places, rows)
    counts = decay * codebook.counts + (1 - decay) * here
    sums = decay * codebook.sums + (1 - decay) * total
    seen = (counts > torch.finfo(counts.dtype).tiny)[:, None]
    codes = torch.where(seen, sums / torch.where(seen, counts[:, None], 1.0), codebook.codes)
    return Codebook(codes, counts, sums)


def reset(codebook: Codebook, z: Float[Tensor, "*n d"], key: Key, least: float = 0.03) -> Codebook:
    """Codes whose count is below `least` times an equal share restart at vectors drawn from z, with their averages.

    Dhariwal et al. (2020): without its averages a code would return to its old place at the next `update`.
    """
    _check_codebook(codebook)
    least = check_number("least", least, "[0, inf)")
    rows, size = _rows(z), len(codebook.codes)
    share = codebook.counts.new_full((size,), len(rows) / size)
    unused, fresh = codebook.counts < least * share, _drawn(key, rows, size)
    started = Codebook(fresh, share, fresh * share[:, None])
    return Codebook(*(
        torch.where(unused.reshape(-1, *[1] * (old.ndim - 1)), new, old)
        for new, old in zip(started, codebook, strict=True)
    ))  # fmt: skip


def perplexity(indices: Int[Tensor, "*n"], size: int) -> Float[Tensor, ""]:
    """e^entropy of how often each of `size` codes is used: `size` for equal use, 1 for a single code."""
    _check_indices(indices)
    size, places = check_count("size", size), indices.reshape(-1)
    ones = torch.ones(len(places), device=places.device)
    share = torch.zeros(size, device=places.device).index_add(0, places, ones) / len(places)
    return torch.exp(-torch.special.xlogy(share, share).sum())


def _check_codebook(codebook: Codebook) -> None:
    if not isinstance(codebook, Codebook):
        raise TypeError(f"expected codebook, a Codebook, got {described(codebook)}: make one with codebook.init")


def _check_indices(indices: Tensor) -> None:
    check_tensor("indices", indices)
    if indices.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"expected indices, whole numbers, got {indices.dtype}: pass those of `quantise`")


def _rows(z: Tensor) -> Float[Tensor, "N d"]:
    check_floating("z", z, "... d")
    return at_least_float32(rearrange(z, "... d -> (...) d"))


def _drawn(key: Tensor, rows: Float[Tensor, "N d"], count: int) -> Float[Tensor, "count d"]:
    """Rows at random, with replacement."""
    if not len(rows):
        raise ValueError("expected z of one vector or more, got none: there is nothing to draw codes from")
    places = (keys.uniform(key, (count,), torch.float64) * len(rows)).long()
    return rows.detach()[places.clamp_max(len(rows) - 1)]
