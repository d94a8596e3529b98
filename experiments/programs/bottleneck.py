"""The variational information bottleneck on labelled images, as the command line has it."""

import math
from dataclasses import dataclass
from typing import Literal

from torch.nn import functional as F

from jensen.core import trees
from jensen.core.models import classifier
from jensen.core.models.latent import bottleneck
from jensen.core.trees import Tree
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import ImageData, split
from jensen.experiments.programs.compression import BottleneckProgram
from jensen.experiments.programs.images import Flat
from jensen.experiments.programs.labelled import CLASSES, LabelledSettings
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Prepared
from jensen.experiments.run.settings import HUGE, Run


@dataclass(frozen=True)
class Bottleneck(LabelledSettings):
    """Train an information bottleneck on labelled images, and report its bounds on I(Z;Y) and I(X;Z)."""

    images: Flat[ImageData] = ImageData(pixels="grey")
    beta: float = 0.01
    """What a nat of I(X;Z) costs in nats of I(Z;Y)."""
    latent: int = 8
    """Latent dimensions."""
    hidden: tuple[int, ...] = (128,)
    """Widths of the encoder's hidden layers."""
    classifier: tuple[int, ...] = ()
    """Widths of the hidden layers of the classifier of latents; none makes it linear."""
    activation: Literal["relu", "sigmoid", "tanh", "leaky_relu", "gelu"] = "relu"
    """Between hidden layers."""
    k: int = 1
    """Samples per datum and step."""
    optimiser: Flat[Optimiser] = Optimiser()
    run: Flat[Run] = Run(epochs=100, log_every=14, compile=False)  # rows by epoch of digits, whose steps are short

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        if self.images.treatment != "grey":
            raise InputError(f"the bottleneck takes images as they are: leave out --pixels {self.images.pixels}")
        if not 0 <= self.beta < math.inf:
            raise InputError(f"expected a non-negative --beta, got {self.beta}")
        widths = (("--hidden", size) for size in self.hidden), (("--classifier", size) for size in self.classifier)
        self.check_positive(*widths[0], *widths[1], ("--latent", self.latent), ("--k", self.k))
        if self.k >= HUGE:
            raise InputError(f"expected --k below 2^31, got {self.k}")

    def prepare(self) -> Prepared[BottleneckProgram, Tree, dict[str, Tree]]:
        """Loads the data and builds the program. InputError for what does not go together."""
        train, test, shape = self.read()
        size = len(split(train["x"], self.run, "grey")[0])
        held_out = trees.map(lambda leaf: leaf[size:], train) if size < len(train["x"]) else test
        train = trees.map(lambda leaf: leaf[:size], train)
        activation = getattr(F, self.activation)
        top = classifier.mlp(self.latent, self.classifier, CLASSES, activation)
        model = bottleneck.build(math.prod(shape), self.hidden, top, activation)
        batches = Epochs(size, self.run.batch, self.run.keep_last)
        steps = self.run.total(batches.steps)
        title = f"bottleneck on {self.images.data}, {self.latent} dimensions, beta {self.beta:g}, {steps} steps"
        program = BottleneckProgram(
            model=model, batches=batches, beta=self.beta, k=self.k, optimiser=self.optimiser, title=title
        )
        return Prepared(program, train, held_out, {"train": train, "test": test})
