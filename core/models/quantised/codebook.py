"""A codebook that follows its data (van den Oord et al., 2017, appendix A; Razavi et al., 2019).

    codebook = init(key, z, 512)                                        # z (n, *positions, d)
    codebook = reset(update(codebook, z, codes), z, key)                # codes (n, *positions), those nearest to z

It is a state, learned without a gradient: each vector is the moving average of those nearest to it.
"""

from typing import Literal, NamedTuple, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_choice, check_count, check_key, check_number, described
from jensen.core.contracts import Key
from jensen.core.models.quantised import kmeans
from jensen.core.models.quantised._distances import rows
from jensen.core.models.quantised.quantiser import check_codes

Start: TypeAlias = Literal["k-means", "draw"]
ITERATIONS = 10  # of k-means


class Codebook(NamedTuple):
    """The vectors of C codes with the exponential moving averages, of shares and of sums, whose ratio they are.

    Both are per vector of a minibatch, times C, so that minibatches of any size compare.
    """

    vectors: Float[Tensor, "C d"]
    shares: Float[Tensor, " C"]  # of the vectors nearest to each code, as a multiple of an equal share
    sums: Float[Tensor, "C d"]  # of those vectors


def init(key: Key, z: Float[Tensor, "n *positions d"], size: int, start: Start = "k-means") -> Codebook:
    """`size` codes at the centres of k-means on z, or at vectors drawn from z; each with an equal share of them.

    ValueError for more centres than z has distinct vectors; "draw" repeats some.
    """
    vectors = starting_vectors(key, z, size, start)
    return Codebook(vectors, torch.ones_like(vectors[:, 0]), vectors)


def starting_vectors(
    key: Key, z: Float[Tensor, "n *positions d"], size: int, start: Start = "k-means"
) -> Float[Tensor, "size d"]:
    """Those of `init` alone, for codes that follow a gradient."""
    check_key(key)
    check_start(start)
    size, x = check_count("size", size), rows(z).detach()
    if start == "draw":
        return _drawn(key, x, size)
    if size > len(x):
        raise ValueError(
            f"expected size, at most the {len(x)} vectors of z, got {size}: pass more data, a smaller size, or "
            'start="draw", which repeats some'
        )
    return kmeans.fit(x, kmeans.start(key, x, size), ITERATIONS)


def update(
    codebook: Codebook, z: Float[Tensor, "n *positions d"], codes: Int[Tensor, "n *positions"], decay: float = 0.99
) -> Codebook:
    """average <- decay average + (1 - decay) minibatch, of shares and sums; vectors = sums / shares.

    A code without nearest vectors keeps its place while its share decays. ValueError unless 0 <= decay < 1.
    """
    check_codebook(codebook)
    decay = check_decay(decay)
    check_codes(codes)
    x, places = rows(z).detach().to(codebook.sums.dtype), codes.reshape(-1)
    weights = x.new_full((len(x),), len(codebook.shares) / max(len(x), 1))
    here = torch.zeros_like(codebook.shares).index_add(0, places, weights)
    total = torch.zeros_like(codebook.sums).index_add(0, places, weights[:, None] * x)
    shares = decay * codebook.shares + (1 - decay) * here
    sums = decay * codebook.sums + (1 - decay) * total
    seen = (shares > torch.finfo(shares.dtype).tiny)[:, None]
    vectors = torch.where(seen, sums / torch.where(seen, shares[:, None], 1.0), codebook.vectors)
    return Codebook(vectors, shares, sums)


def reset(codebook: Codebook, z: Float[Tensor, "n *positions d"], key: Key, least: float = 0.03) -> Codebook:
    """Codes used less than `least` times an equal share restart at vectors drawn from z, with their averages.

    Dhariwal et al. (2020): without its averages a code would return to its old place at the next `update`.
    """
    check_codebook(codebook)
    least = check_least(least)
    x, size = rows(z).to(codebook.sums.dtype), len(codebook.vectors)
    unused, fresh = codebook.shares < least, _drawn(key, x, size)
    started = Codebook(fresh, torch.ones_like(codebook.shares), fresh)
    return Codebook(*(
        torch.where(unused.reshape(-1, *[1] * (old.ndim - 1)), new, old)
        for new, old in zip(started, codebook, strict=True)
    ))  # fmt: skip


def check_codebook(codebook: Codebook, name: str = "codebook") -> None:
    if not isinstance(codebook, Codebook):
        raise TypeError(f"expected {name}, a Codebook, got {described(codebook)}: pass what init or quantise gave")


def check_start(start: object) -> None:
    check_choice("start", start, ("k-means", "draw"))


def check_decay(decay: float) -> float:
    return check_number("decay", decay, "[0, 1)", "at 1 no minibatch would change the average")


def check_least(least: float) -> float:
    return check_number("least", least, "[0, inf)", "it is a part of an equal share, 0 for no resets")


def _drawn(key: Tensor, x: Float[Tensor, "N d"], count: int) -> Float[Tensor, "count d"]:
    """Rows at random, with replacement."""
    if not len(x):
        raise ValueError("expected z of one vector or more, got none: there is nothing to draw codes from")
    places = (keys.uniform(key, (count,), torch.float64) * len(x)).long()
    return x.detach()[places.clamp_max(len(x) - 1)]
