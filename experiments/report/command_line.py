"""The command line of evaluation: finished runs, and what their assessments spend."""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from jensen.core import keys
from jensen.experiments.programs.finished import read_assessed
from jensen.experiments.report import Budget, check_alike, rate_distortion, write
from jensen.experiments.report.judging import check_images, judge, scored
from jensen.experiments.report.judging_draws import judge_draws
from jensen.experiments.report.judging_text import are_of_text, judge_text
from jensen.experiments.run.command import echo
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.folder import EVALUATION, opened
from jensen.experiments.run.ranks import Ranks, joined
from jensen.experiments.run.replacement import check_replaceable

CURVE = "rate-distortion"


@dataclass(frozen=True)
class Settings(Budget):
    """Evaluate finished runs; reports, rows and figures go to each run's folder evaluation/, or draws/."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run folders of experiments.train; of several, on the same data, the first gets a rate-distortion/ too."""
    classifier: Path | None = None
    """Run folder of train classifier: judge by its features what the runs draw, and nothing else."""
    draws: int | None = None
    """Images to draw of each run; as many as the classifier has test images, up to 2,000, unless given."""
    seed: int = 0
    """Everything random follows from it."""
    device: str | None = None
    """A torch device; each run's own unless given."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        super().check()
        if not self.runs:
            raise InputError("expected a run folder of experiments.train: name one or more")
        if len(set(map(os.path.realpath, self.runs))) < len(self.runs):
            raise InputError("a run folder is named twice: leave one out")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"expected --seed in [0, 2^63), got {self.seed}")
        if self.draws is not None and self.classifier is None:
            raise InputError("--draws are judged by a classifier: pass --classifier, or leave it out")


def parse(args: list[str]) -> Settings:
    settings = tyro.cli(Settings, args=args, prog="python -m jensen.experiments.evaluate")
    settings.check()
    return settings


def run(settings: Settings) -> None:
    """Nothing is begun before all runs are read and their folders looked at, and each evaluation is left whole.

    Of several ranks all find, and the first alone writes.
    """
    with joined(settings.device or "cpu") as ranks, ExitStack() as locks:
        if settings.classifier is not None and ranks.size > 1:
            raise InputError("draws are judged in one process: leave torchrun out, or --classifier")
        for folder in settings.runs if ranks.first else ():
            locks.enter_context(opened(folder))
        if settings.classifier is not None:
            judge_draws(settings.runs, settings.classifier, settings.draws, settings.seed, settings.device)
        elif are_of_text(settings.runs):
            judge_text(settings.runs, settings.device, ranks)
        else:
            _assess(settings, ranks)


def _assess(settings: Settings, ranks: Ranks) -> None:
    finished = [read_assessed(folder, settings.device) for folder in settings.runs]
    check_alike([scored(each) for each in finished])
    for each in finished:
        check_images(each, settings)
        if ranks.first:
            check_replaceable(each.folder / EVALUATION)
    target = settings.runs[0] / CURVE
    if len(finished) > 1 and ranks.first:
        check_replaceable(target)
    points = [judge(each, settings, keys.key(settings.seed, each.images.test.device), ranks) for each in finished]
    if len(points) > 1 and ranks.first:
        finding = rate_distortion(points)
        write(target, [finding], finding.summary, {})
        echo(f"{finding.summary}\ncurve in {target}")
