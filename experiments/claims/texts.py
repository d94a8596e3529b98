"""What the attention claim times: texts drawn with a cache and without; and what networks remember of a text."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.autoregressive import recurrent, sampling, transformer
from jensen.core.models.autoregressive.sampling import Choice
from jensen.core.models.autoregressive.sequences import Autoregressive, memory_bytes
from jensen.core.models.autoregressive.transformer import Transformer
from jensen.core.trees import Params
from jensen.experiments.claims import computed
from jensen.experiments.claims.computed import Row

SYMBOLS, HEADS = 256, 4
CELLS = ("rnn", "gru", "lstm")


class Drawing(NamedTuple):
    """The median time of a text, in s, and what is remembered at its end, in bytes."""

    length: int
    cached: float
    uncached: float
    bytes: dict[str, int]  # by network


def drawn(lengths: Sequence[int], width: int, layers: int, rounds: int, key: Key) -> list[Drawing]:
    """Times of texts of the likeliest symbols, with a cache and with all read again for each, in turn."""
    model = transformer.build(SYMBOLS, width, layers, HEADS, lengths[-1])
    params, greedy = model.init(key), Choice(temperature=0.0)
    sampling.draw(model, params, key, 1, 2, choice=greedy)  # what is slow once
    found = []
    for length in lengths:
        cached, uncached = [], []
        for _ in range(rounds):
            cached.append(seconds(lambda n=length: sampling.draw(model, params, key, 1, n, choice=greedy)))
            uncached.append(seconds(lambda n=length: read_again(model, params, n)))
        sizes = remembered(length, width, layers)
        found.append(Drawing(length, statistics.median(cached), statistics.median(uncached), sizes))
    return found


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


@torch.no_grad()
def read_again(model: Transformer, params: Params, length: int) -> torch.Tensor:
    """The likeliest symbols one after another, each from all before it."""
    inputs, symbols = params["start"].expand(1, 1, -1), torch.zeros(1, 0, dtype=torch.int64)
    for _ in range(length):
        features, _ = model.read(params, inputs, None)
        symbol = model.output(params, features[:, -1:]).argmax(-1)
        inputs = torch.cat([inputs, params["embedding"][symbol]], 1)
        symbols = torch.cat([symbols, symbol], 1)
    return symbols


@torch.no_grad()
def remembered(length: int, width: int, layers: int) -> dict[str, int]:
    """Bytes of each network's memory after a text."""
    x = torch.zeros(1, length - 1, dtype=torch.int64)
    models: dict[str, Autoregressive] = {"transformer": transformer.build(SYMBOLS, width, layers, HEADS, length)}
    models |= {cell: recurrent.build(SYMBOLS, width, layers, cell) for cell in CELLS}
    found = {}
    for name, model in models.items():
        params = model.init(keys.key(0))
        found[name] = memory_bytes(model.extend(params, x, model.begin(params, 1)[1])[1])
    return found


def memories(drawings: Sequence[Drawing], width: int, layers: int) -> list[Row]:
    """Measured bytes beside the formulas, of float32."""
    numbers = {"rnn": 1, "gru": 1, "lstm": 2}
    each = layers * width * 4
    rows = [
        Row("memory of a text, bytes", f"keys and values after {d.length} symbols", d.bytes["transformer"],
            2 * d.length * each) for d in drawings
    ]  # fmt: skip
    last = drawings[-1]
    return [*rows, *(Row("memory of a text, bytes", f"{cell} after {last.length} symbols", last.bytes[cell],
                         numbers[cell] * each) for cell in CELLS)]  # fmt: skip


def exponents(drawings: Sequence[Drawing]) -> dict[str, tuple[float, float]]:
    """Of the time by length: over all lengths, and from the last but one to the last."""
    lengths = [d.length for d in drawings]
    found = {}
    for name in ("cached", "uncached"):
        times = [getattr(d, name) for d in drawings]
        found[name] = computed.slope(lengths, times), computed.slope(lengths[-2:], times[-2:])
    return found


def table(drawings: Sequence[Drawing]) -> str:
    """Times and memories by length, and the exponents."""
    lines = [f"{'a text of':<16}{'cached':>10}{'uncached':>11}{'ratio':>8}{'cache':>12}{'lstm':>9}{'gru':>8}"]
    for d in drawings:
        times = f"{d.cached:>8.2f} s{d.uncached:>9.2f} s{d.uncached / d.cached:>8.1f}"
        sizes = f"{d.bytes['transformer'] / 2**10:>8.0f} KiB{d.bytes['lstm'] / 2**10:>5.0f} KiB"
        lines.append(f"{f'  {d.length} symbols':<16}{times}{sizes}{d.bytes['gru'] / 2**10:>4.0f} KiB")
    for name, (whole, last) in exponents(drawings).items():
        span = f"{drawings[-2].length} to {drawings[-1].length}"
        lines.append(f"  {name + ':':<10} time grows as length^{whole:.2f}, from {span} as length^{last:.2f}")
    return "\n".join(lines)
