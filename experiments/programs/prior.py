"""The prior of a trained model's codes, as the command line has it."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from jensen.core.models.autoregressive import codes
from jensen.core.models.autoregressive.codes import CodePrior
from jensen.core.models.quantised import CodeMap
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import drawn_once, split
from jensen.experiments.programs.code_prior import Coded, CodePriorProgram
from jensen.experiments.programs.images import Flat
from jensen.experiments.programs.labelled import CLASSES, labels_of
from jensen.experiments.programs.likelihoods import CAUTIONS
from jensen.experiments.programs.sized import Sized
from jensen.experiments.programs.vq import Vq
from jensen.experiments.report.code_prior import Coder
from jensen.experiments.report.codes import all_codes
from jensen.experiments.run.config import FREE
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Prepared
from jensen.experiments.run.settings import Run


@dataclass(frozen=True)
class Prior(Sized):
    """Train a transformer on the codes of a finished run of vq, and report their bits on test images; draw images."""

    codes: Path | None = field(default=None, metadata=FREE)
    """Folder of the finished run of vq. A run that goes on may find it elsewhere, but not another in its place."""
    labels: bool = False
    """Model codes given the image's label, of which images can then be drawn."""
    width: int = 128
    """Features of a code."""
    layers: int = 4
    """Blocks."""
    heads: int = 4
    """Of attention."""
    dropout: float = 0.0
    """The share of features that each step drops."""
    optimiser: Flat[Optimiser] = Optimiser(kind="adamw", lr=2e-3, beta2=0.99, weight_decay=0.1)
    run: Flat[Run] = Run(steps=2000, lr_warmup=100, clip=1.0)

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        self.run.check()
        self.optimiser.check()
        if self.codes is None:
            raise InputError(
                "expected --codes, the folder of a finished run of vq: train one with "
                "python -m jensen.experiments.train vq --out FOLDER, then pass --codes FOLDER"
            )
        self.check_positive(("--width", self.width), ("--layers", self.layers), ("--heads", self.heads))
        if self.width % self.heads:
            raise InputError(f"--heads {self.heads} does not divide --width {self.width}: choose another")
        if not 0 <= self.dropout < 1:
            raise InputError(f"expected --dropout in [0, 1), got {self.dropout}")

    def model(self, maps: tuple[CodeMap, ...]) -> CodePrior:
        return codes.build(maps, self.width, self.layers, self.heads, self.dropout, CLASSES if self.labels else 0)

    def prepare(self) -> Prepared[CodePriorProgram, Tensor, Coded]:
        """Reads the run, codes its images, and builds the program. InputError for what does not go together."""
        from jensen.experiments.programs.finished import read_codes  # which reads every kind, this one too

        assert self.codes is not None
        done = read_codes(self.codes, self.run.device)
        coder, model = Coder(done.model, done.params, done.state), self.model(done.model.maps)
        shown = drawn_once(done.images.train, done.settings.images.treatment), done.images.test
        known = labels_of(done.settings.images, self.run) if self.labels else (None, None)
        train, test = (model.sequences(all_codes(*coder, x), of) for x, of in zip(shown, known, strict=True))
        data = Coded(train, test, done.images, coder)
        train, held_out = split(train, self.run, "grey")
        batches = Epochs(len(train), self.run.batch, self.run.keep_last)
        title = self.title(done.settings, model, len(test), self.run.total(batches.steps))
        program = CodePriorProgram(
            model=model, coder=coder, batches=batches, optimiser=self.optimiser, title=title,
            dtype=getattr(torch, self.run.dtype),
        )  # fmt: skip
        return Prepared(program, train, test if held_out is None else held_out, data)

    def title(self, of: Vq, model: CodePrior, n: int, steps: int) -> str:
        """What was trained on what, and what the numbers are not: a line each, where there is one."""
        shapes = " and ".join(" × ".join(map(str, each.shape)) for each in model.maps)
        given = ", given labels" if self.labels else ""
        what = f"prior of {shapes} codes of {of.quantiser} on {of.images.data}{given}: {n} test images, {steps} steps"
        return "\n".join(filter(None, (what, CAUTIONS.get(of.likelihood, "")))) + "\n"
