"""Residual vector quantisation: each codebook has what those before it left (Zeghidour et al., 2021)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_key, described
from jensen.core.contracts import Key
from jensen.core.models.quantised.codebook import Codebook
from jensen.core.models.quantised.paths import along
from jensen.core.models.quantised.quantiser import Quantised, certain, check_codes, check_vectors
from jensen.core.models.quantised.vq import Seen, Vq
from jensen.core.numerics import at_least_float32
from jensen.core.trees import Params


@dataclass(frozen=True)
class ResidualVq:
    """`depth` codes for each vector, whose vectors sum: level l + 1 quantises z less the vectors of levels 1 … l.

    Codes     (n, *positions, depth), the coarsest first
    Params    {}
    State     a tuple of Codebooks, one for each level
    Terms     "commitment", summed over levels; its gradient in z is that of every level's own
    Gradient  of `vq`'s path, from z to the sum of vectors: once, and not once for each level
    """

    vq: Vq
    depth: int

    def __post_init__(self) -> None:
        if not isinstance(self.vq, Vq):
            raise TypeError(f"expected vq, a Vq, got {described(self.vq)}: pass one such as Vq(512)")
        check_count("depth", self.depth)

    @property
    def size(self) -> int:
        return self.vq.size

    def init(self, key: Key, z: Float[Tensor, "n *positions d"], /) -> tuple[Params, tuple[Codebook, ...]]:
        """A codebook for each level, at what the levels before it leave of z. ValueError as for `Vq`."""
        check_key(key)
        check_vectors(z)
        books, rest = [], at_least_float32(z)
        for each in keys.split(key, self.depth):
            params, book = self.vq.init(each, rest)
            rest = self._left(book, rest, self.vq.encode(params, book, rest))
            books.append(book)
        return {}, tuple(books)

    def quantise(
        self, params: Params, state: tuple[Codebook, ...], z: Float[Tensor, "n *positions d"], key: Key, /
    ) -> Quantised:
        """The sum of the levels' vectors, and a step of each level's codebook."""
        check_key(key)
        check_vectors(z)
        wide = at_least_float32(z)
        rest, each = wide, []
        for book, own in zip(self._books(state), keys.split(key, self.depth), strict=True):
            each.append(self.vq.quantise(params, book, rest, own))
            rest = self._left(book, rest, each[-1].codes)
        codes = torch.stack([q.codes for q in each], -1)
        terms = {"commitment": torch.stack([q.terms["commitment"] for q in each]).sum(0)}
        kl = certain(codes, self.size, each[0].kl)
        books, seen = tuple(q.state for q in each), tuple(q.seen for q in each)
        return Quantised(along(self.vq.path, z, (wide - rest).to(z.dtype)), codes, kl, terms, books, seen)

    def follow(self, state: tuple[Codebook, ...], seen: tuple[Seen, ...], key: Key, /) -> tuple[Codebook, ...]:
        """Each level's codebook after what it saw."""
        if not isinstance(seen, tuple) or len(seen) != self.depth:
            raise TypeError(
                f"expected seen, a tuple of {self.depth}, one a level, got {described(seen)}: pass what quantise gave"
            )
        each = zip(self._books(state), seen, keys.split(key, self.depth), strict=True)
        return tuple(self.vq.follow(*given) for given in each)

    def encode(
        self, params: Params, state: tuple[Codebook, ...], z: Float[Tensor, "n *positions d"], /
    ) -> Int[Tensor, "..."]:
        """The nearest codes, level by level."""
        check_vectors(z)
        rest, each = at_least_float32(z), []
        for book in self._books(state):
            each.append(self.vq.encode(params, book, rest))
            rest = self._left(book, rest, each[-1])
        return torch.stack(each, -1)

    def decode(self, params: Params, state: tuple[Codebook, ...], codes: Int[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """The sum of the vectors of codes (n, *positions, depth), or of the first levels alone, (n, *positions, l)."""
        check_codes(codes, self.size)
        levels = codes.shape[-1] if codes.ndim else 0
        if not 1 <= levels <= self.depth:
            raise ValueError(
                f"expected codes (n, ..., {self.depth}), got {tuple(codes.shape)}: the last axis has a code of each "
                "level, or of the first ones"
            )
        pairs = zip(self._books(state), codes.unbind(-1), strict=False)
        return torch.stack([self.vq.decode(params, book, own) for book, own in pairs]).sum(0)

    def _left(self, book: Codebook, rest: Tensor, codes: Tensor) -> Tensor:
        """What a level leaves to the next."""
        return rest - book.vectors.detach()[codes]

    def _books(self, state: tuple[Codebook, ...]) -> tuple[Codebook, ...]:
        if not isinstance(state, tuple) or isinstance(state, Codebook) or len(state) != self.depth:
            raise TypeError(
                f"expected state, a tuple of {self.depth} Codebooks, got {described(state)}: pass what init or "
                "quantise gave"
            )
        return state
