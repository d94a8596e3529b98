"""What finished runs draw, judged by a classifier: what is asked of both, and where what is found goes."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from jensen.core import keys
from jensen.experiments.programs.classes import in_turn
from jensen.experiments.programs.draws import check_drawing, classes, drawn, pixels, shape, trained_on
from jensen.experiments.programs.finished import FinishedRun, read_run
from jensen.experiments.programs.judge import Judge, read_judge
from jensen.experiments.report.draws import LEAST, judged, most
from jensen.experiments.report.images import tiled
from jensen.experiments.report.written import write
from jensen.experiments.run.command import echo
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.program import Finding
from jensen.experiments.run.replacement import check_replaceable

DRAWS = "draws"
DRAWN = 2000  # unless asked otherwise
SHOWN = 64


def judge_draws(folders: Sequence[Path], classifier: Path, draws: int | None, seed: int, device: str | None) -> None:
    """Each run's report, rows and figure go to its folder's draws/; nothing is begun before all are read."""
    judge = read_judge(classifier, device)
    limit = most(judge)
    n = min(DRAWN, limit) if draws is None else draws
    if not LEAST <= n <= limit:
        raise InputError(
            f"expected --draws from {LEAST} to {limit}, the test images of {classifier}, got {n}: leave it out"
        )
    runs = [read_run(folder, device) for folder in folders]
    for run in runs:
        check_drawing(run)
        check_same_images(run, judge)
        check_replaceable(run.folder / DRAWS)
    for run in runs:
        images = pixels(run, drawn(run, keys.key(seed, trained_on(run).device), n))
        labels = in_turn(n, classes(run), images.device)
        found = judged(judge, images, keys.key(seed, judge.train.device), labels).finding()
        text = f"{run.kind} in {run.folder}: {n} draws beside {judge.data}\n{found.summary}"
        write(run.folder / DRAWS, [found, picture(run, images)], text, {str(row["of"]): row for row in found.rows})
        echo(f"{text}\nreport, rows and figure in {run.folder / DRAWS}\n")


def check_same_images(run: FinishedRun, judge: Judge) -> None:
    """InputError where a run draws no images, or other ones than the classifier knows."""
    width, known = trained_on(run).shape[1], judge.train.shape[1]
    of = shape(run, width)
    if of is None:
        raise InputError(f"{run.folder} draws points, which no classifier knows: see its report.txt")
    pixels = of[0] * of[1] * of[2]
    if pixels != known:
        raise InputError(
            f"{run.folder} draws images of {pixels} pixels, and {judge.folder} classifies images of {known}: pass a "
            "classifier of the same data"
        )


def picture(run: FinishedRun, images: Tensor) -> Finding:
    """The first draws."""
    of = shape(run, images.shape[1])
    assert of is not None
    return Finding("samples", [], "", tiled(images[:SHOWN], of, "Draws"))
