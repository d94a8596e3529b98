"""Exact zeros of rectifiers: at the start, where half of all activations are, and of trained classifiers of digits."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models import classifier
from jensen.core.nn import linear, mlp
from jensen.core.nn.initial import he
from jensen.core.trees import Params, Tree
from jensen.experiments.claims.deep_networks import DTYPE, Activation, Stack
from jensen.experiments.claims.fitted import fit
from jensen.experiments.report.drawing import colour, line, panels

SLOPE = 0.01  # of a leaky ReLU, below 0


def leaky_relu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


class Zeros(NamedTuple):
    """Of the hidden activations of a network, on held-out data: shares of each layer, and the network's accuracy."""

    activation: str
    lr: float
    when: str  # "start" or "trained"
    zero: list[float]  # of activations that are exactly 0
    silent: list[float]  # of units that are 0 at every datum
    accuracy: float

    @property
    def name(self) -> str:
        return f"{self.activation}, {self.when}" + (f" at {self.lr:g}" if self.when == "trained" else "")


def zeros_at_start(key: Key, width: int, depth: int, n: int) -> Tensor:
    """Shares of exact zeros in each layer of a ReLU network of He's weights, (depth,), of n standard normal data."""
    stack = Stack(torch.relu, he, "none")
    init_key, x_key = keys.split(key)
    h, shares = keys.normal(x_key, (n, width), DTYPE), []
    for params in stack.init(init_key, width, depth):
        h = stack.layer(params, h)
        shares.append((h == 0).double().mean())
    return torch.stack(shares)


def trained_zeros(
    name: str, activation: Activation, train: Tree, test: Tree, hidden: tuple[int, ...], lr: float, steps: int, key: Key
) -> list[Zeros]:
    """A classifier of {"x", "labels"} at its start and after so many steps of Adam."""
    model = classifier.mlp(train["x"].shape[1], hidden, 10, activation)
    init_key, fit_key = keys.split(key)
    params = model.init(init_key)

    def loss(params: Params, batch: Tree, key: Key) -> Tensor:
        return model.loss(params, batch["x"], batch["labels"])

    start = zeros(name, activation, params, test, lr, "start")
    trained = fit(loss, params, train, steps, fit_key, lr)
    return [start, zeros(name, activation, trained, test, lr, "trained")]


@torch.no_grad()
def zeros(name: str, activation: Activation, params: Params, test: Tree, lr: float, when: str) -> Zeros:
    """Shares of zeros on test data."""
    h, zero, silent = test["x"], [], []
    for i in range(len(params) - 1):
        h = activation(linear.apply(params[str(i)], h))
        zero.append((h == 0).double().mean().item())
        silent.append((h == 0).all(0).double().mean().item())
    logits = linear.apply(mlp.last(params), h)
    accuracy = (logits.argmax(-1) == test["labels"]).double().mean().item()
    return Zeros(name, lr, when, zero, silent, accuracy)


def table_of_zeros(rows: Sequence[Zeros]) -> str:
    """Shares of exact zeros and of silent units, means over layers, on test digits."""
    head = f"{'classifier of digits':<34}{'zeros':>8}{'silent units':>14}{'accuracy':>10}"
    lines = ["", head]
    for row in rows:
        zero, silent = (sum(each) / len(each) for each in (row.zero, row.silent))
        lines.append(f"  {row.name:<32}{zero:>8.1%}{silent:>14.1%}{row.accuracy:>10.1%}")
    return "\n".join(lines)


def draw_zeros(rows: Sequence[Zeros]) -> Figure:
    """Shares of exact zeros by layer, at the start and trained: full lines ReLU, dashed ones leaky ReLU."""
    figure, axes = panels(1, 1, 6.4, 3.8)
    axis = axes[0, 0]
    for style, row in enumerate(rows):
        dashes = "-" if row.activation == "ReLU" else "--"
        line(axis, range(1, len(row.zero) + 1), row.zero, row.name, style, linestyle=dashes)
    axis.axhline(0.5, color=colour(7), linewidth=0.8, zorder=0)
    axis.set(xlabel="hidden layer", ylabel="share of exact zeros", ylim=(-0.03, 1.03))
    axis.set_xticks(range(1, len(rows[0].zero) + 1))
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return figure
