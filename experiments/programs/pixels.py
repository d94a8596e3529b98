"""The model of images pixel by pixel, as the command line has it."""

from dataclasses import dataclass
from typing import Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.autoregressive import made, pixel_cnn
from jensen.core.models.autoregressive.pixels import PixelModel
from jensen.core.trees import Params
from jensen.experiments.data.batches import Epochs, chunks
from jensen.experiments.data.images import ImageData, Images, split
from jensen.experiments.data.pixels import binarise
from jensen.experiments.programs.images import Flat
from jensen.experiments.programs.maximum_likelihood import MaximumLikelihood
from jensen.experiments.programs.sized import Sized
from jensen.experiments.report import pixels as report
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Finding, Prepared
from jensen.experiments.run.settings import Run

ROWS = 200  # images that are scored at once
SEEN = 1000  # training images that are scored beside those of the test
DRAWN, PASSES = 64, 16 * 784  # images of a figure, and at most so many passes of the network for one image each
LEVELS = {"digits": 17}  # of grey pixels as they are stored; 256 of other images


@dataclass(frozen=True)
class Pixels(Sized):
    """Train a model of images pixel by pixel, and report its exact likelihood on test images and what it draws."""

    images: Flat[ImageData] = ImageData()
    model: Literal["made", "pixel-cnn"] = "pixel-cnn"
    """A masked perceptron, or masked convolutions."""
    levels: int | None = None
    """To which grey pixels are rounded: 17 for digits and 256 for others, as they are stored, unless given."""
    hidden: tuple[int, ...] = (256,)
    """Widths of MADE's hidden layers."""
    features: int = 32
    """Of PixelCNN's layers."""
    layers: int = 4
    """Of PixelCNN, after the first."""
    kernel: int = 3
    """Of these layers."""
    optimiser: Flat[Optimiser] = Optimiser(lr=3e-3)
    run: Flat[Run] = Run(epochs=60, compile=False)  # a compiler takes as long as many epochs

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        self.run.check()
        self.optimiser.check()
        self.images.check()
        self.check_positive(
            *(("--hidden", size) for size in self.hidden), ("--features", self.features), ("--layers", self.layers)
        )
        if self.images.treatment == "white":
            raise InputError("patches are white, and have no levels of pixels: use digits, sprites or MNIST")
        if self.images.treatment != "grey":
            if self.levels is not None:
                raise InputError(f"--levels {self.levels} is of grey pixels, and these are binary: add --pixels grey")
        elif self.run.dtype == "bfloat16":
            raise InputError("grey levels need more digits than --dtype bfloat16 has: use float32 or float64")
        if self.levels is not None and not 2 <= self.levels <= 256:
            raise InputError(f"expected --levels from 2 to 256, got {self.levels}")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise InputError(f"expected --kernel, an odd number, got {self.kernel}: an even one has no centre")
        if self.model == "made" and not self.hidden:
            raise InputError("expected --hidden of one width or more: leave it out for 256")
        others = ("features", "layers", "kernel") if self.model == "made" else ("hidden",)
        for name in others:
            if getattr(self, name) != getattr(Pixels, name):
                other = "pixel-cnn" if self.model == "made" else "made"
                raise InputError(f"{self.model} has no --{name}: leave it out, or use --model {other}")

    def build(self, shape: tuple[int, int, int]) -> PixelModel:
        """Of images of this shape."""
        _, height, width = shape
        levels = 2
        if self.images.treatment == "grey":
            levels = LEVELS.get(self.images.data, 256) if self.levels is None else self.levels
        if self.model == "made":
            return made.build(height * width, levels, self.hidden)
        return pixel_cnn.build((height, width), levels, self.features, self.layers, self.kernel)

    def prepare(self) -> Prepared[MaximumLikelihood, Tensor, Images]:
        """Loads the images and builds the program. InputError for what does not go together."""
        images = self.images.load(self.run)
        train, held_out = split(images.train, self.run, self.images.treatment)
        model, batches = self.build(images.shape), Epochs(len(train), self.run.batch, self.run.keep_last)
        dtype, few = train.dtype, max(4, min(DRAWN, PASSES // model.pixels))

        def levels(x: Tensor, key: Key) -> Tensor:
            x = binarise(key, x) if self.images.treatment == "dynamic" else x
            return (x * (model.levels - 1)).round().long()

        def shades(x: Tensor) -> Tensor:
            return x.to(dtype) / (model.levels - 1)

        def drawn(params: Params, images: Images, key: Key) -> dict[str, Figure]:
            return {"samples": report.drawn(shades(model.sample(params, key, few)), images)}

        def findings(params: Params, images: Images, key: Key) -> list[Finding]:
            train, test = (levels(x, k) for x, k in zip((images.train, images.test), keys.split(key), strict=True))
            frequencies = model.frequencies(train).log()
            independent = frequencies.expand(len(test), -1, -1).gather(2, test[..., None]).sum((1, 2))
            ours, seen = (
                torch.cat([model.log_prob(params, rows) for _, rows in chunks(x, ROWS)]) for x in (test, train[:SEEN])
            )
            return [report.likelihoods(ours, seen, independent, model.pixels)]

        words = "MADE" if self.model == "made" else f"PixelCNN of {self.layers} layers"
        total = self.run.total(batches.steps)
        title = f"{words} on {self.images.data}: {len(images.test)} test images of {model.levels} levels, {total} steps"
        program = MaximumLikelihood(
            model=model, batches=batches, optimiser=self.optimiser, title=title, taken=levels, returned=shades,
            drawn=drawn, findings=findings,
        )  # fmt: skip
        return Prepared(program, train, images.test if held_out is None else held_out, images)
