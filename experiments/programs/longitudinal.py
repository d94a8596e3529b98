"""The longitudinal VAE on subjects in progression, as the command line has it."""

from dataclasses import dataclass

from jensen.core.models.latent import longitudinal
from jensen.core.models.latent.series import Series, SeriesModel
from jensen.experiments.data.irregular import Asked
from jensen.experiments.data.progression import ProgressionData
from jensen.experiments.programs.images import Flat
from jensen.experiments.programs.series import SeriesSettings
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run


@dataclass(frozen=True)
class Longitudinal(SeriesSettings):
    """Train a longitudinal VAE on subjects' visits, and report how it predicts those to come.

    Visits are unrolled, which a compiler takes minutes over: --compile is off unless asked for.
    """

    progression: Flat[ProgressionData] = ProgressionData()
    latent: int = 3
    """Latent dimensions of a visit."""
    flows: int = 2
    """Layers of the flow from one visit to the next; 0 leaves the step normal."""
    transition: tuple[int, ...] = (32,)
    """Widths of the hidden layers from one visit to the next; none makes them linear."""
    decoder: tuple[int, ...] = (32,)
    """Widths of the decoder's hidden layers."""
    encoder: tuple[int, ...] = (64, 64)
    """Widths of the encoder's, for each observation and, in reverse, for all of them."""
    k: int = 1
    """Samples of the posterior for each subject and step."""
    kl_warmup: int = 150
    """Steps over which the KL's weight rises linearly from 0 to 1."""
    optimiser: Flat[Optimiser] = Optimiser(lr=5e-3)
    run: Flat[Run] = Run(epochs=25, clip=5.0, compile=False)

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        self.progression.check()
        if not self.encoder:
            raise InputError("--encoder needs the width of a layer or more, as in --encoder 64")
        widths = ((f"--{name}", size) for name in ("transition", "decoder", "encoder") for size in getattr(self, name))
        self.check_positive(*widths, ("--latent", self.latent), ("--flows", self.flows + 1))

    def load(self) -> tuple[Series, Asked]:
        return self.progression.load(self.run.seed)

    def model(self, train: Series) -> SeriesModel:
        channels = train.values.shape[-1]
        return longitudinal.build(channels, self.latent, self.flows, self.transition, self.decoder, self.encoder)

    def words(self) -> str:
        return f"longitudinal VAE of {self.latent} dimensions and {self.flows} flows a visit on progressing subjects"

    @property
    def time(self) -> str:
        return "years"
