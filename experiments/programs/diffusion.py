"""The denoising diffusion of points or of images' pixels, as the command line has it."""

import math
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.latent.likelihoods import DiscretisedLogisticLikelihood
from jensen.core.models.transport import choices, diffusion, dit, mixed, noise_levels, pixel_diffusion
from jensen.core.models.transport.energies import Gradient
from jensen.core.models.transport.fields import Field
from jensen.core.models.transport.mixed import Mixed
from jensen.core.models.transport.noise_levels import NoiseLevels
from jensen.core.models.transport.weightings import WEIGHTINGS
from jensen.core.trees import Params
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.points import PointData, Points
from jensen.experiments.programs.generation import TransportProgram
from jensen.experiments.programs.generators import PointSettings, perceptron
from jensen.experiments.programs.images import Flat
from jensen.experiments.report.chunks import ROWS, Rows, over_data
from jensen.experiments.report.energies import log_density
from jensen.experiments.report.series import means
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Finding
from jensen.experiments.run.settings import Run

BOUNDED = 200  # test points whose every term is evaluated
TERMS = ["ELBO", "reconstruction", "transitions", "prior"]
LEVELS = {"linear": noise_levels.linear, "cosine": noise_levels.cosine}
SHADES = {"digits": 17, "mnist": 256}  # of images' pixels, whose last step back is a mass


@dataclass(frozen=True)
class Diffusion(PointSettings):
    """Train a denoising diffusion, and report its ELBO term by term and what it draws; of images in bits/dim too."""

    points: Flat[PointData] = PointData(data="moons")
    levels: Literal["linear", "cosine"] = "linear"
    """How the noise grows."""
    noise_steps: int = 200
    """Steps from data to noise."""
    variance: Literal["large", "small"] = "large"
    """Of each step back."""
    weighting: Literal["simple", "bound", "min-snr", "p2"] = "simple"
    """How much the error at each level of noise counts; bound maximises the ELBO."""
    draw_steps: int | None = None
    """Steps of an implicit (DDIM) sampler; every step, ancestrally, unless given."""
    network: Literal["mlp", "energy", "choices", "dit"] = "mlp"
    """The field of noise: a perceptron; that of N(0, I) and the gradient of one, together an energy's; by a perceptron
    that chooses each pixel's shade; or a transformer of an image's patches."""
    hidden: tuple[int, ...] = (128, 128, 128)
    """Widths of the mlp's hidden layers."""
    patch: int = 2
    """Pixels of a side of the dit's patches."""
    width: int = 64
    """Features of a patch."""
    layers: int = 3
    """Blocks of the dit."""
    heads: int = 4
    """Of its attention."""
    optimiser: Flat[Optimiser] = Optimiser(lr=2e-3)
    run: Flat[Run] = Run(steps=6000, batch=256, average=0.999, lr_final=0.01)

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        if self.noise_steps < 2:
            raise InputError(f"expected --noise-steps of at least 2, got {self.noise_steps}")
        if self.draw_steps is not None and not 1 <= self.draw_steps <= self.noise_steps:
            raise InputError(f"expected --draw-steps from 1 to {self.noise_steps}, got {self.draw_steps}")
        for name in ("patch", "width", "layers", "heads") if self.network != "dit" else ("hidden",):
            if getattr(self, name) != getattr(Diffusion, name):
                raise InputError(f"--network {self.network} has no --{name}: leave it out")
        self.check_positive(*((f"--{name}", getattr(self, name)) for name in ("patch", "width", "layers", "heads")))
        if self.network in ("choices", "dit") and not self.points.images:
            raise InputError(
                f"--network {self.network} is for images, and {self.points.data} are points: use --network mlp"
            )

    def field(self, data: int, levels: NoiseLevels) -> Field:
        """InputError for images that the patches do not fit."""
        if self.network == "mlp":
            return perceptron(self.points, data, self.hidden)
        if self.network == "energy":
            return mixed.build(Gradient(perceptron(self.points, data, self.hidden, outputs=1)), levels)
        if self.network == "choices":
            shades = SHADES[self.points.data]
            return choices.build(choices.mlp(data, shades, self.hidden), levels, shades)
        side = math.isqrt(data)
        try:
            return dit.image((1, side, side), self.patch, self.width, self.layers, self.heads)
        except ValueError as error:
            raise InputError(f"--network dit: {error}") from error

    def program(self, batches: Epochs, data: int, steps: int) -> TransportProgram:
        levels, shades = LEVELS[self.levels](self.noise_steps), SHADES.get(self.points.data)
        field, weighting = self.field(data, levels), WEIGHTINGS[self.weighting]
        model = (
            diffusion.build(field, levels, self.variance, weighting)
            if shades is None
            else pixel_diffusion.build(field, levels, shades, self.variance, weighting)
        )
        dtype = getattr(torch, self.run.dtype)

        def draw(params: Params, key: Key, n: int) -> Tensor:
            if self.draw_steps is None:
                return model.sample(params, key, n, dtype)
            return model.implicit(params, key, n, self.draw_steps, dtype=dtype)

        def terms(params: Params, points: Points, key: Key) -> list[Finding]:
            def of(x: Tensor, key: Key) -> Rows:
                bound = model.bound(params, x, key)
                return bound.elbo, bound.reconstruction, bound.transitions.sum(-1), bound.prior

            x = points.test[:BOUNDED]
            each = over_data(of, x, keys.fold_in(key, 1), max(1, ROWS // self.noise_steps))
            found = dict(zip(TERMS, each, strict=True))
            in_nats = means("bound", found, "nats")
            if shades is None and isinstance(field, Mixed):
                return [in_nats, means("energy", {"log p by the energy": of_energy(field, params, x)}, "nats")]
            return [in_nats] if shades is None else [in_nats, bits(found["ELBO"], points.train, x, shades)]

        title = f"diffusion of {self.noise_steps} {self.levels} levels on {self.points.data}, {steps} steps"
        return TransportProgram(
            model=model, batches=batches, optimiser=self.optimiser, title=title, draw=draw, findings=terms
        )


def of_energy(field: Mixed, params: Params, x: Tensor) -> Tensor:
    """log p (n,) of points of the plane at the first level of noise, which is next to none, with the normaliser."""
    kept, gradient = field.levels.kept()[0].item(), cast(Gradient, field.field)

    def energy(x: Tensor) -> Tensor:
        learned = gradient.energy(params, x, x.new_full((len(x),), 1 / field.levels.steps))
        return 0.5 * x.square().sum(-1) + learned / math.sqrt(1 - kept)

    return log_density(energy, math.sqrt(kept) * x) + 0.5 * x.shape[1] * math.log(kept)


def bits(elbo: Tensor, train: Tensor, x: Tensor, shades: int) -> Finding:
    """Of a pixel, beside those of independent pixels."""
    grey = DiscretisedLogisticLikelihood(shades).independent((train + 1) / 2)
    found = {"bits/dim are at most": elbo, "bits/dim of independent pixels": grey.log_prob((x + 1) / 2)}
    return means("bits", {name: -nats / x.shape[1] / math.log(2) for name, nats in found.items()}, "bits")
