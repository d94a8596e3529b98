"""Semi-supervised models of images, as the command line has them."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import tyro
from torch.nn import functional as F

from jensen.core import keys, trees
from jensen.core.models import classifier
from jensen.core.models.latent import vae
from jensen.core.models.latent.likelihoods import GAUSSIAN, LIKELIHOODS
from jensen.core.models.latent.semi import M1, Stacked, m2
from jensen.core.trees import Tree
from jensen.estimators import gradients
from jensen.estimators.gradients import baselines
from jensen.experiments.data import labelled
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import ImageData, Images, split
from jensen.experiments.programs import semi_terms
from jensen.experiments.programs.images import Flat
from jensen.experiments.programs.labelled import CLASSES, LabelledSettings
from jensen.experiments.programs.likelihoods import CAUTIONS, check_likelihood, likelihood_of
from jensen.experiments.programs.semi_supervised import SemiProgram
from jensen.experiments.programs.semi_terms import How
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Prepared
from jensen.experiments.run.settings import Run


@dataclass(frozen=True)
class Semi(LabelledSettings):
    """Train a semi-supervised model on images of which few have labels, and report its accuracy on test images."""

    model: Literal["m1", "m2", "m1-m2"] = "m2"
    """m1: a classifier of a VAE's latents; m2: the class as a latent; m1-m2: m2 of m1's latents."""
    images: Flat[ImageData] = ImageData()
    labels: int = 10
    """How many random training images of each class keep their label."""
    likelihood: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(LIKELIHOODS) + "}")] = "bernoulli"
    """p(x | ...) of pixels."""
    classifier: tuple[int, ...] = (200,)
    """Widths of the classifier's hidden layers."""
    features: int = 32
    """Latents of the VAE of m1 and m1-m2."""
    feature_hidden: tuple[int, ...] = (300,)
    """Widths of its hidden layers."""
    latent: int = 3
    """Latents z of m2, beside the class: few, lest they say what the class is to say."""
    hidden: tuple[int, ...] = (200,)
    """Widths of m2's encoder, which its decoder has in reverse."""
    activation: Literal["relu", "sigmoid", "tanh", "leaky_relu", "gelu"] = "relu"
    """Between layers."""
    alpha: float = 1.0
    """Weight of the mean log probability of labels, beside mean bounds in nats per image."""
    delay: float = 0.25
    """The share of the steps in which labels alone train the classifier of m2 and m1-m2, and all images the rest."""
    warmup: float = 0.1
    """The share after that, over which the weight of the classifier's other gradient rises from 0 to 1."""
    unlabelled: Literal["exact", "score", "gumbel"] = "exact"
    """How the class of an image without a label is averaged over: all of its values; or samples, whose gradient is by
    score, with the mean of the others as baseline, or by a straight-through Gumbel-softmax, which is biased."""
    k: int = 1
    """Samples of each value, or in all; by score at least 2."""
    optimiser: Flat[Optimiser] = Optimiser(lr=2e-3)
    run: Flat[Run] = Run()

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        super().check()
        check_likelihood(self.likelihood, self.images)
        sizes = {"--features": (self.features,), "--latent": (self.latent,), "--hidden": self.hidden,
                 "--classifier": self.classifier, "--feature-hidden": self.feature_hidden}  # fmt: skip
        self.check_positive(*((option, size) for option, each in sizes.items() for size in each))
        if not self.hidden:
            raise InputError("--hidden needs the width of one layer or more, where data and class meet")
        if not 0 <= self.alpha < math.inf:
            raise InputError(f"expected a non-negative --alpha, got {self.alpha}")
        if min(self.delay, self.warmup) < 0 or not self.delay + self.warmup <= 1:
            given = f"--delay {self.delay:g} and --warmup {self.warmup:g}"
            raise InputError(f"{given}: expected shares of the steps, of at most 1 together")
        least = 2 if self.unlabelled == "score" else 1
        if self.k < least:
            raise InputError(f"expected --k of at least {least} for --unlabelled {self.unlabelled}, got {self.k}")

    def prepare(self) -> Prepared[SemiProgram, Tree, Images]:
        """Loads the data and builds the program. InputError for what does not go together."""
        train, test, shape = self.read()
        x, _ = split(train["x"], self.run, "grey")
        kept, rest = (trees.map(lambda t, part=part: t[part], train) for part in (slice(len(x)), slice(len(x), None)))
        few = labelled.few(keys.fold_in(keys.key(self.run.seed, x.device), 2), kept, self.labels)
        images = Images(x, test["x"], test["labels"], shape)
        batches, size = Epochs(len(x), self.run.batch, self.run.keep_last), len(few["labels"])
        (how, rows), total = self.how(), self.run.total(batches.steps)
        program = SemiProgram(
            model=self.built(images), alone=classifier.mlp(x.shape[1], self.classifier, CLASSES), batches=batches,
            few=Epochs(size * -(-self.run.batch // size), self.run.batch), share=size / len(x), alpha=self.alpha,
            how=how, rows=rows, dynamic=self.images.treatment == "dynamic", warmup=int(self.warmup * total),
            delay=int(self.delay * total), optimiser=self.optimiser, title=self.title(total, size, len(x)),
        )  # fmt: skip
        return Prepared(program, {"x": x, "few": few}, rest if len(rest["x"]) else test, images)

    def built(self, images: Images) -> semi_terms.Semi:
        """The model, of binary or grey pixels."""
        pixels, activation = images.train.shape[1], getattr(F, self.activation)
        likelihood = likelihood_of(self.likelihood, images)
        if self.model == "m2":
            of_pixels = classifier.mlp(pixels, self.classifier, CLASSES)
            return m2.build(of_pixels, self.hidden, self.latent, activation, likelihood)
        first = vae.mlp(pixels, self.feature_hidden, self.features, activation, likelihood)
        above = classifier.mlp(self.features, self.classifier, CLASSES)
        if self.model == "m1":
            return M1(first, above)
        return Stacked(first, m2.build(above, self.hidden, self.latent, activation, GAUSSIAN))

    def how(self) -> tuple[How, int]:
        """The estimators of M2's latents, and the rows of noise that they take."""
        if self.unlabelled == "exact":
            return {"y": gradients.exact, "z": gradients.pathwise}, CLASSES * self.k
        if self.unlabelled == "score":
            return {"y": partial(gradients.score, baseline=baselines.leave_one_out), "z": gradients.pathwise}, self.k
        return {"y": partial(gradients.gumbel_straight_through, temperature=0.5), "z": gradients.pathwise}, self.k

    def title(self, steps: int, labels: int, images: int) -> str:
        of = f"{self.model} on {self.images.data}, {steps} steps, {labels} labels of {images} images"
        how = "" if self.model == "m1" else f", classes by {self.unlabelled}"
        caution = CAUTIONS.get(self.likelihood, "")
        return f"{of}, alpha {self.alpha:g}{how}" + (caution and f"\n{caution}\n")
