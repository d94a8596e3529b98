"""Attention: why scores are divided by √d, what a cache saves when a text is drawn, and what it takes.

Claim    scores q . k of d standard normal numbers have variance d, and softmax of them comes down to one key, through
         which no gradient reaches the others; over √d they have variance 1 and softmax the same entropy at any d
         (Vaswani et al., 2017). With a cache the time of a text grows with its length, without one nearly with the
         square; the cache grows with the text, a recurrent network's state does not
Command  python -m jensen.experiments.claims.attention
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from matplotlib.figure import Figure

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.experiments.claims import computed, texts
from jensen.experiments.claims.checked import check_at_least, check_seed
from jensen.experiments.claims.computed import Row
from jensen.experiments.claims.texts import HEADS, Drawing
from jensen.experiments.report.drawing import line as curve
from jensen.experiments.report.drawing import panels, png
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError

FEATURES = (4, 16, 64, 256, 1024)  # d
KEYS, QUERIES = 512, 256  # of a softmax, and how many of these
DOUBLE = torch.float64


@dataclass(frozen=True)
class Settings:
    """Measure scores, softmax, the time of drawing texts and what is remembered: tables, a figure and JSON lines."""

    out: Path = Path("runs/attention")
    """Folder of rows.jsonl and the figure; what it holds of these is replaced."""
    draws: int = 4000
    """Pairs of a query and a key at each d."""
    lengths: tuple[int, ...] = (64, 128, 256, 512)
    """Of texts, in symbols."""
    layers: int = 4
    """Of the networks that draw."""
    width: int = 128
    """Their features."""
    rounds: int = 3
    """Texts of each length that are timed, with a cache and without in turn."""
    seed: int = 0
    """Everything random follows from it."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_at_least(self, draws=100, layers=1, width=1, rounds=1)
        check_seed(self.seed)
        if len(self.lengths) < 2 or self.lengths[0] < 2 or [*self.lengths] != sorted(set(self.lengths)):
            raise InputError(f"expected --lengths of two or more that rise, from 2 on, got {self.lengths}")
        if self.width % (2 * HEADS):
            raise InputError(f"expected --width, a multiple of {2 * HEADS} for {HEADS} heads, got {self.width}")


class Softmax(NamedTuple):
    """Means over queries: entropy as a share of that of equal weights, and trace of the Jacobian, 1 - sum p²."""

    features: int
    scaled: bool
    variance: float  # of scores
    entropy: float
    slope: float


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--lengths, --layers or --width"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.attention")
        settings.check()
        softmaxes, drawings, exact = run(settings)
        print(f"{table(softmaxes)}\n\n{texts.table(drawings)}\n\n{computed.table(exact)}\n")
        print(f"rows and figure in {settings.out}")


def run(settings: Settings) -> tuple[list[Softmax], list[Drawing], list[Row]]:
    """Measures, and leaves rows and the figure in the folder."""
    files.make(settings.out)
    key = keys.key(settings.seed)
    exact = [row for d in FEATURES for row in variances(d, settings.draws, keys.fold_in(key, d))]
    softmaxes = [softmax(d, scaled, keys.fold_in(key, d)) for d in FEATURES for scaled in (False, True)]
    width, layers = settings.width, settings.layers
    drawings = texts.drawn(settings.lengths, width, layers, settings.rounds, key)
    exact += [*of_one_entropy(softmaxes), *texts.memories(drawings, width, layers)]
    files.write_atomically(settings.out / "attention.png", png(draw(softmaxes, drawings)))
    rows = [*(row._asdict() for row in softmaxes), *(row._asdict() for row in drawings)]
    files.write_rows(settings.out / "rows.jsonl", [*rows, *({**row._asdict(), "holds": row.holds} for row in exact)])
    return softmaxes, drawings, exact


