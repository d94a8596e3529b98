"""Quantisers, with what they are made of."""

import torch

from jensen.core import keys
from jensen.core.models import quantised
from jensen.core.models.quantised import (
    Fsq,
    GradientVq,
    GumbelVq,
    Lfq,
    Projected,
    ResidualVq,
    SoftVq,
    Vq,
    codebook,
    kmeans,
    paths,
    usage,
)
from tests.doors.door import KEY, Free, also, door, only

S, N, D = 4, 5, 3
VECTORS = keys.normal(KEY, (N, 2, D))
BOOK = codebook.init(KEY, VECTORS, 6)
VQ, RESIDUAL, FSQ, LFQ, SOFT, GUMBEL = Vq(6), ResidualVq(Vq(4), 2), Fsq((3, 4, 2)), Lfq(3), SoftVq(6), GumbelVq(6)
PROJECTED = Projected(FSQ, 3)
CODES = VQ.encode({}, BOOK, VECTORS)
QUANTISED = VQ.quantise({}, BOOK, VECTORS, KEY)
SOFT_PARAMS, (PROJECTED_PARAMS, _) = SOFT.init(KEY, VECTORS)[0], PROJECTED.init(KEY, VECTORS)
RESIDUAL_BOOKS = RESIDUAL.init(KEY, VECTORS)[1]
NARROW = only(VECTORS, VECTORS[..., :2], VECTORS[0, 0], VECTORS.numpy(), VECTORS.long(), "x", None)
ALIKE = only(VECTORS, *NARROW.wrong, VECTORS.double())
QUANTISERS = {
    "Vq": (VQ, {}, only(BOOK, 3, BOOK.vectors), CODES, ALIKE),
    "ResidualVq": (
        RESIDUAL, {}, only(RESIDUAL_BOOKS, 3, BOOK, RESIDUAL_BOOKS[:1], (3, 3)), CODES[..., None] % 4, ALIKE,
    ),
    "GradientVq": (GradientVq(6), SOFT_PARAMS, only({}), CODES, ALIKE),
    "Fsq": (FSQ, {}, only({}), CODES, NARROW),
    "Lfq": (LFQ, {}, only({}), CODES, NARROW),
    "SoftVq": (SOFT, SOFT_PARAMS, only({}), CODES, ALIKE),
    "GumbelVq": (GUMBEL, SOFT_PARAMS, only({}), CODES, ALIKE),
    "Projected": (PROJECTED, PROJECTED_PARAMS, only({}), CODES, ALIKE),
}  # fmt: skip

ROWS = {
    "codebook.init": door(
        codebook.init, key=KEY, z=Free(VECTORS), size=also(6, 11), start=also("k-means", "random"),
    ),
    "codebook.starting_vectors": door(
        codebook.starting_vectors, key=KEY, z=Free(VECTORS), size=also(6, 11), start=also("k-means", "random"),
    ),
    "codebook.update": door(
        codebook.update, codebook=only(BOOK, 3, BOOK.vectors), z=Free(VECTORS), codes=Free(CODES),
        decay=also(0.9, 1.0, -0.1),
    ),
    "codebook.reset": door(
        codebook.reset, codebook=only(BOOK, 3, BOOK.vectors), z=Free(VECTORS), key=KEY, least=also(0.03, -1.0)
    ),
    "kmeans.start": door(kmeans.start, key=KEY, x=also(VECTORS[:, 0], VECTORS[:1, 0].expand(5, 3)), size=also(3, 6)),
    "kmeans.fit": door(kmeans.fit, x=VECTORS[:, 0], centres=also(VECTORS[:2, 1], VECTORS[:2, 1, :2]), iterations=3),
    "kmeans.inertia": door(kmeans.inertia, x=VECTORS[:, 0], centres=also(VECTORS[:2, 1], VECTORS[:2, 1, :2])),
    "paths.straight_through": door(paths.straight_through, z=Free(VECTORS), vectors=also(VECTORS, VECTORS[:1])),
    "paths.rotation": door(paths.rotation, z=Free(VECTORS), vectors=also(VECTORS, VECTORS[:1])),
    "paths.along": door(paths.along, path="rotation", z=Free(VECTORS), vectors=also(VECTORS, VECTORS[:1])),
    "usage.perplexity": door(usage.perplexity, codes=Free(CODES), size=also(6, 1)),
    "usage.used": door(usage.used, codes=Free(CODES), size=also(6, 1)),
    "quantised.parse": door(quantised.parse, text=only("vq(6)", "vqq(6)", "vq", "fsq(a)", 3, None)),
    "quantised.Vq": door(
        Vq, size=6, commitment=also(0.25, -1.0), decay=also(0.9, 1.0), least=also(0.03, -1.0), path="rotation",
        start="draw",
    ),
    "quantised.GradientVq": door(GradientVq, size=6, commitment=also(0.25, -1.0), path="rotation", start="draw"),
    "quantised.ResidualVq": door(ResidualVq, vq=only(VQ, 6, Vq, FSQ), depth=2),
    "quantised.Fsq": door(Fsq, levels=only((3, 4), (3, 1), (2,) * 63, (), 3, (2.5, 3))),
    "quantised.Lfq": door(
        Lfq, bits=also(6, 64), commitment=also(0.25, -1.0), entropy=also(0.1, -1.0), diversity=also(0.1, -1.0),
        temperature=also(1.0, 0.0), groups=also(2, 4),
    ),
    "quantised.SoftVq": door(SoftVq, size=6, temperature=also(1.0, 0.0, torch.zeros(2)), start="draw"),
    "quantised.GumbelVq": door(GumbelVq, size=6, temperature=also(1.0, 0.0, torch.zeros(2)), start="draw"),
    "quantised.Projected": door(Projected, quantiser=only(FSQ, Fsq, 3), width=3),
    "quantised.Quantised.objective": door(QUANTISED.objective, reconstruction=also(torch.zeros(N), torch.zeros(N + 1))),
    **{
        f"quantised.{name}.init": door(quantiser.init, key=KEY, z=Free(VECTORS))
        for name, (quantiser, *_) in QUANTISERS.items()
    },
    **{
        f"quantised.{name}.quantise": door(
            quantiser.quantise, params=only(params, {"mistyped": 3}, 3), state=state, z=z, key=KEY
        )
        for name, (quantiser, params, state, _, z) in QUANTISERS.items()
    },
    "quantised.Vq.follow": door(VQ.follow, state=only(BOOK, 3), seen=only(QUANTISED.seen, CODES, 3, None), key=KEY),
    "quantised.ResidualVq.follow": door(
        RESIDUAL.follow, state=only(RESIDUAL_BOOKS, 3, BOOK),
        seen=only(RESIDUAL.quantise({}, RESIDUAL_BOOKS, VECTORS, KEY).seen, (), QUANTISED.seen, 3, None), key=KEY,
    ),
    **{
        f"quantised.{name}.encode": door(quantiser.encode, params=only(params, {"mistyped": 3}, 3), state=state, z=z)
        for name, (quantiser, params, state, _, z) in QUANTISERS.items()
    },
    **{
        f"quantised.{name}.decode": door(
            quantiser.decode, params=only(params, {"mistyped": 3}, 3), state=state,
            codes=only(codes, codes + 100, codes - 100, codes.double(), codes.numpy(), None),
        )
        for name, (quantiser, params, state, codes, _) in QUANTISERS.items()
    },
}  # fmt: skip
