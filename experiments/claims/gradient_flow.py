"""How much of a gradient reaches the input of a deep network, by activation, initial weights and what is between.

Claim    a sigmoid's gradients vanish, under (0.25 · largest spectral norm)^L; N(0, 0.01²) loses them in every plain
         network, He's weights keep their mean square in a ReLU's exactly, residual blocks keep them under any; batch
         normalisation makes them grow, by sqrt(π / (π - 1)) = 1.21 at each ReLU layer (Yang et al., 2019). Half of a
         ReLU's activations are exactly 0 at the start, and large steps silence whole units; a leaky one has no zeros
Command  python -m jensen.experiments.claims.gradient_flow
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from matplotlib.figure import Figure

from jensen.core import keys
from jensen.experiments.claims import computed
from jensen.experiments.claims.checked import check_at_least, check_seed
from jensen.experiments.claims.computed import Row
from jensen.experiments.claims.deep_networks import (
    ACTIVATIONS,
    REMEDIES,
    WEIGHTS,
    Stack,
    input_gradients,
    sigmoid_bounds,
)
from jensen.experiments.claims.relu_zeros import (
    Zeros,
    draw_zeros,
    leaky_relu,
    table_of_zeros,
    trained_zeros,
    zeros_at_start,
)
from jensen.experiments.data.labelled import digits
from jensen.experiments.report.drawing import colour, line, panels, png
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError

GROWTH = math.sqrt(math.pi / (math.pi - 1))  # of batch-normalised ReLU gradients by layer, of wide networks
CLOSE = 0.03  # how near to it a finite width and batch are
MORE = 5  # times the networks, where a mean is compared with its exact value


@dataclass(frozen=True)
class Settings:
    """Differentiate deep networks at their start, and count a ReLU's zeros: tables, figures and JSON lines."""

    out: Path = Path("runs/gradient-flow")
    """Folder of rows.jsonl, zeros.jsonl and the figures; what it holds of these is replaced."""
    depths: tuple[int, ...] = (2, 4, 8, 16, 32)
    """Linear layers, an even number: a residual block has two."""
    width: int = 128
    """Units of each layer, and inputs."""
    data: int = 128
    """Inputs, standard normal: the batch of batch normalisation."""
    networks: int = 10
    """Of each kind and depth."""
    hidden: tuple[int, ...] = (128, 128, 128)
    """Widths of the classifier of digits whose zeros are counted."""
    rates: tuple[float, ...] = (1e-3, 3e-2)
    """Adam's step sizes for it."""
    steps: int = 1000
    """Of its training."""
    seed: int = 0
    """Everything random follows from it."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        depths = " ".join(map(str, self.depths))
        if len(self.depths) < 2 or any(depth < 2 or depth % 2 for depth in self.depths):
            raise InputError(f"--depths {depths}: expected two even numbers or more, of at least 2")
        if list(self.depths) != sorted(set(self.depths)):
            raise InputError(f"--depths {depths}: expected them in rising order, each once")
        check_at_least(self, width=2, data=2, networks=2, steps=1)
        if not self.hidden or min(self.hidden) < 1:
            raise InputError("expected --hidden of at least one layer, and widths of at least 1")
        if not self.rates or not all(0 < rate <= 1 for rate in self.rates):
            raise InputError("expected --rates of step sizes in (0, 1]")
        check_seed(self.seed)


class Gradient(NamedTuple):
    """The input gradients of networks of one kind and depth: of standard normal data and a unit gradient at the output.

    The last three are of sigmoids alone, the largest over networks: a datum's norm over Π 0.25 |W_l|, that product over
    (0.25 max |W_l|)^L, and this power.
    """

    activation: str
    weight: str
    remedy: str
    layers: int
    norm: float  # root mean square over data and networks
    square_error: float  # standard error of its square, over networks
    of_product: float | None = None
    of_power: float | None = None
    power: float | None = None


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--width or --networks"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.gradient_flow")
        settings.check()
        gradients, zeros, exact = run(settings)
        print(table(gradients, settings))
        print(table_of_zeros(zeros))
        print(f"\n{computed.table(exact)}\n\nrows and figures in {settings.out}")


def run(settings: Settings) -> tuple[list[Gradient], list[Zeros], list[Row]]:
    """Measures, and leaves rows and figures in the folder."""
    files.make(settings.out)
    gradients = [measure(*kind, settings) for kind in product(ACTIVATIONS, WEIGHTS, REMEDIES, settings.depths)]
    zeros = count_zeros(settings)
    exact = [*bounds(gradients), *kept(settings), growth(gradients), half(settings)]
    for name, figure in {"gradients": draw(gradients), "zeros": draw_zeros(zeros)}.items():
        files.write_atomically(settings.out / f"{name}.png", png(figure))
    rows = [*(row._asdict() for row in gradients), *({**row._asdict(), "holds": row.holds} for row in exact)]
    files.write_rows(settings.out / "rows.jsonl", rows)
    files.write_rows(settings.out / "zeros.jsonl", [row._asdict() for row in zeros])
    return gradients, zeros, exact


def measure(activation: str, weight: str, remedy: str, depth: int, settings: Settings) -> Gradient:
    """Networks of one kind and depth, each with data of its own."""
    stack = Stack(ACTIVATIONS[activation], WEIGHTS[weight], remedy)
    squares, of_bounds = [], []
    for key in keys.split(keys.fold_in(keys.key(settings.seed), depth), settings.networks):
        init_key, data_key = keys.split(key)
        layers = stack.init(init_key, settings.width, depth)
        norms = input_gradients(stack, layers, data_key, settings.data)
        squares.append(norms.square().mean())
        if (activation, remedy) == ("sigmoid", "none"):
            log_product, log_power = sigmoid_bounds(layers)
            of_product = math.exp(norms.max().log().item() - log_product)
            of_bounds.append((of_product, math.exp(log_product - log_power), math.exp(log_power)))
    square, error = computed.mean_and_error(torch.stack(squares))
    largest = (max(of_networks) for of_networks in zip(*of_bounds, strict=True))
    return Gradient(activation, weight, remedy, depth, square**0.5, error, *largest)


def count_zeros(settings: Settings) -> list[Zeros]:
    """Of ReLU and leaky ReLU classifiers of digits, at the start and trained, by step size."""
    data, key, found = digits(), keys.key(settings.seed), []
    for lr in settings.rates:
        for name, activation in {"ReLU": torch.relu, "leaky ReLU": leaky_relu}.items():
            of = (data.train, data.test, settings.hidden, lr, settings.steps, key)
            found += trained_zeros(name, activation, *of)[0 if lr == settings.rates[0] else 1 :]
    return found


def bounds(rows: Sequence[Gradient]) -> list[Row]:
    """No sigmoid network's gradient is above the product of its layers' bounds, nor that above the largest's power."""
    part, found = "sigmoid's bounds, largest of all depths", []
    plain = [row for row in rows if (row.activation, row.remedy) == ("sigmoid", "none")]
    for weight in dict.fromkeys(row.weight for row in plain):
        here = [row for row in plain if row.weight == weight]
        product, power = (max(getattr(row, of) or 0.0 for row in here) for of in ("of_product", "of_power"))
        found.append(Row(part, f"{weight}: |gradient| / Π 0.25 |W_l|", product, 1.0, relation="≤"))
        found.append(Row(part, f"{weight}: Π 0.25 |W_l| / (0.25 max |W_l|)^L", power, 1.0, relation="≤"))
    return found


