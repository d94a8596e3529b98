import math
from itertools import pairwise

import torch
from torch.func import grad

from jensen.core import keys
from jensen.core.models.quantised import GradientVq, ResidualVq, Vq
from jensen.core.models.quantised.codebook import Codebook

KEY = keys.key(8)
VECTORS = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [9.0, 9.0]])
BOOK = Codebook(VECTORS, torch.full((4,), 2.0), 2 * VECTORS)
Z = torch.tensor([[[0.5, -0.5], [3.0, 0.5]], [[0.0, 3.0], [5.0, 0.0]], [[1.0, 1.0], [2.5, 0.0]]])
CODES = torch.tensor([[0, 1], [2, 1], [0, 1]])  # by hand: the last code is nearest to nothing
SLOPE = torch.linspace(-1, 2, 12).reshape(3, 2, 2)


def test_vectors_go_to_their_nearest_codes():
    q = Vq(4, commitment=0.5).quantise({}, BOOK, Z, KEY)
    assert torch.equal(q.codes, CODES)
    assert torch.equal(q.z, VECTORS[CODES])
    torch.testing.assert_close(q.terms["commitment"], 0.5 * torch.tensor([0.5 + 1.25, 1.0 + 1.0, 2.0 + 2.25]))
    torch.testing.assert_close(q.kl, torch.full((3,), 2 * math.log(4)))


def slopes(quantiser, tensors, given, outputs):
    """The gradient of each output of a step in each tensor, of which `given` makes parameters and state."""

    def f(tensors, output):
        params, state = given(tensors)
        q = quantiser.quantise(params, state, tensors["z"], KEY)
        every = {"z": (q.z * SLOPE).sum(), "kl": q.kl.sum(), **{name: term.sum() for name, term in q.terms.items()}}
        return every[output]

    return {output: grad(f)(tensors, output) for output in outputs}


def test_the_routing_table_of_gradients():
    """z has the reconstruction's, straight through, and the commitment's; the codebook has none of either."""
    tensors = {"z": Z, **BOOK._asdict()}
    nothing = {name: torch.zeros_like(t) for name, t in tensors.items()}
    table = {"z": nothing | {"z": SLOPE}, "commitment": nothing | {"z": 2 * 0.5 * (Z - VECTORS[CODES])}, "kl": nothing}
    found = slopes(
        Vq(4, commitment=0.5), tensors, lambda t: ({}, Codebook(t["vectors"], t["shares"], t["sums"])), table
    )
    torch.testing.assert_close(found, table)


def test_the_routing_table_of_vectors_that_follow_a_gradient():
    """As the other, but for the vectors, which have the codebook's term alone: 2 (vector - z) of nearest z."""
    tensors = {"z": Z, "vectors": VECTORS}
    nothing = {name: torch.zeros_like(t) for name, t in tensors.items()}
    pull = torch.tensor([[-1.5 * 2, -0.5 * 2], [2 * (12 - 10.5), -0.5 * 2], [0.0, 2 * (4 - 3)], [0.0, 0.0]])
    table = {
        "z": nothing | {"z": SLOPE},
        "codebook": nothing | {"vectors": pull},
        "commitment": nothing | {"z": 2 * 0.5 * (Z - VECTORS[CODES])},
        "kl": nothing,
    }
    quantiser = GradientVq(4, commitment=0.5)
    torch.testing.assert_close(slopes(quantiser, tensors, lambda t: ({"vectors": t["vectors"]}, {}), table), table)


def test_a_step_has_no_gradient_in_the_codebook_that_it_makes():
    moved = grad(lambda z: sum(t.sum() for t in Vq(4).quantise({}, BOOK, z, KEY).state))
    assert not moved(Z).any()


def test_a_step_updates_and_resets_the_codebook():
    shares = torch.tensor([2.0, 2.0, 2.0, 1e-3])
    book = Codebook(VECTORS, shares, VECTORS * shares[:, None])
    moved = Vq(4, decay=0.75).quantise({}, book, Z, KEY).state
    torch.testing.assert_close(moved.shares, torch.tensor([1.5 + 1 / 3, 2.0, 1.5 + 1 / 6, 1.0]))  # 6 vectors, 4 codes
    assert (moved.vectors[3] == Z).all(-1).any()
    torch.testing.assert_close(moved.sums[3], moved.vectors[3])
    kept = Vq(4, decay=0.75, least=0.0).quantise({}, book, Z, KEY).state
    torch.testing.assert_close(kept.vectors[3], VECTORS[3])


def test_levels_of_residuals_are_coded_one_after_the_other():
    z = keys.normal(KEY, (40, 3, 2), torch.float64)
    quantiser = ResidualVq(Vq(5), 4)
    _, books = quantiser.init(KEY, z)
    q = quantiser.quantise({}, books, z, KEY)
    rest, commitment, pull = z, 0.0, 0.0
    for level, book in enumerate(books):
        nearest = torch.cdist(rest, book.vectors).argmin(-1)
        assert torch.equal(q.codes[..., level], nearest)
        rest = rest - book.vectors[nearest]
        commitment, pull = commitment + 0.25 * rest.square().sum((1, 2)), pull + 2 * 0.25 * rest
    torch.testing.assert_close(q.terms["commitment"], commitment)
    commitments = grad(lambda z: quantiser.quantise({}, books, z, KEY).terms["commitment"].sum())
    torch.testing.assert_close(commitments(z), pull)
    slope = torch.linspace(-1, 2, z.numel(), dtype=z.dtype).reshape(z.shape)
    assert torch.equal(grad(lambda z: (quantiser.quantise({}, books, z, KEY).z * slope).sum())(z), slope)  # and once
    errors = [(z - quantiser.decode({}, books, q.codes[..., :depth])).square().mean().item() for depth in range(1, 5)]
    assert all(more < 0.7 * fewer for fewer, more in pairwise(errors))