def variances(d: int, draws: int, key: Key) -> list[Row]:
    """Of independent scores, whose mean is 0."""
    q, k = keys.normal(key, (2, draws, d), DOUBLE)
    scores = (q * k).sum(-1)
    return [
        computed.mean_of("variance of q . k", f"d = {d}", scores.square(), d),
        computed.mean_of("variance of q . k / √d", f"d = {d}", (scores / math.sqrt(d)).square(), 1),
    ]


def softmax(d: int, scaled: bool, key: Key) -> Softmax:
    """Of queries over the same keys."""
    q, k = keys.normal(key, (2, KEYS, d), DOUBLE)
    scores = q[:QUERIES] @ k.T / (math.sqrt(d) if scaled else 1)
    p = scores.softmax(-1)
    entropy = torch.special.entr(p).sum(-1).mean().item() / math.log(KEYS)
    return Softmax(d, scaled, scores.var().item(), entropy, 1 - p.square().sum(-1).mean().item())


def of_one_entropy(softmaxes: Sequence[Softmax]) -> list[Row]:
    """Of n normal scores of variance 1 it is log n - 1/2, and sum p² is e / n, for many keys."""
    row = next(row for row in reversed(softmaxes) if row.scaled)
    name = f"d = {row.features}, {KEYS} keys"
    return [
        Row("softmax of q . k / √d", f"{name}: entropy", row.entropy * math.log(KEYS), math.log(KEYS) - 0.5,
            relation="≈", digits=0.02),
        Row("softmax of q . k / √d", f"{name}: trace of its Jacobian", row.slope, 1 - math.e / KEYS,
            relation="≈", digits=0.02),
    ]  # fmt: skip


def table(softmaxes: Sequence[Softmax]) -> str:
    """What division does at each d."""
    lines = [f"{f'softmax over {KEYS} keys':<28}{'variance':>12}{'entropy / log n':>18}{'1 - sum p²':>14}"]
    for row in softmaxes:
        name = f"  d = {row.features}, {'q . k / √d' if row.scaled else 'q . k'}"
        lines.append(f"{name:<28}{row.variance:>12.4g}{row.entropy:>18.3f}{row.slope:>14.3f}")
    return "\n".join(lines)


def draw(softmaxes: Sequence[Softmax], drawings: Sequence[Drawing]) -> Figure:
    """Variance and entropy by d, time and memory by length."""
    figure, axes = panels(2, 2, 10, 7)
    (variance, entropy), (times, sizes) = axes
    for style, scaled in enumerate((False, True)):
        rows = [row for row in softmaxes if row.scaled == scaled]
        name, d = ("q . k / √d" if scaled else "q . k"), [row.features for row in rows]
        curve(variance, d, [row.variance for row in rows], name, style)
        curve(entropy, d, [row.entropy for row in rows], f"{name}: entropy / log n", style)
        curve(entropy, d, [row.slope for row in rows], f"{name}: 1 - sum p²", style, linestyle="--")
    lengths = [row.length for row in drawings]
    for style, name in enumerate(("uncached", "cached")):
        whole, _ = texts.exponents(drawings)[name]
        curve(times, lengths, [getattr(row, name) for row in drawings], f"{name}: length^{whole:.2f}", style)
    for style, name in enumerate(drawings[0].bytes):
        dashed = "--" if name == "gru" else "-"  # which lies on the rnn's
        curve(sizes, lengths, [row.bytes[name] for row in drawings], name, style, linestyle=dashed)
    variance.set(xscale="log", yscale="log", xlabel="d", ylabel="variance of scores", title="Scores")
    entropy.set(xscale="log", xlabel="d", ylim=(-0.05, 1.05), title=f"Softmax over {KEYS} keys")
    times.set(xscale="log", yscale="log", xlabel="symbols", ylabel="seconds", title="Drawing a text")
    sizes.set(xscale="log", yscale="log", xlabel="symbols", ylabel="bytes", title="What is remembered of it")
    for axis in axes.flat:
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8)
    return figure
