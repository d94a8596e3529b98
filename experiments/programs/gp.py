"""The VAE with a Gaussian-process prior on films of an oscillating ball, as the command line has it."""

from dataclasses import dataclass

from jensen.core.models.latent import gp
from jensen.core.models.latent.series import Series, SeriesModel
from jensen.experiments.data.irregular import Asked
from jensen.experiments.data.oscillations import OscillationData
from jensen.experiments.programs.images import Flat
from jensen.experiments.programs.series import SeriesSettings
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run


@dataclass(frozen=True)
class Gp(SeriesSettings):
    """Train a VAE with a Gaussian-process prior on irregular films, and report how it fills their gaps."""

    oscillations: Flat[OscillationData] = OscillationData(pixels=16)
    latent: int = 2
    """Latent processes."""
    inducing: int = 20
    """Inducing points, which start evenly over the duration."""
    length: float = 0.5
    """Of the kernels, when training starts."""
    encoder: tuple[int, ...] = (64,)
    """Widths of the encoder's hidden layers, for each frame."""
    decoder: tuple[int, ...] = (64,)
    """Widths of the decoder's hidden layers."""
    jitter: float = 1e-4
    """Variance of the inducing values' noise, by which their kernel is regular; kernels are 1 on the diagonal."""
    k: int = 1
    """Samples of the posterior for each series and step."""
    kl_warmup: int = 240
    """Steps over which the KL's weight rises linearly from 0 to 1."""
    optimiser: Flat[Optimiser] = Optimiser(lr=5e-3)
    run: Flat[Run] = Run(epochs=40, clip=5.0, compile=False)

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        self.oscillations.check()
        widths = ((f"--{name}", size) for name in ("encoder", "decoder") for size in getattr(self, name))
        self.check_positive(*widths, ("--latent", self.latent), ("--inducing", self.inducing - 1))
        if self.run.dtype == "bfloat16":
            raise InputError("a kernel is singular in bfloat16: leave out --dtype, or use --dtype float64")
        if not self.length > 0:
            raise InputError(f"expected a positive --length, got {self.length}")
        if not 1e-6 * self.inducing <= self.jitter < 1:
            raise InputError(
                f"expected --jitter from {1e-6 * self.inducing:.1g}, which rounding needs for {self.inducing} inducing "
                f"points, to 1, got {self.jitter}"
            )

    def load(self) -> tuple[Series, Asked]:
        return self.oscillations.load(self.run.seed)

    def model(self, train: Series) -> SeriesModel:
        return gp.build(
            train.values.shape[-1], self.latent, self.oscillations.duration, self.inducing, self.length, self.encoder,
            self.decoder, self.jitter,
        )  # fmt: skip

    def words(self) -> str:
        what = f"films of {self.oscillations.pixels} pixels" if self.oscillations.pixels else "oscillations"
        return f"Gaussian-process VAE of {self.latent} processes and {self.inducing} inducing points on {what}"
