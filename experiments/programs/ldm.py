"""The diffusion in a trained model's latents, as the command line has it."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import LatentModel
from jensen.core.models.transport import diffusion, dit, guidance, latent_diffusion, mixed
from jensen.core.models.transport.dit import Dit
from jensen.core.models.transport.fields import Field
from jensen.core.models.transport.latent_diffusion import LatentDiffusion
from jensen.core.trees import Tree
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import placed, split
from jensen.experiments.programs.diffusion import LEVELS
from jensen.experiments.programs.images import Flat
from jensen.experiments.programs.labelled import CLASSES, labels_of
from jensen.experiments.programs.labelled_latent_diffusion import LabelledLatentDiffusionProgram
from jensen.experiments.programs.latent_diffusion import Encoded, LatentDiffusionProgram
from jensen.experiments.programs.sized import Sized
from jensen.experiments.run import checkpoints
from jensen.experiments.run.config import FREE
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Prepared
from jensen.experiments.run.settings import Run

if TYPE_CHECKING:
    from jensen.experiments.programs.finished import Finished


Program = TypeVar("Program", bound=LatentDiffusionProgram)


@dataclass(frozen=True)
class Ldm(Sized):
    """Train a diffusion transformer in the latents of a finished vae run, and report the ELBO with it as the prior.

    The ELBO stands beside that with the model's own prior; draws are images.
    """

    vae: Path | None = field(default=None, metadata=FREE)
    """Folder of the finished run of vae, or of another kind with real latents. A run that goes on may find it
    elsewhere, but not another in its place."""
    labels: bool = False
    """Give the diffusion each image's label, of which images can then be drawn."""
    drop: float = 0.1
    """The share of labels that each step leaves out, so that the diffusion is learned without them too."""
    guidance: float = field(default=0.0, metadata=FREE)
    """How far draws are pushed beyond those of a label, away from those of none; a run that goes on may change it."""
    levels: Literal["linear", "cosine"] = "linear"
    """How the noise grows."""
    noise_steps: int = 200
    """Steps from latents to noise."""
    tokens: int = 4
    """Views of the latents that the transformer reads."""
    width: int = 64
    """Features of a token."""
    layers: int = 2
    """Blocks."""
    heads: int = 4
    """Of attention."""
    optimiser: Flat[Optimiser] = Optimiser(lr=2e-3)
    run: Flat[Run] = Run(steps=2000, batch=64, average=0.995, lr_final=0.01)

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        self.run.check()
        self.optimiser.check()
        if self.vae is None:
            raise InputError(
                "expected --vae, the folder of a finished run of vae: train one with "
                "python -m jensen.experiments.train vae --out FOLDER, then pass --vae FOLDER"
            )
        if self.run.dtype == "bfloat16":
            raise InputError("bounds of latents need more digits than --dtype bfloat16 has: use float32 or float64")
        if not 0 <= self.drop < 1:
            raise InputError(f"expected --drop in [0, 1), got {self.drop}")
        if not 0 <= self.guidance < math.inf:
            raise InputError(f"expected --guidance of at least 0, got {self.guidance}")
        for name in ("drop", "guidance"):
            if not self.labels and getattr(self, name) != getattr(Ldm, name):
                raise InputError(f"--{name} is for diffusions given --labels: add that, or leave it out")
        if self.noise_steps < 2:
            raise InputError(f"expected --noise-steps of at least 2, got {self.noise_steps}")
        self.check_positive(*((f"--{name}", getattr(self, name)) for name in ("tokens", "width", "layers", "heads")))
        if self.width % self.heads:
            raise InputError(f"--heads {self.heads} does not divide --width {self.width}: choose another")

    def network(self, coordinates: int) -> Dit:
        return dit.vector(coordinates, self.tokens, self.width, self.layers, self.heads)

    def model(self, of: LatentModel, network: Field) -> LatentDiffusion:
        levels = LEVELS[self.levels](self.noise_steps)
        return latent_diffusion.build(of, diffusion.build(mixed.build(network, levels), levels))

    def prepare(self) -> Prepared[LatentDiffusionProgram, Tree, Encoded]:
        """Reads the run and builds the program. InputError for what does not go together."""
        from jensen.experiments.programs.finished import read_finished  # which reads every kind, this one too

        assert self.vae is not None
        done = read_finished(self.vae, self.run.device)
        images = placed(done.images, self.run)
        params = trees.map(lambda t: t.to(getattr(torch, self.run.dtype)), done.params)
        train, held_out = split(images.train, self.run, done.settings.images.treatment)
        held_out, data = images.test if held_out is None else held_out, Encoded(images, params)
        batches, latents = Epochs(len(train), self.run.batch, self.run.keep_last), _latents(done)
        steps = self.run.total(batches.steps)

        def program(kind: type[Program], network: Field, **own: Any) -> Program:
            model = self.model(done.model, network)
            return kind(
                model=model, params=params, dynamic=done.settings.images.treatment == "dynamic", batches=batches,
                optimiser=self.optimiser, title=self.title(done, model, steps),
                source=({"run": str(done.folder.absolute()), "digest": checkpoints.digest(params)},), **own,
            )  # fmt: skip

        if not self.labels:
            return Prepared(program(LatentDiffusionProgram, self.network(latents)), train, held_out, data)
        known, of_test = labels_of(done.settings.images, self.run)
        guided = guidance.build(self.network(latents + CLASSES), CLASSES)
        given = program(
            LabelledLatentDiffusionProgram, guided.of(), guided=guided, drop=self.drop, scale=self.guidance,
            levels=LEVELS[self.levels](self.noise_steps),
        )  # fmt: skip
        apart = of_test if held_out is images.test else known[len(train) :]
        return Prepared(given, {"x": train, "labels": known[: len(train)]}, {"x": held_out, "labels": apart}, data)

    def title(self, done: "Finished", model: LatentDiffusion, steps: int) -> str:
        """What was trained on what, and what the numbers are not: a line each, where there is one."""
        kind, data = type(done.settings).__name__.lower(), done.settings.images.data
        data += f" given labels, drawn with guidance {self.guidance:g}" if self.labels else ""
        of = f"diffusion of {self.noise_steps} {self.levels} levels in the {model.prior.field.data} latents of a {kind}"
        return "\n".join(filter(None, (f"{of} on {data}, {steps} steps", done.settings.caution()))) + "\n"


def _latents(done: "Finished") -> int:
    """How many real latents the model has. InputError where they are something else."""
    x = done.settings.example(done.images.train)
    q = done.model.posterior(done.params, x)
    z = q.sample(q.noise(keys.key(0, x.device), 1))
    if not (q.reparameterised and isinstance(z, Tensor) and z.ndim == 3):
        raise InputError(
            f"--vae {done.folder} holds a {type(done.settings).__name__.lower()}, whose latents are no real vectors: "
            "pass a run of vae"
        )
    return z.shape[-1]
