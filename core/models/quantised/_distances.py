"""Distances of vectors (n, *positions, d) to those of C codes."""

from jaxtyping import Float, Int
from torch import Tensor

from jensen.core.checks import check_dtype
from jensen.core.models.quantised.quantiser import check_vectors
from jensen.core.numerics import at_least_float32
from jensen.core.ops import nearest_code


def rows(z: Float[Tensor, "n *positions d"]) -> Float[Tensor, "N d"]:
    """Every vector of every datum, in float32 at least."""
    check_vectors(z)
    return at_least_float32(z.reshape(-1, z.shape[-1]))


def nearest(
    z: Float[Tensor, "n *positions d"], vectors: Float[Tensor, "C d"]
) -> tuple[Int[Tensor, "n *positions"], Float[Tensor, "n *positions"]]:
    """(codes, squared distances) of the nearest vectors, of equally near ones the first."""
    _check(z, vectors)
    codes, distances = nearest_code(rows(z), vectors)
    return codes.reshape(z.shape[:-1]), distances.reshape(z.shape[:-1])


def closeness(z: Float[Tensor, "n *positions d"], vectors: Float[Tensor, "C d"]) -> Float[Tensor, "n *positions C"]:
    """-|z - vector|^2, less the same number for every code of a position: logits of codes."""
    _check(z, vectors)
    vectors = at_least_float32(vectors)
    return 2 * at_least_float32(z) @ vectors.T - vectors.square().sum(-1)


def _check(z: Tensor, vectors: Tensor) -> None:
    check_vectors(z, vectors.shape[1], "as wide as the vectors of the codes")
    check_dtype("z", at_least_float32(z), at_least_float32(vectors), "the vectors of the codes")
