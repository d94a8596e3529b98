"""The classifier of images, as the command line has it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jensen.core import keys, trees
from jensen.core.models import classifier
from jensen.core.trees import Tree
from jensen.experiments.data import labelled, mnist
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import on_device, split
from jensen.experiments.data.labelled import Labelled
from jensen.experiments.programs.classification import ClassifierProgram
from jensen.experiments.programs.images import Flat
from jensen.experiments.run.config import FREE
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Prepared
from jensen.experiments.run.settings import Run


@dataclass(frozen=True)
class Classifier:
    """Train a classifier of grey images, and report its accuracy on test images."""

    data: Literal["digits", "mnist"] = "digits"
    """digits ships with scikit-learn (1,797 images of 8 x 8); mnist is downloaded, or read from --data-dir."""
    data_dir: Path | None = field(default=None, metadata=FREE)
    """Folder of the four MNIST idx files, plain or .gz."""
    labels: int | None = None
    """How many random training images of each class; all unless given."""
    channels: tuple[int, ...] = (16, 32)
    """Of convolutions of kernel 3, each with max pooling that halves the sides; none leaves a perceptron."""
    hidden: tuple[int, ...] = (64,)
    """Widths of the perceptron's hidden layers."""
    optimiser: Flat[Optimiser] = Optimiser(lr=3e-3)
    run: Flat[Run] = Run(epochs=20)

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        self.run.check()
        self.optimiser.check()
        for name in ("channels", "hidden"):
            if any(size < 1 for size in getattr(self, name)):
                raise InputError(f"expected --{name} of at least 1, got {getattr(self, name)}: leave it out")
        if self.data == "digits" and self.data_dir is not None:
            raise InputError("--data-dir holds MNIST's files and digits needs none: use --data mnist, or drop it")

    def read(self) -> Labelled:
        """The images as they are stored."""
        if self.data == "digits":
            return labelled.digits()
        if self.data_dir is not None and not self.data_dir.is_dir():
            raise InputError(f"--data-dir {self.data_dir} is no folder")
        return mnist.openml() if self.data_dir is None else mnist.files(self.data_dir)

    def prepare(self) -> Prepared[ClassifierProgram, Tree, Tree]:
        """Loads the data and builds the program. InputError for what does not go together."""
        train, test, shape = self.read()
        if self.labels is not None:
            train = labelled.few(keys.fold_in(keys.key(self.run.seed), 2), train, self.labels)
        train, test = (trees.map(lambda leaf: on_device(leaf, self.run), data) for data in (train, test))
        size = len(split(train["x"], self.run, "grey")[0])
        held_out = trees.map(lambda leaf: leaf[size:], train) if size < len(train["x"]) else test
        train = trees.map(lambda leaf: leaf[:size], train)
        try:
            model = classifier.conv(shape, self.channels, self.hidden, classes=10)
        except ValueError as error:
            raise InputError(f"--channels {' '.join(map(str, self.channels))} on images {shape}: {error}") from error
        batches = Epochs(size, self.run.batch, self.run.keep_last)
        title = f"classifier on {self.data}, {self.run.total(batches.steps)} steps on {size} labels"
        program = ClassifierProgram(model=model, batches=batches, optimiser=self.optimiser, title=title)
        return Prepared(program, train, held_out, test)
