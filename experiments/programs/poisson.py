"""The Poisson variational autoencoder on images or white patches, as the command line has it."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro
from torch.nn import functional as F

from jensen.core.models.latent import poisson
from jensen.core.models.latent.likelihoods import LIKELIHOODS
from jensen.core.models.latent.poisson import PoissonVAE
from jensen.experiments.data.images import ImageData, Images
from jensen.experiments.programs.counting import CountProgram, Path
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.images import Flat, ImageSettings
from jensen.experiments.programs.latent import LatentProgram
from jensen.experiments.programs.likelihoods import CAUTIONS, check_likelihood, likelihood_of
from jensen.experiments.run.config import FREE
from jensen.experiments.run.errors import InputError, option
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import HUGE, Run


@dataclass(frozen=True)
class Poisson(ImageSettings):
    """Train a Poisson variational autoencoder, of linear networks a sparse coder, and report its bound and rates."""

    images: Flat[ImageData] = ImageData(data="patches")
    likelihood: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(LIKELIHOODS) + "}")] = "gaussian"
    """p(x | z); a gaussian one with a linear decoder has its expectation without samples."""
    latent: int = 144
    """Units, each a count."""
    encoder: tuple[int, ...] = ()
    """Widths of the encoder's hidden layers; none makes the logarithms of rates linear in x."""
    decoder: tuple[int, ...] = ()
    """Widths of the decoder's; none makes it a dictionary."""
    activation: Literal["relu", "sigmoid", "tanh", "leaky_relu", "gelu"] = "tanh"
    """Between hidden layers."""
    path: Path = "exact"
    """Of the gradient of E log p(x | z): exact, without samples, for a linear decoder under a gaussian likelihood;
    relaxed, through counts of arrivals softened by --relaxation, biased; score, of any decoder and bound, unbiased,
    for --no-compile."""
    relaxation: float = 0.1
    """The temperature of relaxed counts."""
    arrivals: int = 20
    """The most that a relaxed count can be."""
    estimation: Flat[Estimation] = Estimation()
    optimiser: Flat[Optimiser] = Optimiser(lr=3e-3)
    run: Flat[Run] = Run(epochs=25)
    evidence_k: int = field(default=100, metadata=FREE)
    """Importance samples per test datum for the NLL; drawing counts is slow."""

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        check_likelihood(self.likelihood, self.images)
        widths = (("--encoder", size) for size in self.encoder), (("--decoder", size) for size in self.decoder)
        self.check_positive(*widths[0], *widths[1], ("--latent", self.latent))
        if not 0 < self.relaxation < math.inf or not 1 <= self.arrivals < HUGE:
            raise InputError(
                f"expected a positive --relaxation and --arrivals, got {self.relaxation} and {self.arrivals}"
            )
        if self.path != "relaxed" and (self.relaxation, self.arrivals) != (Poisson.relaxation, Poisson.arrivals):
            raise InputError("--relaxation and --arrivals are for --path relaxed: add it, or leave them out")
        if self.path == "exact" and (self.decoder or self.likelihood != "gaussian"):
            raise InputError(
                "--path exact is for a linear decoder under a gaussian likelihood: leave out --decoder and "
                "--likelihood, or choose --path score or relaxed"
            )
        if self.path == "score" and self.run.compile:
            raise InputError(
                "--path score draws each count by 44 halvings when compiled, for minutes: add --no-compile"
            )
        others = {"exact": ("bound", "baseline", "k"), "relaxed": ("bound", "baseline"), "score": ()}[self.path]
        for name in ("estimator", *others):
            asked = getattr(self.estimation, name)
            if asked != getattr(Estimation, name):
                raise InputError(f"--path {self.path} has no {option(name)} {asked}: leave it out")
        if self.estimation.weighs_terms and not self.estimation.objective.startswith("beta("):
            raise InputError(f"expected --objective elbo or beta(weight), got {self.estimation.objective}")

    def words(self) -> str:
        kinds = ("linear" if not widths else "mlp" for widths in (self.encoder, self.decoder))
        return f"{self.likelihood} likelihood, {' encoder and '.join(kinds)} decoder"

    def gradients(self, name: str) -> str:
        found = {
            "exact": "gradients of the exact ELBO",
            "relaxed": f"gradients through at most {self.arrivals} arrivals, relaxed by {self.relaxation:g}",
        }
        return found.get(self.path) or super().gradients(name)

    def caution(self) -> str:
        return CAUTIONS.get(self.likelihood, "")

    def model(self, images: Images) -> PoissonVAE:
        activation, likelihood = getattr(F, self.activation), likelihood_of(self.likelihood, images)
        size = math.prod(images.shape)
        return poisson.build(size, self.latent, self.encoder, self.decoder, activation, likelihood)

    def program(self, plain: LatentProgram) -> LatentProgram:
        """Evaluated eagerly: counts are then drawn by as few halvings as these rates need."""
        own = {"path": self.path, "arrivals": self.arrivals, "temperature": self.relaxation}
        return CountProgram(**{**vars(plain), "compile": False}, **own)
