"""What every kind of model of series shares: its settings' checks, its data and its program."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jensen.core import trees
from jensen.core.models.latent.series import Series, SeriesModel
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import on_device
from jensen.experiments.data.irregular import Asked
from jensen.experiments.programs.sequential import SeriesProgram
from jensen.experiments.programs.sized import Sized
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Prepared
from jensen.experiments.run.settings import Run


@dataclass(frozen=True)
class SeriesSettings(Sized, ABC):
    """The part that kinds share; each has these fields in an order of its own."""

    if TYPE_CHECKING:
        optimiser: Optimiser
        run: Run
        k: int
        kl_warmup: int

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        self.run.check()
        self.optimiser.check()
        self.check_positive(("--k", self.k))
        if self.kl_warmup < 0:
            raise InputError(f"expected --kl-warmup of at least 0, got {self.kl_warmup}")

    @abstractmethod
    def load(self) -> tuple[Series, Asked]:
        """Training series, and test series with what is asked of them."""

    @abstractmethod
    def model(self, train: Series) -> SeriesModel:
        """Of series with as many channels as these."""

    @abstractmethod
    def words(self) -> str:
        """What the report's title says of the model and the data."""

    @property
    def time(self) -> str:
        """The name of the figure's axis."""
        return "time"

    def prepare(self) -> Prepared[SeriesProgram, Series, Asked]:
        """Loads the data and builds the program. InputError for what does not go together."""
        train, asked = (trees.map(lambda t: on_device(t, self.run), data) for data in self.load())
        size = len(train.times)
        kept = size - int(self.run.share_held_out * size)
        if kept < self.run.batch:
            raise InputError(f"--batch {self.run.batch} exceeds the {kept} training series: pass at most that many")
        held_out = trees.map(lambda t: t[kept:], train) if kept < size else asked.series
        train = trees.map(lambda t: t[:kept], train)
        batches = Epochs(kept, self.run.batch, self.run.keep_last)
        total = self.run.total(batches.steps)
        program = SeriesProgram(
            model=self.model(train), batches=batches, optimiser=self.optimiser, k=self.k,
            warmup=self.kl_warmup, title=f"{self.words()}, {total} steps on {kept} series",
            time=self.time,
        )  # fmt: skip
        return Prepared(program, train, held_out, asked)
