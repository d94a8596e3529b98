"""FactorVAE on images, as the command line has it."""

import math
from dataclasses import dataclass

from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.factorisation import FactorProgram
from jensen.experiments.programs.latent import LatentProgram
from jensen.experiments.programs.vae import Vae
from jensen.experiments.run.errors import InputError


@dataclass(frozen=True)
class Factor(Vae):
    """Train a FactorVAE on images, a VAE that is charged for the total correlation of its latents (Kim and Mnih)."""

    beta: float = 1.0
    """The weight of the KL and of the total correlation."""
    gamma: float = 6.0
    """How often the total correlation is charged, beside its part in the KL."""
    discriminator: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers of the network that estimates the total correlation."""
    discriminator_lr: float = 1e-3
    """Its peak learning rate."""

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        if self.inner_steps:
            raise InputError(f"--inner-steps {self.inner_steps} is for a vae: leave it out")
        for name in ("beta", "gamma"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"expected a non-negative --{name}, got {getattr(self, name)}")
        if not 0 < self.discriminator_lr < math.inf:
            raise InputError(f"expected a positive --discriminator-lr, got {self.discriminator_lr}")
        self.check_positive(*(("--discriminator", size) for size in self.discriminator))
        for name in ("bound", "objective", "estimator"):
            asked = getattr(self.estimation, name)
            if asked != getattr(Estimation, name):
                raise InputError(
                    f"--{name} {asked}: a factor maximises the ELBO less --gamma times the total correlation, by the "
                    "samples' paths: leave it out, or train a vae"
                )

    def words(self) -> str:
        weight = "" if self.beta == Factor.beta else f", KL weight {self.beta:g}"
        return f"{super().words()}{weight}, gamma {self.gamma:g}"

    def program(self, plain: LatentProgram) -> FactorProgram:
        """The plain one's, with a discriminator."""
        discriminator = self.optimiser.at(self.discriminator_lr)
        own = {"beta": self.beta, "gamma": self.gamma, "widths": self.discriminator, "discriminator": discriminator}
        return FactorProgram(**vars(plain), **own)
