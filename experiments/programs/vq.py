"""The autoencoder of discrete codes on images, as the command line has it."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import tyro
from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.models import quantised
from jensen.core.models.latent.likelihoods import LIKELIHOODS
from jensen.core.models.quantised import CodedModel, GumbelVq, Quantiser, SoftVq, autoencoder, two_maps
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import ImageData, Images, split
from jensen.experiments.programs.estimation import spelled
from jensen.experiments.programs.images import Flat
from jensen.experiments.programs.likelihoods import CAUTIONS, check_likelihood, likelihood_of
from jensen.experiments.programs.quantisation import QuantisationProgram
from jensen.experiments.report.images import Images as Judged
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Prepared, Schedule
from jensen.experiments.run.schedules import geometric
from jensen.experiments.run.settings import Run

MOST = 2**16  # codes of a map, each of whose use is counted


@dataclass(frozen=True)
class Vq:
    """Train an autoencoder of discrete codes on images, and report its errors, bits and use of codes on test images."""

    images: Flat[ImageData] = ImageData(pixels="grey")
    likelihood: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(LIKELIHOODS) + "}")] = "squared-error"
    """p(x | codes)."""
    quantiser: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(quantised.NAMES) + "}")] = "vq(512)"
    """What the encoder's vectors are replaced by, with its settings."""
    network: Literal["mlp", "conv", "two-maps"] = "mlp"
    """Encoder and decoder; two-maps is VQ-VAE-2, of convolutions, with a coarser map of codes above the other."""
    hidden: tuple[int, ...] = (400,)
    """Widths of the mlp's hidden layers."""
    positions: int = 8
    """Codes that the mlp has for an image."""
    channels: tuple[int, ...] = (32,)
    """Channels of the convolutions' levels, each of which halves the image down to the grid of codes."""
    above: tuple[int, ...] = (32,)
    """The same of the levels from there to the coarser map, of two-maps."""
    width: int = 8
    """Components of the vectors that are quantised; fsq and lfq have as many as they need."""
    activation: Literal["relu", "sigmoid", "tanh", "leaky_relu", "gelu"] = "relu"
    """Between layers."""
    temperature_final: float | None = None
    """What the temperature of soft-vq and gumbel-vq falls to by the last step, geometrically; it stays unless given."""
    optimiser: Flat[Optimiser] = Optimiser(lr=3e-3)
    run: Flat[Run] = Run()

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        for part in (self.run, self.optimiser, self.images):
            part.check()
        check_likelihood(self.likelihood, self.images)
        for name in ("hidden", "channels", "above"):
            if any(size < 1 for size in getattr(self, name)):
                raise InputError(f"expected --{name} of at least 1, got {getattr(self, name)}: leave it out")
        for name in ("positions", "width"):
            if getattr(self, name) < 1:
                raise InputError(f"expected --{name} of at least 1, got {getattr(self, name)}: leave it out")
        of = {"hidden": ("mlp",), "positions": ("mlp",), "channels": ("conv", "two-maps"), "above": ("two-maps",)}
        for name, networks in of.items():
            if self.network not in networks and getattr(self, name) != getattr(Vq, name):
                raise InputError(f"--network {self.network} has no --{name}: leave it out")
        size = self.the_quantiser.size
        if size > MOST:
            raise InputError(f"--quantiser {self.quantiser} has {size} codes: expected {MOST} or fewer, for their use "
                             "is counted")  # fmt: skip
        final = self.temperature_final
        if final is not None and not (0 < final < math.inf):
            raise InputError(f"expected a positive --temperature-final, got {final}")
        if final is not None and (not isinstance(self.the_quantiser, SoftVq | GumbelVq) or self.network == "two-maps"):
            raise InputError("--temperature-final is for soft-vq and gumbel-vq, of one map: leave it out")

    @property
    def the_quantiser(self) -> Quantiser:
        return spelled(quantised.parse, "quantiser", self.quantiser)

    def model(self, images: Images) -> CodedModel:
        """InputError for images that the network does not fit."""
        quantiser, likelihood = self.the_quantiser, likelihood_of(self.likelihood, images)
        activation, width = getattr(F, self.activation), getattr(quantiser, "components", self.width)
        if self.network == "mlp":
            data = math.prod(images.shape)
            return autoencoder.mlp(data, self.hidden, self.positions, width, quantiser, activation, likelihood)
        try:
            if self.network == "conv":
                return autoencoder.conv(images.shape, self.channels, width, quantiser, activation, likelihood)
            return two_maps.conv(
                images.shape, self.channels, self.above, width, quantiser, quantiser, activation, likelihood
            )
        except ValueError as error:
            raise InputError(f"--channels {' '.join(map(str, self.channels))}: {error}") from error

    def prepare(self) -> Prepared[QuantisationProgram, Tensor, Judged]:
        """Loads the data and builds the program. InputError for what does not go together."""
        images = self.images.load(self.run)
        train, held_out = split(images.train, self.run, self.images.treatment)
        model, batches = self.model(images), Epochs(len(train), self.run.batch, self.run.keep_last)
        total = self.run.total(batches.steps)
        program = QuantisationProgram(
            model=model, batches=batches, optimiser=self.optimiser, dynamic=self.images.treatment == "dynamic",
            temperature=self.temperature(total), title=self.title(model, images, total),
        )  # fmt: skip
        try:
            model.init(keys.key(self.run.seed, train.device), train)
        except ValueError as error:
            raise InputError(f"--quantiser {self.quantiser}: {error}") from error
        return Prepared(program, train, images.test if held_out is None else held_out, images)

    def temperature(self, total: int) -> Schedule | None:
        """Of the quantiser, where it falls."""
        quantiser, final = self.the_quantiser, self.temperature_final
        if final is None or not isinstance(quantiser, SoftVq | GumbelVq):
            return None
        return partial(geometric, start=float(quantiser.temperature), final=final, total=total)

    def title(self, model: CodedModel, images: Images, steps: int) -> str:
        """What was trained on what, and what the numbers are not: a line each, where there is one."""
        n, pixels = images.test.shape
        kind = type(self).__name__.lower()
        of = f"{kind} on {self.images.data}: {n} test images of {pixels} {self.images.treatment} pixels"
        shapes = " and ".join(" × ".join(map(str, each.shape)) for each in model.maps)
        what = f"{of}, {self.likelihood} likelihood, {shapes} codes of {self.quantiser}, {steps} steps"
        caution = CAUTIONS[self.likelihood] if self.likelihood == "soft-bernoulli" else ""
        return "\n".join(filter(None, (what, caution))) + "\n"
