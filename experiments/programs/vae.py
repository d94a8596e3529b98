"""The variational autoencoder on images, as the command line has it."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro
from torch.nn import functional as F

from jensen.core.models.latent import posteriors, priors, vae
from jensen.core.models.latent.likelihoods import LIKELIHOODS
from jensen.core.models.latent.vae import VAE
from jensen.core.objectives import Committed
from jensen.experiments.data.images import ImageData, Images, split
from jensen.experiments.programs.adapted import ImageModel
from jensen.experiments.programs.estimation import Estimation, spelled
from jensen.experiments.programs.images import Flat, ImageSettings
from jensen.experiments.programs.lagged import LaggedProgram
from jensen.experiments.programs.latent import LatentProgram
from jensen.experiments.programs.likelihoods import CAUTIONS, check_likelihood, likelihood_of
from jensen.experiments.programs.refinement import Refined, Refinement
from jensen.experiments.programs.spectral import Spectral
from jensen.experiments.run.config import FREE
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run


@dataclass(frozen=True)
class Vae(ImageSettings):
    """Train a variational autoencoder on images, and report its bound, evidence and posterior on test images."""

    images: Flat[ImageData] = ImageData()
    likelihood: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(LIKELIHOODS) + "}")] = "bernoulli"
    """p(x | z); soft-bernoulli is the cross-entropy to grey pixels, which is no density."""
    network: Literal["mlp", "conv"] = "mlp"
    """Encoder and decoder."""
    hidden: tuple[int, ...] = (200, 200)
    """Widths of the mlp's hidden layers."""
    channels: tuple[int, ...] = (32, 64)
    """Channels of the conv network's levels, each of which halves the image."""
    activation: Literal["relu", "sigmoid", "tanh", "leaky_relu", "gelu"] = "tanh"
    """Between layers."""
    latent: int = 16
    """Latent dimensions."""
    posterior: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(posteriors.POSTERIORS) + "}")] = "diag"
    """The family of q(z | x), with its sizes where others are wanted, as in "low-rank(5)" or "iaf(8)". The density of
    iaf at given z, which annealing in evaluate takes, costs a pass of its networks for every dimension: it is slow."""
    prior: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(priors.PRIORS) + "}")] = "normal"
    """p(z), with its size where another is wanted: normal is N(0, I), "mixture(10)" a learned mixture of normals, and
    "vamp(50)" one of the encoder's posteriors at learned pseudo-inputs."""
    refinement: Flat[Refinement] = Refinement()
    spectral_norm: float | None = None
    """The most that a weight of the networks may stretch by, its largest singular value; free unless given."""
    inner_steps: int = 0
    """Steps of the encoder alone before each step of all else, so that it does not lag behind (He et al., 2019)."""
    estimation: Flat[Estimation] = Estimation()
    optimiser: Flat[Optimiser] = Optimiser()
    run: Flat[Run] = Run()
    evidence_k: int = field(default=1000, metadata=FREE)
    """Importance samples per test datum for the NLL."""

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        self.refinement.check()
        check_likelihood(self.likelihood, self.images)
        hidden, channels = (
            (("--hidden", size) for size in self.hidden),
            (("--channels", size) for size in self.channels),
        )
        self.check_positive(*hidden, *channels, ("--latent", self.latent))
        if self.spectral_norm is not None and not 0 < self.spectral_norm < math.inf:
            raise InputError(f"expected a positive --spectral-norm, got {self.spectral_norm}")
        if not 0 <= self.inner_steps < 2**31:
            raise InputError(f"expected --inner-steps of at least 0, got {self.inner_steps}")
        spelled(posteriors.parse, "posterior", self.posterior)
        spelled(priors.parse, "prior", self.prior)
        if self.prior != Vae.prior and isinstance(self.estimation.the_objective, Committed):
            raise InputError(
                f"--objective {self.estimation.objective} commits to a KL from N(0, I), and --prior {self.prior} is "
                "another: leave one of them out"
            )
        if self.network == "conv" and self.hidden != Vae.hidden:
            raise InputError("the conv network has no --hidden: leave it out, or use --network mlp")
        if self.network == "mlp" and self.channels != Vae.channels:
            raise InputError("the mlp has no --channels: leave it out, or use --network conv")

    def words(self) -> str:
        parts = {
            f"{self.likelihood} likelihood": True,
            f"{self.posterior} posterior": self.posterior != Vae.posterior,
            f"{self.prior} prior": self.prior != Vae.prior,
            self.refinement.words: self.refinement.words,
            f"spectral norms of at most {self.spectral_norm}": self.spectral_norm is not None,
            f"{self.inner_steps} inner steps of the encoder": self.inner_steps,
        }
        return ", ".join(part for part, differs in parts.items() if differs)

    def caution(self) -> str:
        return CAUTIONS.get(self.likelihood, "")

    def program(self, plain: LatentProgram) -> LatentProgram:
        """The plain one, or where the encoder takes steps of its own, that."""
        return LaggedProgram(**vars(plain), inner=self.inner_steps) if self.inner_steps else plain

    def model(self, images: Images) -> ImageModel:
        """InputError for images that the network does not fit."""
        plain = self.plain(images)
        bounded = plain if self.spectral_norm is None else Spectral(plain, self.spectral_norm)
        return Refined(bounded, self.refinement) if self.refinement.refine_steps else bounded

    def plain(self, images: Images) -> VAE:
        """The model whose q is the encoder's."""
        activation, likelihood = getattr(F, self.activation), likelihood_of(self.likelihood, images)
        prior, size = priors.parse(self.prior), len(split(images.train, self.run, "grey")[0])
        if isinstance(prior, priors.MixtureOfPosteriors) and prior.inputs > size:
            raise InputError(f"--prior {self.prior} exceeds the {size} training data: ask for at most that many")
        parts = activation, likelihood, posteriors.parse(self.posterior), prior
        if self.network == "mlp":
            return vae.mlp(math.prod(images.shape), self.hidden, self.latent, *parts)
        try:
            return vae.conv(images.shape, self.channels, self.latent, *parts)
        except ValueError as error:
            raise InputError(f"--channels {self.channels}: {error}") from error
