"""What kinds of models of labelled images share: which images, and which of their labels are used."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from jensen.core import trees
from jensen.experiments.data import labelled, mnist
from jensen.experiments.data.images import ImageData, on_device
from jensen.experiments.data.labelled import Labelled
from jensen.experiments.programs.sized import Sized
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run

CLASSES = 10  # of digits and of MNIST


@dataclass(frozen=True)
class LabelledSettings(Sized):
    """The part that kinds share; each has these fields in an order of its own."""

    if TYPE_CHECKING:
        images: ImageData
        optimiser: Optimiser
        run: Run

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        for part in (self.run, self.optimiser, self.images):
            part.check()
        check_labelled(self.images)
        if self.images.treatment == "static":
            raise InputError("--pixels static is for models without labels: use dynamic or grey")

    def read(self) -> Labelled:
        """Grey images with their labels on the run's device. InputError as for `ImageData.load`."""
        data = labelled_images(self.images)
        train, test = (trees.map(lambda leaf: on_device(leaf, self.run), part) for part in (data.train, data.test))
        return Labelled(train, test, data.shape)


def check_labelled(images: ImageData) -> None:
    """InputError for images whose training part has no labels."""
    if images.data not in ("digits", "mnist"):
        raise InputError(f"--data {images.data} has no training labels: use digits or mnist")


def labels_of(images: ImageData, run: Run) -> tuple[Tensor, Tensor]:
    """Of training and test images in the order of `ImageData.load`, on the run's device. InputError for others."""
    check_labelled(images)
    data = labelled_images(images)
    return on_device(data.train["labels"], run), on_device(data.test["labels"], run)


def labelled_images(images: ImageData) -> Labelled:
    """Digits or MNIST, as they are stored. InputError when files are missing or damaged, or nothing is downloaded."""
    if images.data_dir is not None and not images.data_dir.is_dir():
        raise InputError(f"--data-dir {images.data_dir} is no folder")
    if images.data == "digits":
        return labelled.digits()
    return mnist.openml() if images.data_dir is None else mnist.files(images.data_dir)
