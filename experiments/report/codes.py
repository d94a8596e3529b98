"""What a model of codes is worth on test data: errors of reconstruction beside floors, bits, and how codes are used."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.models.quantised import CodedModel, CodeMap, usage
from jensen.core.trees import Params, Tree
from jensen.experiments.report import shared
from jensen.experiments.report.chunks import over_data
from jensen.experiments.report.drawing import colour, panels
from jensen.experiments.report.images import Images, grid, spread
from jensen.experiments.run.program import Finding
from jensen.experiments.run.ranks import Ranks

DATA = 1000  # encoded at once


class Used(NamedTuple):
    """How the codes of one level of one map are used by test data."""

    name: str
    vectors: int  # that were given codes
    size: int
    used: float  # the share of codes that occur
    perplexity: float

    @property
    def expected(self) -> float:
        """The share that would occur of uniform, independent codes: 1 - (1 - 1 / size)^vectors."""
        return 1 - (1 - 1 / self.size) ** self.vectors


class CodesEvaluation(NamedTuple):
    """Means over test data, with standard errors over data; nats and bits are per datum."""

    squared_error: float  # per pixel, of the mean of p(x | codes)
    squared_error_error: float
    distortion: float  # -log p(x | codes), nats
    distortion_error: float
    bits: float  # where all codes are as probable
    frequency_bits: float  # where each place's codes have their frequencies in training data, by Laplace's rule
    floor: float  # the squared error of the training data's mean
    independent: float  # -log p(x) of independent pixels, nats
    use: tuple[Used, ...]

    @property
    def elbo(self) -> float:
        """log p(x | codes) less the nats of uniform codes, a bound on log p(x) before there is a prior."""
        return -self.distortion - self.bits * math.log(2)

    @property
    def beats_floors(self) -> bool:
        """By two standard errors."""
        by_error = self.squared_error + 2 * self.squared_error_error < self.floor
        return by_error and self.distortion + 2 * self.distortion_error < self.independent

    def finding(self) -> Finding:
        """A table of one screen; its last line says so where the codes are worth nothing."""
        error, nats = f"± {self.squared_error_error:.5f}", f"± {self.distortion_error:.2f}"
        lines = [
            f"{'test':<28}{'model':>9}{'':<13}without codes",
            f"{'squared error per pixel':<28}{self.squared_error:>9.5f} {error:<12}{self.floor:.5f} (mean image)",
            f"{'−log p(x | codes), nats':<28}{self.distortion:>9.2f} {nats:<12}{self.independent:.2f} "
            "(independent pixels)",
            f"{'bits, of uniform codes':<28}{self.bits:>9.1f}",
            f"{'bits, by their frequencies':<28}{self.frequency_bits:>9.1f}",
        ]
        for each in self.use:
            share = f"{100 * each.used:>7.1f} % of {each.size} used (of uniform ones {100 * each.expected:.1f} %)"
            lines.append(f"{each.name:<28}{share}, perplexity {100 * each.perplexity / each.size:.1f} %")
        if not self.beats_floors:
            lines.append("no better than without codes: train longer, or look at figures/training.png for the cause")
        row = {name: value for name, value in self._asdict().items() if name != "use"}
        means = {
            "used": sum(each.used for each in self.use) / len(self.use),
            "evenness": sum(each.perplexity / each.size for each in self.use) / len(self.use),
        }
        return Finding("test", [{**row, **means, "elbo": self.elbo}], "\n".join(lines) + "\n")

    def finding_of_use(self, figure: Figure | None = None) -> Finding:
        """A row for each level of each map, of which the table has said the same."""
        return Finding("codes", [each._asdict() for each in self.use], "", figure)


@torch.no_grad()
def evaluate_codes(
    model: CodedModel, params: Params, state: Tree, train: Tensor, x: Tensor, ranks: Ranks | None = None
) -> CodesEvaluation:
    """Evaluates on x (n, D); `train` (N, D) gives the floors, and the frequencies of codes.

    Of several ranks each calls it with the same arguments, and all get the same.
    """
    ranks = ranks or Ranks()

    def terms(x: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        codes = model.codes(params, state, x)
        error = (model.decode_codes(params, state, codes) - x).double()
        return model.likelihood(params, state, codes).log_prob(x).double(), error.square().mean(-1)

    log_p, squared = of_parts(lambda x: over_data(terms, x, keys.key(0, x.device), DATA), x, ranks)
    codes, of_train = (of_parts(partial(all_codes, model, params, state), data, ranks) for data in (x, train))
    maps = dict(zip(codes, model.maps, strict=True))
    return CodesEvaluation(
        squared.mean().item(),
        _error(squared),
        -log_p.mean().item(),
        _error(log_p),
        sum(of.bits for of in maps.values()),
        sum(frequency_bits(of_train[name], codes[name], of.size) for name, of in maps.items()),
        (x - train.mean(0)).double().square().mean().item(),
        -model.independent(train).log_prob(x).double().mean().item(),
        tuple(used for name, of in maps.items() for used in used_by(name, of, codes[name])),
    )


def of_parts(f: Callable[[Tensor], Tree], x: Tensor, ranks: Ranks) -> Tree:
    """f of x, by each rank's part of it."""
    return shared.over_data(lambda places, _: f(x[places]), len(x), keys.key(0, x.device), ranks)


