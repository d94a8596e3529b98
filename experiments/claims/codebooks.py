"""Codebooks without a network: what their start and restarts are worth, and how many codes random vectors have."""

import itertools

import torch
from einops import rearrange

from jensen.core import keys
from jensen.core.models.quantised import Lfq, Vq, usage
from jensen.core.ops import nearest_code
from jensen.experiments.claims import computed
from jensen.experiments.claims.compared import Column, Row
from jensen.experiments.claims.computed import mean_of
from jensen.experiments.data.images import digits

KEY = keys.key(47)
BITS = 9  # of a code
VECTORS = 14 * 14  # of a lecture's grid, which are said to use as many codes
OF_PATCHES = (Column("squared error", "squared_error", 5), Column("codes used, %", "used", 1))


def patches(seeds: int) -> list[Row]:
    """What the start and restarts are worth where vectors are given: 512 codes, 100 steps of 100 images at decay 0.9.

    A third of the patches are dark, so that vectors that are drawn are often the same.
    """
    data = digits()
    train, test = (rearrange(x, "n (h a w b) -> n (h w) (a b)", h=4, a=2, w=4) for x in (data.train, data.test))
    rows = []
    for seed in range(seeds):
        for start, least in itertools.product(("k-means", "draw"), (0.03, 0.0)):
            vq, key = Vq(2**BITS, decay=0.9, least=least, start=start), keys.fold_in(KEY, seed)
            params, state = vq.init(key, train)
            for step in range(100):
                own = keys.fold_in(key, step)
                state = vq.quantise(params, state, train[keys.bits(own, (100,)) % len(train)], own).state
            codes = vq.encode(params, state, test)
            error = (vq.decode(params, state, codes) - test).square().mean().item()
            name = f"{'k-means' if start == 'k-means' else 'drawn vectors'}{', restarts' if least else ''}"
            rows.append(Row(name, seed, {"squared_error": error, "used": 100 * usage.used(codes, vq.size).item()}))
    return rows


def distinct(draws: int) -> list[computed.Row]:
    """How many codes of 512 random vectors have: where all codes are as probable, and of a random codebook.

    Signs of normal components are uniform codes; a normal codebook's cells differ in their shares of normal vectors,
    the more so in more dimensions, so that uniform codes' number bounds theirs.
    """
    size, quantiser = 2**BITS, Lfq(BITS)
    uniform = size * (1 - (1 - 1 / size) ** VECTORS)
    part = f"distinct codes of {VECTORS} normal vectors, of {size}"

    def counts(dimensions: int) -> torch.Tensor:
        """Of each draw, of a codebook of so many dimensions; of signs for 0."""
        found = []
        for key in keys.split(keys.fold_in(KEY, dimensions), draws):
            z_key, book_key = keys.split(key)
            z = keys.normal(z_key, (VECTORS, dimensions or BITS))
            codes = (
                nearest_code(z, keys.normal(book_key, (size, dimensions)))[0]
                if dimensions
                else quantiser.encode({}, {}, z)
            )
            found.append(len(codes.unique()))
        return torch.tensor(found, dtype=torch.float64)

    below = [mean_of(part, f"nearest of a normal codebook in {d} dimensions", counts(d), uniform)
             for d in (2, 10, 64)]  # fmt: skip
    return [mean_of(part, "signs", counts(0), uniform), *(row._replace(relation="≤") for row in below)]
