"""A prior of codes: the transformer over a model's maps of codes (van den Oord et al., 2017), one code after another.

    prior = codes.build(model.maps, features=128)                     # model: a CodedModel
    params = prior.init(key)
    x = prior.sequences(model.codes(model_params, state, images))     # (n, t), what it is trained on
    grads = torch.func.grad(lambda p: -prior.log_prob(p, x).mean())(params)
    images = model.decode_codes(model_params, state, prior.sample(params, key, n=64))

Maps are read the coarsest first, each row by row, and the levels of a position one after another: each code is given
all before it, so that two maps have p(top) p(bottom | top), as in VQ-VAE-2 (Razavi et al., 2019). Each place of the
sequence has a learned vector, which stands for row and column, and each level of each map symbols of its own; logits of
another's are -inf, so that p sums to 1 over the codes that there are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from jensen.core import trees
from jensen.core.checks import check_count, described
from jensen.core.contracts import Key
from jensen.core.models.autoregressive import sampling
from jensen.core.models.autoregressive.sampling import Choice
from jensen.core.models.autoregressive.transformer import Memory, Transformer
from jensen.core.models.quantised.coded import CodeMap, check_code_map, check_map
from jensen.core.models.quantised.quantiser import check_codes
from jensen.core.nn.positions import First
from jensen.core.nn.transformer import Block
from jensen.core.trees import Params, Tree


@dataclass(frozen=True)
class CodePrior(Transformer):
    """A density of the codes of `maps`: a transformer whose context is as many places as they have together."""

    maps: tuple[CodeMap, ...]

    @property
    def alphabets(self) -> list[tuple[int, int]]:
        """The first symbol of each place, and how many there are to choose from."""
        found, first = [], 0
        for of in self.maps:
            levels = [(first + level * of.size, of.size) for level in range(of.levels or 1)]
            found += levels * math.prod(of.positions)
            first += of.size * len(levels)
        return found

    def sequences(self, codes: Tree, /) -> Int[Tensor, "n t"]:
        """Codes as a model's `codes` gives them, as symbols one after another. ValueError for those of other maps."""
        each = trees.leaves(codes)
        if len(each) != len(self.maps):
            raise ValueError(
                f"expected codes of {len(self.maps)} maps, got {len(each)}: pass those of the prior's model"
            )
        for of, own in zip(self.maps, each, strict=True):
            check_map(own, of)
            check_codes(own, of.size)
        return torch.cat([own.flatten(1) for own in each], 1) + self._first(each[0])

    def codes(self, x: Int[Tensor, "n t"], /) -> Tree:
        """The inverse: a tensor for one map, a tuple of them for several."""
        self.check(x)
        if x.shape[1] != self.context:
            raise ValueError(f"expected x (n, {self.context}), a symbol for each place, got {tuple(x.shape)}: draw all")
        parts = (x - self._first(x)).split([math.prod(of.shape) for of in self.maps], 1)
        each = tuple(part.reshape(len(x), *of.shape) for part, of in zip(parts, self.maps, strict=True))
        return each[0] if len(self.maps) == 1 else each

    def sample(self, params: Params, key: Key, n: int, choice: Choice = Choice()) -> Tree:
        """n draws, as a model's `decode_codes` takes them."""
        return self.codes(sampling.draw(self, params, key, n, self.context, choice=choice))

    def logits(self, params: Params, x: Int[Tensor, "n t"], key: Key | None = None, /) -> Float[Tensor, "n t v"]:
        """As `Autoregressive.logits`, -inf for symbols of other maps or levels."""
        return self._of_places(super().logits(params, x, key), 0)

    def begin(self, params: Params, n: int, /) -> tuple[Float[Tensor, "n v"], Memory]:
        """As `Autoregressive.begin`, with -inf likewise."""
        logits, memory = super().begin(params, n)
        return self._of_places(logits[:, None], 0)[:, 0], memory

    def extend(self, params: Params, x: Int[Tensor, "n t"], memory: Memory, /) -> tuple[Float[Tensor, "n v"], Memory]:
        """As `Autoregressive.extend`, with -inf likewise."""
        logits, memory = super().extend(params, x, memory)
        return self._of_places(logits[:, None], memory[0].length - 1)[:, 0], memory

    def _first(self, like: Tensor) -> Int[Tensor, " t"]:
        """The first symbol of each place."""
        return torch.tensor([first for first, _ in self.alphabets], device=like.device)

    def _of_places(self, logits: Float[Tensor, "n t v"], place: First) -> Float[Tensor, "n t v"]:
        """Logits of t places from `place` on, or from each sequence's own, of their own alphabets alone."""
        first = place[:, None] if isinstance(place, Tensor) else place
        places = first + torch.arange(logits.shape[1], device=logits.device)
        own = torch.tensor(self.alphabets, device=logits.device)[places]
        above = torch.arange(self.symbols, device=logits.device) - own[..., :1]
        return torch.where((above >= 0) & (above < own[..., 1:]), logits, -torch.inf)


def build(
    maps: Sequence[CodeMap], features: int = 128, layers: int = 4, heads: int = 4, rate: float = 0.0
) -> CodePrior:
    """`layers` pre-norm blocks of `features`, a share `rate` of them dropped in training, over a model's `maps`."""
    if not isinstance(maps, Sequence) or not maps:
        raise TypeError(f"expected maps, one or more, got {described(maps)}: pass those of a model, model.maps")
    for of in maps:
        check_code_map("maps", of)
    symbols, context = (sum(count(of) for of in maps) for count in (_symbols, _places))
    block = Block(check_count("features", features), heads, 4 * features, "pre", "layer", F.gelu, False, rate)
    layers, symbols = check_count("layers", layers), check_count("symbols of the maps", symbols, 2)
    return CodePrior(symbols, layers, context, block, "learned", True, tuple(maps))


def _symbols(of: CodeMap) -> int:
    return of.size * (of.levels or 1)


def _places(of: CodeMap) -> int:
    return math.prod(of.shape)
