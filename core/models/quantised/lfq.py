"""Lookup-free quantisation (Yu et al., 2024): a code is the signs of a vector."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import check_count, check_key, check_number
from jensen.core.contracts import Key
from jensen.core.distributions import Bernoulli
from jensen.core.models.quantised.paths import straight_through
from jensen.core.models.quantised.quantiser import Quantised, certain, check_codes, check_size, check_vectors, per_datum
from jensen.core.numerics import at_least_float32
from jensen.core.trees import Params, Tree, check_keys

MOST = 16  # bits of a group, whose 2^bits codes are enumerated


@dataclass(frozen=True)
class Lfq:
    """Each of `bits` components becomes its sign, -1 or 1.

    With p(code | z) = softmax_c(-|z - c|^2 / temperature) over the 2^bits vectors of signs, vectors near one code each
    have little entropy H(p), and codes that are used alike have much entropy H(mean p), the mean over all vectors.

    Codes     (n, *positions): bit i is 1 where component i is above 0
    Params    {}
    State     {}
    Terms     "commitment", its weight times |z - signs|^2; "entropy", its weight times H(p); "diversity", minus its
              weight times the cross-entropy of p to mean p, whose mean is H(mean p): of each of `groups` of components
              by themselves, since all codes of a group are enumerated
    Gradient  straight through to z
    """

    bits: int
    commitment: float = 0.25
    entropy: float = 0.1
    diversity: float = 0.1
    temperature: float = 1.0
    groups: int = 1

    def __post_init__(self) -> None:
        check_size("bits", 2 ** min(check_count("bits", self.bits), 63))
        for name in ("commitment", "entropy", "diversity"):
            check_number(name, getattr(self, name), "[0, inf)")
        check_number("temperature", self.temperature, "(0, inf)")
        check_count("groups", self.groups)
        if self.bits % self.groups or self.bits // self.groups > MOST:
            raise ValueError(
                f"expected groups of {MOST} bits or fewer that divide {self.bits}, got {self.groups} groups: pass "
                "another number of groups"
            )

    @property
    def size(self) -> int:
        return 2**self.bits

    @property
    def components(self) -> int:
        """How many z must have."""
        return self.bits

    def init(self, key: Key, z: Float[Tensor, "n *positions d"], /) -> tuple[Params, Tree]:
        """Nothing is learned. ValueError for z of another width than `bits`."""
        check_key(key)
        self._check(z)
        return {}, {}

    def quantise(self, params: Params, state: Tree, z: Float[Tensor, "n *positions d"], key: Key, /) -> Quantised:
        """The signs; nothing is drawn."""
        check_key(key)
        codes, wide = self.encode(params, state, z), at_least_float32(z)
        signs = self.decode(params, state, codes).to(wide.dtype)
        logits = 4 / self.temperature * wide  # of a sign: |z + 1|^2 - |z - 1|^2 = 4 z
        terms = {
            "commitment": self.commitment * per_datum((wide - signs).square().sum(-1)),
            "entropy": self.entropy * per_datum(Bernoulli(logits).entropy()),
            "diversity": -self.diversity * per_datum(self._cross_entropy(logits)),
        }
        kl = certain(codes, self.size, wide)
        return Quantised(straight_through(z, signs.to(z.dtype)), codes, kl, terms, state)

    def encode(self, params: Params, state: Tree, z: Float[Tensor, "n *positions d"], /) -> Int[Tensor, "..."]:
        """The signs as bits, the first component's the lowest; that of 0 is -1."""
        check_keys(params, ())
        self._check(z)
        places = torch.arange(self.bits, device=z.device)
        return ((z > 0).long() << places).sum(-1)

    def decode(self, params: Params, state: Tree, codes: Int[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """The signs of codes (n, *positions), in float32. ValueError for codes out of range."""
        check_keys(params, ())
        check_codes(codes, self.size)
        return 2 * _bits(codes, self.bits).float() - 1

    def _cross_entropy(self, logits: Tensor) -> Float[Tensor, "..."]:
        """-sum_c p log mean p, (n, *positions), summed over groups."""
        grouped = rearrange(logits, "... (g b) -> ... g b", g=self.groups)
        width = self.bits // self.groups
        ones = _bits(torch.arange(2**width, device=logits.device), width).to(logits.dtype)
        p = torch.exp(F.logsigmoid(grouped) @ ones.T + F.logsigmoid(-grouped) @ (1 - ones).T)
        average = p.reshape(-1, *p.shape[-2:]).mean(0)
        return -(p * torch.log(average.clamp_min(torch.finfo(p.dtype).tiny))).sum((-2, -1))

    def _check(self, z: Tensor) -> None:
        check_vectors(z, self.bits, "one component for each bit")


def _bits(codes: Int[Tensor, "..."], width: int) -> Int[Tensor, "..."]:
    """The lowest first, along a new last axis."""
    return (codes[..., None] >> torch.arange(width, device=codes.device)) & 1
