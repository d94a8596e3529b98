"""The latent ordinary differential equation on oscillations, as the command line has it."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from jensen.core.models.latent import ode, posteriors
from jensen.core.models.latent.series import Series, SeriesModel
from jensen.experiments.data.irregular import Asked
from jensen.experiments.data.oscillations import OscillationData
from jensen.experiments.programs.estimation import spelled
from jensen.experiments.programs.images import Flat
from jensen.experiments.programs.series import SeriesSettings
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run


@dataclass(frozen=True)
class Ode(SeriesSettings):
    """Train a latent ODE on irregular series, and report how it fills their gaps and goes on from them.

    Steps of the solver are unrolled, which a compiler takes minutes over: --compile is off unless asked for.
    """

    oscillations: Flat[OscillationData] = OscillationData()
    latent: int = 6
    """Latent dimensions, whose equation is solved."""
    field: tuple[int, ...] = (64,)
    """Widths of the hidden layers of dz / dt; none makes the equation linear."""
    decoder: tuple[int, ...] = ()
    """Widths of the decoder's hidden layers."""
    encoder: tuple[int, ...] = (128, 128)
    """Widths of the encoder's, for each observation and, in reverse, for all of them."""
    posterior: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(posteriors.POSTERIORS) + "}")] = "diag"
    """The family of q(z(0) | x), with its sizes where others are wanted, as in "low-rank(5)"."""
    frequencies: int = 16
    """Of times in the encoder, up to half as many turns over the duration."""
    solver_steps: int = 16
    """Steps of Runge and Kutta's method over the duration."""
    k: int = 1
    """Samples of the posterior for each series and step."""
    kl_warmup: int = 240
    """Steps over which the KL's weight rises linearly from 0 to 1."""
    optimiser: Flat[Optimiser] = Optimiser(lr=1e-2)
    run: Flat[Run] = Run(epochs=40, clip=5.0, compile=False)

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        self.oscillations.check()
        spelled(posteriors.parse, "posterior", self.posterior)
        if not self.encoder:
            raise InputError("--encoder needs the width of a layer or more, as in --encoder 64")
        widths = ((f"--{name}", size) for name in ("field", "decoder", "encoder") for size in getattr(self, name))
        sizes = (("--frequencies", self.frequencies), ("--solver-steps", self.solver_steps), ("--latent", self.latent))
        self.check_positive(*widths, *sizes)

    def load(self) -> tuple[Series, Asked]:
        return self.oscillations.load(self.run.seed)

    def model(self, train: Series) -> SeriesModel:
        return ode.build(
            train.values.shape[-1], self.latent, self.oscillations.duration, self.solver_steps, self.field,
            self.decoder, self.encoder, self.frequencies, posteriors.parse(self.posterior),
        )  # fmt: skip

    def words(self) -> str:
        return f"latent ODE of {self.latent} dimensions on oscillations"
