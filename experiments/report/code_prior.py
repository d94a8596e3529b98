"""What a prior of codes is worth on test data: its bits beside those of places alone and of uniform codes; images."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.models.autoregressive.codes import CodePrior
from jensen.core.models.quantised import CodedModel
from jensen.core.trees import Params, Tree
from jensen.experiments.report.chunks import over_data
from jensen.experiments.report.codes import frequency_bits
from jensen.experiments.report.images import Images, grid, shades
from jensen.experiments.run.program import Finding

DATA = 500  # whose codes are scored at once
SIDE = 8  # of the grid of samples


class Coder(NamedTuple):
    """A trained model of codes."""

    model: CodedModel
    params: Params
    state: Tree

    def decoded(self, codes: Tree) -> Tensor:
        """The mean of p(x | codes), (n, D)."""
        return self.model.decode_codes(self.params, self.state, codes)

    def log_prob(self, x: Tensor, codes: Tree) -> Tensor:
        """log p(x | codes), (n,)."""
        return self.model.likelihood(self.params, self.state, codes).log_prob(x)


class PriorEvaluation(NamedTuple):
    """Means over test data, with standard errors over data, per datum.

    A datum's codes c(x) are certain, so that p(x) = sum_c p(c) p(x | c) >= p(c(x)) p(x | c(x)).
    """

    bits: float  # -log2 p(c(x))
    bits_error: float
    frequency_bits: float  # where each place's codes have their frequencies in training data, by Laplace's rule
    uniform_bits: float  # where all codes are as probable
    distortion: float  # -log p(x | c(x)), nats
    bound_error: float  # of `elbo`
    independent: float  # -log p(x) of independent pixels, nats
    pixels: int

    @property
    def elbo(self) -> float:
        """log p(c(x)) + log p(x | c(x)), a bound on log p(x), in nats."""
        return -self.bits * math.log(2) - self.distortion

    @property
    def bits_per_dim(self) -> float:
        """Of the bound: log p(x) has no more."""
        return -self.elbo / self.pixels / math.log(2)

    @property
    def beats_floor(self) -> bool:
        """By two standard errors."""
        return self.bits + 2 * self.bits_error < self.frequency_bits

    def finding(self) -> Finding:
        """A table of one screen; its last line says so where the prior is no better than places by themselves."""
        alone, uniform = self.nats(self.frequency_bits), self.nats(self.uniform_bits)
        lines = [
            f"{'test':<28}{'prior':>9}{'':<13}{'places alone':<15}uniform codes",
            f"{'bits of the codes':<28}{self.bits:>9.2f} {f'± {self.bits_error:.2f}':<12}{self.frequency_bits:<15.2f}"
            f"{self.uniform_bits:.2f}",
            f"{'−log p(x) is at most, nats':<28}{-self.elbo:>9.2f} {f'± {self.bound_error:.2f}':<12}{alone:<15.2f}"
            f"{uniform:.2f}   {self.independent:.2f} (independent pixels)",
            f"{'  = reconstruction':<28}{self.distortion:>9.2f}",
            f"{'  + codes':<28}{self.nats(self.bits) - self.distortion:>9.2f}",
            f"{'bits/dim are at most':<28}{self.bits_per_dim:>9.3f}",
        ]
        if not self.beats_floor:
            lines.append(
                "no better than each place's frequencies: train longer, or look at figures/training.png for the cause"
            )
        row = {**self._asdict(), "elbo": self.elbo, "bits_per_dim": self.bits_per_dim}
        return Finding("test", [row], "\n".join(lines) + "\n")

    def nats(self, bits: float) -> float:
        """The bound on -log p(x) with codes of so many bits."""
        return self.distortion + bits * math.log(2)


@torch.no_grad()
def evaluate_prior(
    model: CodePrior, params: Params, coder: Coder, train: Tensor, test: Tensor, images: Images
) -> PriorEvaluation:
    """Evaluates on sequences of codes `test` (n, t), those of images.test; `train` (N, t) gives the frequencies."""

    def terms(rows: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        symbols = test[rows]
        reconstruction = coder.log_prob(images.test[rows], model.codes(symbols))
        return model.log_prob_of_codes(params, symbols).double(), reconstruction.double()

    log_p, reconstruction = over_data(terms, torch.arange(len(test), device=test.device), keys.key(0), DATA)
    of_train, of_test = (trees.leaves(model.codes(x)) for x in (train, test))
    return PriorEvaluation(
        bits=-log_p.mean().item() / math.log(2),
        bits_error=_error(log_p) / math.log(2),
        frequency_bits=sum(map(frequency_bits, of_train, of_test, (of.size for of in model.maps))),
        uniform_bits=sum(of.bits for of in model.maps),
        distortion=-reconstruction.mean().item(),
        bound_error=_error(log_p + reconstruction),
        independent=-coder.model.independent(images.train).log_prob(images.test).double().mean().item(),
        pixels=images.test.shape[1],
    )


@torch.no_grad()
def samples(draw: Callable[[int], Tensor], images: Images, columns: int | None = None) -> Figure:
    """Images that are drawn, in a grid of so many columns, SIDE unless given."""
    columns = columns or SIDE
    rows = draw(SIDE * columns).split(columns)
    return grid(rows, images, [""] * SIDE, "Images of codes drawn from the prior", limits=shades(images.test))


def _error(values: Tensor) -> float:
    """The standard error of the mean."""
    return (values.std() / len(values) ** 0.5).item()
