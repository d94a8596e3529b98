"""Draws of sequences, symbol by symbol, from any autoregressive model.

    x = draw(model, params, key, n=4, length=100, choice=Choice(temperature=0.8, nucleus=0.95))
    for symbols in stream(model, params, key, n=1, length=100, prompt=prompt): ...

The noise of a symbol is a function of key, sequence and position: a sequence drawn alone under
keys.at(key, datum=i) is the i-th of many.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key, check_number, described
from jensen.core.contracts import Key
from jensen.core.distributions.uniform import exponential
from jensen.core.models.autoregressive.sequences import Autoregressive
from jensen.core.numerics import at_least_float32
from jensen.core.trees import Params

NOISE = 2**16  # numbers at once


@dataclass(frozen=True)
class Choice:
    """Which symbols may be drawn, and how evenly; the model's own distribution by default.

    temperature  what logits are divided by: below 1 likely symbols gain, and 0 takes the likeliest
    top_k        only the k likeliest (Fan et al., 2018)
    nucleus      only the fewest likeliest ones of at least this probability (Holtzman et al., 2020)
    min_p        only those of at least this share of the likeliest one's probability (Nguyen et al., 2024)

    Each filter looks at the probabilities that the temperature gives, whatever the others leave.
    """

    temperature: float = 1.0
    top_k: int | None = None
    nucleus: float | None = None
    min_p: float | None = None

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, "[0, inf)")
        if self.top_k is not None:
            check_count("top_k", self.top_k)
        if self.nucleus is not None:
            check_number("nucleus", self.nucleus, "(0, 1]")
        if self.min_p is not None:
            check_number("min_p", self.min_p, "[0, 1]")

    def __call__(self, logits: Float[Tensor, "... v"]) -> Float[Tensor, "... v"]:
        """Logits at this temperature, -inf for what is not drawn."""
        check_floating("logits", logits, "... v", "one number for each symbol")
        logits = at_least_float32(logits)
        if self.temperature == 0:
            likeliest = logits.argmax(-1, keepdim=True)
            return torch.full_like(logits, -torch.inf).scatter(-1, likeliest, 0.0)
        logits = logits / self.temperature
        kept = self._likeliest(logits) if self.top_k is not None or self.nucleus is not None else None
        if self.min_p is not None:
            probable = torch.exp(logits - logits.amax(-1, keepdim=True)) >= self.min_p
            kept = probable if kept is None else kept & probable
        return logits if kept is None else torch.where(kept, logits, -torch.inf)

    def _likeliest(self, logits: Float[Tensor, "... v"]) -> Bool[Tensor, "... v"]:
        """Those of the first ranks."""
        ranked, order = torch.sort(logits, stable=True, dim=-1, descending=True)
        kept = torch.ones_like(ranked, dtype=torch.bool)
        if self.top_k is not None:
            kept[..., self.top_k :] = False
        if self.nucleus is not None:
            p = torch.softmax(ranked, -1)
            kept &= p.cumsum(-1) - p < self.nucleus  # what lies before each, so that the likeliest stays
        return torch.zeros_like(kept).scatter(-1, order, kept)


@torch.no_grad()
def stream(
    model: Autoregressive, params: Params, key: Key, n: int, length: int, prompt: Int[Tensor, "n p"] | None = None,
    choice: Choice = Choice(),
) -> Iterator[Int[Tensor, " n"]]:  # fmt: skip
    """`length` symbols (n,) one after another: what follows the prompt, of one row for each sequence.

    ValueError for a prompt that leaves no room for them in the model's context.
    """
    check_key(key)
    n, length = check_count("n", n), check_count("length", length)
    if isinstance(model, type) or not all(hasattr(model, name) for name in ("begin", "extend", "check", "longest")):
        raise TypeError(f"expected model, such as transformer.build(symbols=256), got {described(model)}: pass a value")
    if not isinstance(choice, Choice):
        raise TypeError(f"expected choice, such as Choice(temperature=0.8), got {described(choice)}: pass a value")
    if prompt is not None:
        model.check(prompt, "prompt")
        if len(prompt) != n:
            raise ValueError(f"expected prompt ({n}, p), one row per sequence, got {tuple(prompt.shape)}: expand it")
    known = 0 if prompt is None else prompt.shape[1]
    if model.longest is not None and known + length > model.longest:
        raise ValueError(
            f"expected a prompt and length of at most {model.longest} symbols together, the context, got {known} and "
            f"{length}: cut the prompt, or draw fewer"
        )
    logits, memory = model.begin(params, n)
    memory = model.with_room(memory, known + length)
    if prompt is not None:
        logits, memory = model.extend(params, prompt, memory)
    for t, noise in enumerate(_noises(key, known, length, logits), 1):
        symbols = (choice(logits) + noise).argmax(-1)
        yield symbols
        if t < length:
            logits, memory = model.extend(params, symbols[:, None], memory)


def draw(
    model: Autoregressive, params: Params, key: Key, n: int, length: int, prompt: Int[Tensor, "n p"] | None = None,
    choice: Choice = Choice(),
) -> Int[Tensor, "n t"]:  # fmt: skip
    """What `stream` gives, (n, length)."""
    return torch.stack([*stream(model, params, key, n, length, prompt, choice)], 1)


def _noises(key: Key, first: int, length: int, logits: Float[Tensor, "n v"]) -> Iterator[Float[Tensor, "n v"]]:
    """That of `length` positions from the first: several at once, each the one of its position alone."""
    size, dtype = max(1, NOISE // logits.numel()), at_least_float32(logits).dtype
    for start in range(0, length, size):
        shape = (min(size, length - start), *logits.shape)
        yield from gumbel(keys.at(key, particle=first + start), shape, dtype)


def gumbel(key: Key, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """Gumbel noise of `shape` (positions, sequences, symbols), the first position that of the key's particle."""
    return -torch.log(exponential(keys.uniform(key, shape, dtype)))
