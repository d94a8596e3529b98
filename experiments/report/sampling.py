"""The command line of sampling: a finished run, how much to draw of it, and where that goes."""

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.models.autoregressive.sampling import Choice
from jensen.experiments.programs.draws import Writing, check_drawing, classes, drawn, shape, trained_on
from jensen.experiments.programs.finished import FinishedRun, read_run
from jensen.experiments.report.drawing import png
from jensen.experiments.report.images import shades, tiled
from jensen.experiments.report.points import figure
from jensen.experiments.run import files
from jensen.experiments.run.command import echo
from jensen.experiments.run.errors import InputError, option
from jensen.experiments.run.folder import opened

IMAGES, POINTS, TEXTS, LENGTH = 64, 2000, 1, 500  # unless asked otherwise
MOST = 2**20
OF_TEXT = ("prompt", "length", "temperature", "top_k", "nucleus", "min_p")


@dataclass(frozen=True)
class Settings:
    """Draw from a finished run: images in a grid, points beside test data, or text, shown as it is drawn."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder of experiments.train."""
    n: int | None = None
    """How many; 64 images, 2,000 points or 1 text unless given."""
    label: Annotated[int | None, tyro.conf.arg(name="class")] = None
    """The class that all images are of, counted from 0; of a run with classes, each in turn unless given."""
    seed: int = 0
    """Everything random follows from it: the same seed draws the same."""
    out: Path | None = None
    """The file, which is replaced: .png a picture, .npy the numbers (n, D); of text, what is else on the terminal. A
    picture goes to the run's folder unless given."""
    device: str | None = None
    """A torch device; the run's own unless given."""
    prompt: str | None = None
    """What a text begins with."""
    length: int | None = None
    """Symbols of a text after its prompt; 500, or what the context has room for, unless given."""
    temperature: float | None = None
    """What logits are divided by; 0 takes the likeliest symbol."""
    top_k: int | None = None
    """Only so many of the likeliest symbols."""
    nucleus: float | None = None
    """Only the fewest likeliest symbols of at least this probability."""
    min_p: float | None = None
    """Only symbols of at least this share of the likeliest one's probability."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        for name in ("n", "length"):
            asked = getattr(self, name)
            if asked is not None and not 1 <= asked <= MOST:
                raise InputError(f"expected --{name} from 1 to {MOST}, got {asked}: leave it out")
        if self.label is not None and self.label < 0:
            raise InputError(f"expected --class from 0 on, got {self.label}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"expected --seed in [0, 2^63), got {self.seed}")
        if self.prompt == "":
            raise InputError("expected a --prompt of one character or more: leave it out to begin with nothing")
        self.choice()

    def choice(self) -> Choice:
        """How symbols are chosen. InputError for what cannot be."""
        asked = {f.name: getattr(self, f.name) for f in fields(Choice)}
        for name, value in asked.items():
            try:
                Choice(**({} if value is None else {name: value}))
            except ValueError as error:
                raise InputError(f"{option(name)}: {error}") from error
        return Choice(**{name: value for name, value in asked.items() if value is not None})


def parse(args: list[str]) -> Settings:
    settings = tyro.cli(Settings, args=args, prog="python -m jensen.experiments.sample")
    settings.check()
    return settings


def run(settings: Settings) -> None:
    """Draws; what is written is written whole."""
    with opened(settings.run):
        done = read_run(settings.run, settings.device)
        if isinstance(done.prepared.program, Writing):
            if settings.label is not None:
                raise InputError(f"--class is for images, and {settings.run} holds a {done.kind}: leave it out")
            _write_text(done, settings)
            return
        for name in OF_TEXT:
            if getattr(settings, name) is not None:
                raise InputError(f"{option(name)} is for text, and {settings.run} holds a {done.kind}: leave it out")
        _draw(done, settings)


def _draw(done: FinishedRun, settings: Settings) -> None:
    """A picture of images or of points, or their numbers."""
    check_drawing(done)
    train = trained_on(done)
    of = shape(done, train.shape[1])
    n = settings.n or (POINTS if of is None else IMAGES)
    of_class = "" if settings.label is None else f"-{settings.label}"
    out = settings.out or done.folder / f"samples{of_class}-{n}-{settings.seed}.png"
    if out.suffix not in (".png", ".npy"):
        raise InputError(f"expected --out of a file .png or .npy, got {out}: a picture, or the numbers (n, D)")
    x = drawn(done, keys.key(settings.seed, train.device), n, settings.label)
    columns = classes(done) if settings.label is None else None
    _write(out, png(pictured(done, x, of, columns)) if out.suffix == ".png" else _npy(x), settings)
    echo(f"{n} draws of the {done.kind} in {done.folder}: {out}")


def pictured(done: FinishedRun, x: Tensor, of: tuple[int, int, int] | None, columns: int | None = None) -> Figure:
    """Images in a grid, in the grey scale of their training data; points of the plane beside test data."""
    if of is None:
        return figure(x, done.prepared.data.test)
    return tiled(x, of, f"Draws of the {done.kind}", columns, shades(trained_on(done)))


def _write_text(done: FinishedRun, settings: Settings) -> None:
    """Texts one after another, on the terminal as they come, or in a file."""
    parts = written(done, settings)
    if settings.out is not None:
        _write(settings.out, "".join(parts).encode(errors="replace"), settings)
        echo(f"text of the {done.kind} in {done.folder}: {settings.out}")
        return
    for part in parts:
        sys.stdout.write(part)
        sys.stdout.flush()


def written(done: FinishedRun, settings: Settings) -> Iterator[str]:
    """Each text's prompt and what follows it, part by part, and the end of its line."""
    program, prompt = done.prepared.program, settings.prompt or ""
    longest, given = program.model.longest, len(program.alphabet.encode(prompt.encode(errors="surrogateescape")))
    room = LENGTH if longest is None else longest - given
    length = settings.length or max(1, min(LENGTH, room))
    key = keys.key(settings.seed, trees.leaves(done.params)[0].device)
    for i in range(settings.n or TEXTS):
        following = program.continued(done.params, keys.at(key, datum=i), length, prompt, settings.choice())
        yield prompt
        yield from following
        yield "\n"


def _write(out: Path, content: bytes, settings: Settings) -> None:
    """InputError where other draws are in the way of what no --out named."""
    if settings.out is None and out.exists() and out.read_bytes() != content:
        raise InputError(f"{out} holds something else: name a file with --out")
    files.make(out.parent)
    files.write_atomically(out, content)


def _npy(x: Tensor) -> bytes:
    written = io.BytesIO()
    np.save(written, x.cpu().numpy(), allow_pickle=False)
    return written.getvalue()
