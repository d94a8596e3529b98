"""What every kind of latent-variable model of images shares: its settings' checks, its data and its program."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeVar

import torch
import tyro
from torch import Tensor

from jensen.core import keys
from jensen.estimators.gradients import catalogue
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import ImageData, Images, split
from jensen.experiments.programs.adapted import ImageModel
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.latent import LatentProgram
from jensen.experiments.programs.sized import Sized
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Prepared
from jensen.experiments.run.settings import Run

T = TypeVar("T")
Flat = Annotated[T, tyro.conf.arg(name="")]  # --lr, not --optimiser.lr


@dataclass(frozen=True)
class ImageSettings(Sized, ABC):
    """The part that kinds share; each has these fields in an order of its own."""

    if TYPE_CHECKING:
        images: ImageData
        estimation: Estimation
        optimiser: Optimiser
        run: Run
        evidence_k: int

    def check(self) -> None:
        for part in (self.run, self.optimiser, self.images, self.estimation):
            part.check()
        if not 2 <= self.evidence_k < 2**31:
            raise InputError(f"expected --evidence-k of at least 2, got {self.evidence_k}")

    @abstractmethod
    def model(self, images: Images) -> ImageModel:
        """InputError for images that it does not fit."""

    def prepare(self) -> Prepared[LatentProgram, Tensor, Images]:
        """Loads the data and builds the program. InputError for what does not go together."""
        images = self.images.load(self.run)
        train, held_out = split(images.train, self.run, self.images.treatment)
        model, batches = self.model(images), Epochs(len(train), self.run.batch, self.run.keep_last)
        params = model.init(keys.key(0, train.device), train)
        name = self.estimation.chosen(model.posterior(params, self.example(train)))
        total = self.run.total(batches.steps)
        plain = LatentProgram(
            model=model, estimation=self.estimation, name=name, dynamic=self.images.treatment == "dynamic",
            batches=batches, optimiser=self.optimiser, total=total, evidence_k=self.evidence_k,
            compile=self.run.compile, title=self.title(images, total, name),
        )  # fmt: skip
        program = self.program(plain)
        self.attempt(program, train)
        return Prepared(program, train, images.test if held_out is None else held_out, images)

    def program(self, plain: LatentProgram) -> LatentProgram:
        """What is trained, of the program that kinds share."""
        return plain

    def attempt(self, program: LatentProgram, train: Tensor) -> None:
        """InputError where a bound, an objective or an estimator cannot take what it would get."""
        key = keys.key(0, train.device)
        params, state = program.init(key, train)
        x = self.example(train)
        weights = {name: torch.tensor(f(0)) for name, f in program.schedules.items()}
        try:
            program.loss(params, state, {"datum": torch.arange(len(x)), "data": x}, key, weights)
        except (TypeError, ValueError) as error:
            option = "--objective" if self.estimation.weighs_terms else "--bound"
            asked = self.estimation.objective if self.estimation.weighs_terms else self.estimation.bound
            raise InputError(f"{option} {asked} at --k {self.estimation.k}: {error}") from error

    def title(self, images: Images, steps: int, name: str) -> str:
        """What was trained on what, by which gradients, and what the numbers are not: a line each, where there is one.

        name: of the estimator, in the catalogue.
        """
        n, pixels = images.test.shape
        kind, treatment = type(self).__name__.lower(), self.images.treatment
        of = f"{kind} on {self.images.data}: {n} test images of {pixels} {treatment} pixels"
        what = ", ".join(filter(None, (of, self.words(), f"{steps} steps", self.estimation.words)))
        return "\n".join(filter(None, (what, self.gradients(name), self.caution()))) + "\n"

    def gradients(self, name: str) -> str:
        """Which they are, where they are not the ELBO's with its KL in closed form."""
        if name == "analytic_kl":
            return ""
        baseline = f" with baseline {self.estimation.the_baseline}" if catalogue.ROWS[name].baseline else ""
        of = f"of {self.estimation.bound} at k = {self.estimation.k}"
        return f"gradients by {name.replace('_', '-')}{baseline}, {of}"

    def words(self) -> str:
        """What else the report's title says of the model."""
        return ""

    def caution(self) -> str:
        """What the report's numbers are not."""
        return ""

    def example(self, train: Tensor) -> Tensor:
        """Two data as the loss gets them."""
        return train[:2].round() if self.images.treatment == "dynamic" else train[:2]
