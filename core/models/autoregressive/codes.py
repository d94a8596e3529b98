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

With classes a datum's label stands before its codes, as a symbol of its own: p(label) p(codes | label). A label
that is known is the prompt, and p(label | codes), by Bayes' rule, classifies.
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
from jensen.core.models.labels import check_labels
from jensen.core.models.quantised.coded import CodeMap, check_code_map, check_map
from jensen.core.models.quantised.quantiser import check_codes
from jensen.core.nn.positions import First
from jensen.core.nn.transformer import Block
from jensen.core.trees import Params, Tree


@dataclass(frozen=True)
class CodePrior(Transformer):
    """A density of the codes of `maps`: a transformer over as many places as they have together.

    Where there are classes, the context is longer by one place, for the label.
    """

    maps: tuple[CodeMap, ...]
    classes: int

    @property
    def alphabets(self) -> list[tuple[int, int]]:
        """The first symbol of each place, and how many there are to choose from."""
        found, first = [(0, self.classes)] * self.labels, self.classes
        for of in self.maps:
            levels = [(first + level * of.size, of.size) for level in range(of.levels or 1)]
            found += levels * math.prod(of.positions)
            first += of.size * len(levels)
        return found

    @property
    def labels(self) -> int:
        """Places before the codes: 1 of a label, or none."""
        return 1 if self.classes else 0

    def sequences(self, codes: Tree, labels: Int[Tensor, " n"] | None = None, /) -> Int[Tensor, "n t"]:
        """Codes as a model's `codes` gives them, as symbols one after another, after their labels where there are any.

        ValueError for codes of other maps, and for labels that are missing, or that the prior has no classes for.
        """
        each = trees.leaves(codes)
        if len(each) != len(self.maps):
            raise ValueError(
                f"expected codes of {len(self.maps)} maps, got {len(each)}: pass those of the prior's model"
            )
        for of, own in zip(self.maps, each, strict=True):
            check_map(own, of)
            check_codes(own, of.size)
        self._check_labels(labels, len(each[0]))
        known = [] if labels is None else [labels[:, None].to(each[0])]
        return torch.cat([*known, *(own.flatten(1) for own in each)], 1) + self._first(each[0])

    def codes(self, x: Int[Tensor, "n t"], /) -> Tree:
        """The inverse: a tensor for one map, a tuple of them for several."""
        self.check(x)
        if x.shape[1] != self.context:
            raise ValueError(f"expected x (n, {self.context}), a symbol for each place, got {tuple(x.shape)}: draw all")
        parts = (x - self._first(x))[:, self.labels :].split([math.prod(of.shape) for of in self.maps], 1)
        each = tuple(part.reshape(len(x), *of.shape) for part, of in zip(parts, self.maps, strict=True))
        return each[0] if len(self.maps) == 1 else each

    def sample(
        self, params: Params, key: Key, n: int, choice: Choice = Choice(), labels: Int[Tensor, " n"] | None = None
    ) -> Tree:
        """n draws, as a model's `decode_codes` takes them: of these labels, or of labels drawn where there are any."""
        if labels is None:
            return self.codes(sampling.draw(self, params, key, n, self.context, choice=choice))
        self.check_params(params)
        self._check_labels(labels, check_count("n", n))
        prompt = labels[:, None].to(params["start"].device)
        drawn = sampling.draw(self, params, key, n, self.context - 1, prompt=prompt, choice=choice)
        return self.codes(torch.cat([prompt.to(drawn), drawn], 1))

    def log_prob_of_codes(
        self, params: Params, x: Int[Tensor, "n t"], key: Key | None = None, /
    ) -> Float[Tensor, " n"]:
        """log p(codes | label) in nats per sequence, log p(codes) without classes. ValueError as for `logits`."""
        return self.log_probs(params, x, key)[:, self.labels :].sum(-1)

    def log_prob_of_labels(self, params: Params, x: Int[Tensor, "n t"], /) -> Float[Tensor, "n c"]:
        """log p(label | codes) of each class by Bayes' rule, whatever labels x has; a pass for each of them.

        ValueError without classes, and as for `logits`.
        """
        if not self.classes:
            raise ValueError("expected a prior with classes, got one without: build it with classes=10, say")
        self.check(x)
        each = torch.arange(self.classes, device=x.device)[:, None, None].expand(-1, len(x), 1)
        every = torch.cat([each.to(x), x[None, :, 1:].expand(self.classes, -1, -1)], -1)
        joint = self.log_prob(params, every.flatten(0, 1)).unflatten(0, every.shape[:2])
        return joint.T.log_softmax(-1)

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

    def _check_labels(self, labels: Tensor | None, n: int) -> None:
        """Raises unless there are labels (n,) where there are classes, in their range, and none where there are not."""
        if labels is None:
            if self.classes:
                raise ValueError(f"expected labels of {self.classes} classes, got None: pass one for each datum")
            return
        if not self.classes:
            raise ValueError(f"expected labels None of a prior without classes, got {described(labels)}: leave it out")
        check_labels(labels, n, self.classes)

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
    maps: Sequence[CodeMap], features: int = 128, layers: int = 4, heads: int = 4, rate: float = 0.0,
    classes: int = 0,
) -> CodePrior:  # fmt: skip
    """`layers` pre-norm blocks of `features`, a share `rate` of them dropped in training, over a model's `maps`.

    classes: of the label that stands before the codes; 0 for no label.
    """
    if not isinstance(maps, Sequence) or not maps:
        raise TypeError(f"expected maps, one or more, got {described(maps)}: pass those of a model, model.maps")
    for of in maps:
        check_code_map("maps", of)
    classes = check_count("classes", classes, 0)
    if classes == 1:
        raise ValueError("expected classes of 2 or more, or 0 for no label, got 1: a label of one class says nothing")
    symbols, context = (sum(count(of) for of in maps) for count in (_symbols, _places))
    block = Block(check_count("features", features), heads, 4 * features, "pre", "layer", F.gelu, False, rate)
    layers, symbols = check_count("layers", layers), check_count("symbols of the maps", symbols, 2)
    context += 1 if classes else 0
    return CodePrior(symbols + classes, layers, context, block, "learned", True, tuple(maps), classes)


def _symbols(of: CodeMap) -> int:
    return of.size * (of.levels or 1)


def _places(of: CodeMap) -> int:
    return math.prod(of.shape)
