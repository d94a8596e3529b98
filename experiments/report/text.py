"""What a model of text is worth on a text it has not seen: every symbol scored once, beside tables of counts."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.autoregressive.sequences import Autoregressive, memory_bytes
from jensen.core.numerics import at_least_float32
from jensen.core.trees import Params
from jensen.experiments.data.text import Text
from jensen.experiments.report.drawing import line, panels
from jensen.experiments.report.shared import over_data
from jensen.experiments.run.program import Finding, Row
from jensen.experiments.run.ranks import Ranks

ROWS = 64  # windows at once
HIGHEST = 700.0  # nats whose exponential is a number


@torch.no_grad()
def scored(
    model: Autoregressive, params: Params, x: Tensor, context: int, stride: int, ranks: Ranks | None = None
) -> Tensor:
    """log p of every symbol of x (t,), in nats: (t,). Of several ranks each reads a part of the windows.

    Windows of `context` symbols begin every `stride` of them, and each symbol is scored in the first window that has
    it. At stride = context windows are read alone, and a symbol has 0 to context - 1 symbols before it; below, all but
    the first context symbols have context - stride or more.
    """
    starts = [*range(0, max(1, len(x) - context + stride), stride)]
    whole = [start for start in starts if start + context <= len(x)]
    rest = [start for start in starts if start + context > len(x)]

    def read(places: slice, _: Key) -> Tensor:
        rows = torch.tensor(whole[places], device=x.device)[:, None] + torch.arange(context, device=x.device)
        return torch.cat([model.log_probs(params, x[some]) for some in rows.split(ROWS)])

    found = over_data(read, len(whole), keys.key(0), ranks or Ranks()) if whole else ()
    parts: list[Tensor] = [
        row if start == 0 else row[context - stride :] for start, row in zip(whole, found, strict=True)
    ]
    for start in rest:
        known = 0 if start == 0 else context - stride
        if start + known < len(x):
            parts.append(model.log_probs(params, x[start:][None])[0, known:])
    return torch.cat(parts)


@torch.no_grad()
def carried(model: Autoregressive, params: Params, x: Tensor, context: int) -> Tensor:
    """The same with all symbols before each: parts of `context` symbols, the memory of each handed to the next."""
    logits, memory = model.begin(params, 1)
    parts = []
    for part in x[None].split(context, 1):
        features, memory = model.read(params, params["embedding"][part], memory)
        after = model.output(params, features)
        parts.append(torch.cat([logits[:, None], after[:, :-1]], 1)[0])
        logits = after[:, -1]
    return -F.cross_entropy(at_least_float32(torch.cat(parts)), x, reduction="none")


def likelihoods(model: Autoregressive, params: Params, data: Text, context: int, ranks: Ranks | None = None) -> Finding:
    """Bits per byte of the whole test text, by how much is read before a symbol, beside counts of symbols and of pairs.

    Bits are the nats of all symbols over the text's bytes, whatever its alphabet; perplexity is of a symbol.
    """
    train, x, size = data.train, data.test, len(data.alphabet.decode(data.test))
    found = {
        f"windows of {context} alone": scored(model, params, x, context, context, ranks),
        f"at least {context - context // 2} before each": scored(model, params, x, context, context // 2, ranks),
        **({} if model.longest else {"all before each": carried(model, params, x, context)}),
        f"{data.alphabet.unit} by their frequency": frequencies(train, x, model.symbols),
        f"{data.alphabet.unit} given the one before": pairs(train, x, model.symbols),
    }
    rows: list[Row] = []
    of = f"test, all {size:,} bytes" + (f" in {len(x):,} {data.alphabet.unit}" if len(x) < size else "")
    lines = [f"{of:<40}{'bits/byte':>12}{'perplexity':>12}"]
    for name, log_p in found.items():
        nats = -log_p.double().sum().item()
        bits, perplexity = nats / math.log(2) / size, math.exp(min(nats / len(x), HIGHEST))
        rows.append({"name": name, "bits": bits, "nats": nats / len(x), "perplexity": perplexity})
        lines.append(f"{name:<40}{bits:>12.3f}{perplexity:>12.2f}")
    alone, *_, by_frequency, _ = (log_p.double().mean() for log_p in found.values())
    if not alone > by_frequency:
        lines.append("no better than the symbols' frequencies: train longer, or look at figures/training.png")
    return Finding("test", rows, "\n".join(lines) + "\n")


def assessed(
    model: Autoregressive, params: Params, data: Text, context: int, ranks: Ranks | None = None
) -> list[Finding]:
    """Of a finished run: its likelihoods, its memory, and what each symbol before another is worth."""
    ranks = ranks or Ranks()
    found = [likelihoods(model, params, data, context, ranks), memory(model, params, data.train[:context])]
    ranks.meet()  # each has read all with its memory carried on
    return [*found, by_position(model, params, data, context, ranks)]


def by_position(model: Autoregressive, params: Params, data: Text, context: int, ranks: Ranks | None = None) -> Finding:
    """Bits of a symbol of the test text by how many of its window are before it: none, 1, 2 and 3, 4 to 7, ..."""
    nats = -scored(model, params, data.test, context, context, ranks).double()
    before = torch.arange(len(nats), device=nats.device) % context
    rows: list[Row] = []
    lines = [f"{f'{data.alphabet.unit} before, of a window alone':<40}{'bits of the next':>18}"]
    for low, high in octaves(context):
        own = nats[(low <= before) & (before < high)] / math.log(2)
        if len(own) > 1:
            bits, error = own.mean().item(), own.std().item() / len(own) ** 0.5
            rows.append({"before": low, "bits": bits, "error": error, "symbols": len(own)})
            span = str(low) if high == low + 1 else f"{low} to {high - 1}"
            lines.append(f"{f'  {span}':<40}{f'{bits:.3f} ± {error:.3f}':>18}")
    figure, axes = panels(1, 1, 5, 3.6)
    x, y, errors = ([float(row[name] or 0) for row in rows] for name in ("before", "bits", "error"))
    line(axes[0, 0], x, y, "windows alone", 0, errors)
    axes[0, 0].set(xscale="symlog", xlabel=f"{data.alphabet.unit} before", ylabel="bits of the next one")
    axes[0, 0].grid(alpha=0.25)
    return Finding("positions", rows, "\n".join(lines) + "\n", figure)


def octaves(end: int) -> list[tuple[int, int]]:
    """[0, 1), [1, 2), [2, 4), [4, 8), ... up to the end."""
    starts = [0, *(2**i for i in range(end.bit_length()) if 2**i < end)]
    return [*zip(starts, [*starts[1:], end], strict=True)]


def frequencies(train: Tensor, x: Tensor, symbols: int) -> Tensor:
    """log p of each symbol of x by the counts of train, each increased by 1."""
    return _masses(train, symbols).log()[x]


def pairs(train: Tensor, x: Tensor, symbols: int) -> Tensor:
    """The same given the symbol before, by a mixture of pairs' counts with the symbols' own; the first by its own."""
    alone = _masses(train, symbols)
    kinds, counts = torch.unique(train[:-1] * symbols + train[1:], return_counts=True)
    wanted = x[:-1] * symbols + x[1:]
    at = torch.searchsorted(kinds, wanted).clamp_max(len(kinds) - 1)
    count = torch.where(kinds[at] == wanted, counts[at], 0)
    before = torch.bincount(train[:-1], minlength=symbols)[x[:-1]]
    given = (count + alone[x[1:]]) / (before + 1)  # one symbol's worth of the prior
    return torch.cat([alone[x[:1]], given]).log()


@torch.no_grad()
def memory(model: Autoregressive, params: Params, x: Tensor) -> Finding:
    """What one sequence takes while it is drawn, after half of x (t,) and after all of it."""
    rows: list[Row] = []
    for length in (len(x) // 2, len(x)):
        _, kept = model.begin(params, 1)
        if length > 1:
            _, kept = model.extend(params, x[None, : length - 1], kept)
        rows.append({"symbols": length, "bytes": memory_bytes(kept)})
    (_, half), (length, whole) = (row.values() for row in rows)
    what = "the same after any number" if half == whole else "keys and values, which grow with the text"
    line = f"{'memory of a sequence that is drawn':<40}{whole:>12,} bytes after {length} symbols: {what}"
    return Finding("memory", rows, f"{line}\n")


def sample(text: Callable[[], str], title: str) -> Finding:
    """A drawn text."""
    return Finding("sample", [], f"{title}\n{text()}\n")


def _masses(train: Tensor, symbols: int) -> Tensor:
    counts = torch.bincount(train, minlength=symbols).double() + 1
    return counts / counts.sum()
