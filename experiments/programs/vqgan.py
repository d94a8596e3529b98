"""The autoencoder of codes against a critic of patches, as the command line has it."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from jensen.core import trees
from jensen.core.models.adversarial.patches import Patches
from jensen.core.models.classifier import Classifier
from jensen.core.models.quantised import Autoencoder
from jensen.core.models.quantised.vqgan import VqGan as Model
from jensen.core.trees import Params
from jensen.experiments.programs.adversarial_codes import AdversarialCodesProgram, Perceived
from jensen.experiments.programs.images import Flat
from jensen.experiments.programs.sized import Sized
from jensen.experiments.programs.vq import Vq
from jensen.experiments.report.images import Images
from jensen.experiments.run.config import FREE
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Prepared
from jensen.experiments.run.settings import Run


@dataclass(frozen=True)
class VqGan(Vq, Sized):
    """Train an autoencoder of discrete codes on images against a critic of patches, and report it as one of vq."""

    network: Literal["mlp", "conv", "two-maps"] = "conv"
    """Encoder and decoder, of one map."""
    classifier: Path | None = field(default=None, metadata=FREE)
    """Folder of a finished run of classifier on such images, whose features are compared; none are unless given."""
    perceptual: float = 10.0
    """The weight of that comparison, in nats for features at unit length."""
    patches: tuple[int, ...] = (32,)
    """Channels of the critic's levels, each of which halves the image and doubles the patches."""
    game_weight: float = 0.2
    """The critic's share in the gradient of the decoder's last layer, beside 1 of the data."""
    game_start: int = 500
    """The step, of either, from which the critic counts."""
    critic_lr: float = 1e-3
    """The critic's peak learning rate."""
    optimiser: Flat[Optimiser] = Optimiser(lr=2e-3, beta1=0.5)
    run: Flat[Run] = Run()

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        if self.network == "two-maps":
            raise InputError("a vqgan has one map of codes: use --network conv or mlp")
        self.check_positive(*(("--patches", size) for size in self.patches))
        if self.classifier is None and self.perceptual != VqGan.perceptual:
            raise InputError("--perceptual weighs features of a --classifier, and none is given: leave it out")
        if not 0 <= self.perceptual < float("inf"):
            raise InputError(f"expected a non-negative --perceptual, got {self.perceptual}")
        if not 0 <= self.game_weight < float("inf"):
            raise InputError(f"expected a non-negative --game-weight, got {self.game_weight}")
        if self.game_start < 0:
            raise InputError(f"expected --game-start of at least 0, got {self.game_start}")
        self.optimiser.at(self.critic_lr).check()

    def prepare(self) -> Prepared:
        """Loads the data and builds the program. InputError for what does not go together."""
        plain, train, held_out, images = super().prepare()
        critic, (classifier, params) = self.critic(images), self.compared(images)
        assert isinstance(plain.model, Autoencoder)
        features = None if classifier is None else partial(classifier.features, params)
        program = AdversarialCodesProgram(
            **vars(plain), gan=Model(plain.model, critic, features, self.perceptual), start=self.game_start,
            weight=self.game_weight, critic_optimiser=self.optimiser.at(self.critic_lr),
        )  # fmt: skip
        data = Perceived(images.train, images.test, images.test_labels, images.shape, params)
        return Prepared(program, train, held_out, data)

    def critic(self, images: Images) -> Patches:
        """InputError for images that its levels do not divide."""
        try:
            return Patches(images.shape, self.patches)
        except ValueError as error:
            raise InputError(f"--patches {' '.join(map(str, self.patches))}: {error}") from error

    def compared(self, images: Images) -> tuple[Classifier | None, Params]:
        """The classifier of the run that is named. InputError for a run of another kind, or of other images."""
        if self.classifier is None:
            return None, {}
        from jensen.experiments.programs.judge import read_judge  # which reads every kind, this one too

        judge, pixels = read_judge(self.classifier, self.run.device), images.test.shape[1]
        if judge.model.data != pixels:
            raise InputError(
                f"--classifier {self.classifier} is of images of {judge.model.data} pixels, and these have {pixels}: "
                f"train it on --data {self.images.data}"
            )
        return judge.model, trees.map(lambda t: t.to(images.test.dtype), judge.params)