def kept(settings: Settings) -> list[Row]:
    """He's weights in a ReLU network: E |gradient|² is 1 at every depth and width (Hanin, 2018), of more networks."""
    more = replace(settings, networks=MORE * settings.networks)
    part, each = "ReLU, He: mean square of the gradient", [measure("ReLU", "He", "none", d, more) for d in more.depths]
    return [Row(part, f"{row.layers} layers", row.norm**2, 1.0, row.square_error) for row in each]


def growth(rows: Sequence[Gradient]) -> Row:
    """What a batch-normalised ReLU layer multiplies the gradient's norm by."""
    factor = per_layer(
        [row for row in rows if (row.activation, row.weight, row.remedy) == ("ReLU", "He", "batch norm")]
    )
    return Row("ReLU, batch norm", f"growth by layer, to {CLOSE:.0%}", factor, GROWTH, relation="≈", digits=CLOSE)


def half(settings: Settings) -> Row:
    """The share of exact zeros of ReLU networks at their start, whose layers are independent."""
    each = keys.split(keys.fold_in(keys.key(settings.seed), 1), settings.networks)
    shares = torch.cat([zeros_at_start(key, settings.width, settings.depths[-1], settings.data) for key in each])
    return computed.mean_of("ReLU at the start", "share of exact zeros", shares, 0.5)


def of_kind(rows: Sequence[Gradient], *kind: str) -> list[Gradient]:
    """Those of an activation, initial weights and a remedy, by depth."""
    return [row for row in rows if (row.activation, row.weight, row.remedy) == kind]


def per_layer(rows: Sequence[Gradient]) -> float:
    """The factor of the gradient's norm at each layer, from the shallowest of these networks to the deepest."""
    first, last = rows[0], rows[-1]
    return (last.norm / first.norm) ** (1 / (last.layers - first.layers))


def table(rows: Sequence[Gradient], settings: Settings) -> str:
    """What a layer multiplies the gradient's norm by, and what is left of it at the deepest network's input."""
    deepest = settings.depths[-1]
    lines = [f"|input gradient|, {settings.width} units: factor by layer, and what is left after {deepest} layers",
             f"{'':<26}" + "".join(f"{remedy:>19}" for remedy in REMEDIES)]  # fmt: skip
    for activation, weight in product(ACTIVATIONS, WEIGHTS):
        each = [of_kind(rows, activation, weight, remedy) for remedy in REMEDIES]
        cells = [f"{per_layer(here):.3f}, {here[-1].norm:.1e}" for here in each]
        lines.append(f"  {f'{activation}, {weight}':<24}" + "".join(f"{cell:>19}" for cell in cells))
    return "\n".join(lines)


def draw(rows: Sequence[Gradient]) -> Figure:
    """A panel per activation and initial weights: the norm against depth by remedy, and plain sigmoids' bound."""
    figure, axes = panels(len(ACTIVATIONS), len(WEIGHTS), 11, 8.5)
    for axis, (activation, weight) in zip(axes.flat, product(ACTIVATIONS, WEIGHTS), strict=True):
        for style, remedy in enumerate(REMEDIES):
            here = of_kind(rows, activation, weight, remedy)
            depth = [row.layers for row in here]
            line(axis, depth, [row.norm for row in here], remedy, style)
            if here[0].power is not None:
                axis.plot(depth, [row.power for row in here], "--", color=colour(style), label="(0.25 max |W_l|)^L")
        axis.set(yscale="log", title=f"{activation}, {weight}", xlabel="layers", ylabel="|input gradient|")
        axis.grid(alpha=0.25)
    axes[0, 0].legend(fontsize=8)
    return figure