@torch.no_grad()
def all_codes(model: CodedModel, params: Params, state: Tree, x: Tensor) -> dict[str, Tensor]:
    """Of data x (n, D), by the maps' names, "" for a single one."""
    names = trees.paths(model.codes(params, state, x[:1]))

    def leaves(x: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        return tuple(trees.leaves(model.codes(params, state, x)))

    return dict(zip(names, over_data(leaves, x, keys.key(0, x.device), DATA), strict=True))


def by_level(name: str, of: CodeMap, codes: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The codes of each level of a map, with what they are called."""
    each = {"": codes} if of.levels is None else {f"level {i}": own for i, own in enumerate(codes.unbind(-1), 1)}
    for level, own in each.items():
        yield " ".join(filter(None, ("codes", name, level))), own


def used_by(name: str, of: CodeMap, codes: Tensor) -> Iterator[Used]:
    """How they are used."""
    for title, own in by_level(name, of, codes):
        used, perplexity = usage.used(own, of.size).item(), usage.perplexity(own, of.size).item()
        yield Used(title, own.numel(), of.size, used, perplexity)


def frequency_bits(train: Tensor, codes: Tensor, size: int) -> float:
    """The mean over data of -log2 of each place's code's frequency in training data, (count + 1) / (N + size)."""
    total = 0.0
    for of_train, own in zip(train.flatten(1).T, codes.flatten(1).T, strict=True):
        counts = torch.bincount(of_train, minlength=size).double() + 1
        total -= (counts / counts.sum()).log2()[own].mean().item()
    return total


@torch.no_grad()
def reconstructions(model: CodedModel, params: Params, state: Tree, images: Images, count: int = 12) -> Figure:
    """Test data above what their codes are decoded to."""
    x = spread(images.test, count)
    decoded = model.decode_codes(params, state, model.codes(params, state, x))
    return grid([x, decoded], images, ["data", "reconstruction"], "Test data, reconstructed from their codes")


@torch.no_grad()
def use_of_codes(model: CodedModel, params: Params, state: Tree, images: Images) -> Figure:
    """How often test data have each code, the most frequent first, of each level of each map, beside equal use."""
    figure, axes = panels(1, 1, 5.8, 3.8)
    axis = axes[0, 0]
    codes = all_codes(model, params, state, images.test)
    each = [(name, of.size, own) for (title, found), of in zip(codes.items(), model.maps, strict=True)
            for name, own in by_level(title, of, found)]  # fmt: skip
    for i, (name, size, own) in enumerate(each):
        shares = torch.bincount(own.flatten(), minlength=size).sort(descending=True).values / own.numel()
        axis.plot(torch.arange(1, size + 1).numpy() / size, size * shares.cpu().numpy(), color=colour(i), label=name)
    axis.axhline(1, color="black", linewidth=1, label="equal use")
    axis.set(xlabel="codes, the most frequent first, as a share of all", ylabel="use, of an equal share",
             title="How often test data have each code")  # fmt: skip
    axis.legend(frameon=False, fontsize=8)
    return figure


def _error(values: Tensor) -> float:
    """The standard error of the mean."""
    return (values.std() / len(values) ** 0.5).item()
