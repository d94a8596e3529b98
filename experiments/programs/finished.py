"""A finished run of any kind, as it is in its folder: settings, program, parameters, state and data."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from jensen.core import keys, trees
from jensen.core.models.quantised import CodedModel
from jensen.core.trees import Params, Tree
from jensen.experiments.data.images import Images
from jensen.experiments.programs import KINDS
from jensen.experiments.programs.adapted import ImageModel
from jensen.experiments.programs.images import ImageSettings
from jensen.experiments.programs.lagged import LaggedProgram
from jensen.experiments.programs.vq import Vq
from jensen.experiments.run import checkpoints, files, session, state
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.folder import REPORT, RunFolder, read_config


class FinishedRun(NamedTuple):
    """The parameters, by group, are those that the run was judged by, with the state that goes with them.

    They are the best on held-out data where it could stop early, and the average over steps where it keeps one.
    """

    folder: Path
    settings: Any  # of its kind
    prepared: Any  # of its settings: the program, and the data to train on, to be scored on and to be judged by
    params: Params
    state: Tree

    @property
    def kind(self) -> str:
        """What it is a run of."""
        return type(self.settings).__name__.lower()


class Finished(NamedTuple):
    """A run of a model of images with latents."""

    folder: Path
    settings: ImageSettings
    model: ImageModel
    params: Params  # the model's
    images: Images


class FinishedCodes(NamedTuple):
    """A run of a model of codes, with the model's own state."""

    folder: Path
    settings: Vq
    model: CodedModel
    params: Params
    state: Tree
    images: Images


def read_run(folder: Path, device: str | None = None) -> FinishedRun:
    """The run in a folder, on its own device unless given, and in float32 at least.

    InputError for a folder that holds no run, an unfinished one, or damaged files. Nothing is unpickled.
    """
    settings = read_config(folder, tuple(KINDS.values()))
    if not (folder / REPORT).is_file():
        raise InputError(f"{folder} holds a run that has not finished: go on with experiments.train --resume {folder}")
    dtype = "float32" if settings.run.dtype == "bfloat16" else settings.run.dtype
    place = dataclasses.replace(settings.run, device=device or settings.run.device, dtype=dtype)
    prepared = dataclasses.replace(settings, run=place).prepare()
    trained = prepared if dtype == settings.run.dtype else settings.prepare()
    where = RunFolder(folder, settings, session.digest(trained))
    train = prepared.train
    params, initial = prepared.program.init(keys.key(0, trees.leaves(train)[0].device), train)
    path = where.latest()
    if path is None:
        raise InputError(f"{folder} has no checkpoint: restore it, or train again")
    tensors, _ = where.load(path)
    of = judged_by(tensors)
    parts = {of: params, "best.state" if of == "best.params" else "state": initial}
    own = {name: t for name, t in tensors.items() if name.startswith(tuple(f"{of}." for of in parts))}
    where.check_finite(path, own)
    like = {f"{of}.{name}": leaf for of, tree in parts.items() for name, leaf in trees.paths(tree).items()}
    checkpoints.check_like(path, {n: t.to(dtype=like[n].dtype) if n in like else t for n, t in own.items()}, like,
                           where.cure(path))  # fmt: skip
    check_report(folder, path)
    placed = {name: t.to(like[name]) for name, t in own.items()}
    return FinishedRun(folder, settings, prepared, *(state.part(placed, of, tree) for of, tree in parts.items()))


def read_finished(folder: Path, device: str | None = None) -> Finished:
    """The same of a model of images with latents. InputError for another kind."""
    return of_latents(read_run(folder, device))


def read_codes(folder: Path, device: str | None = None) -> FinishedCodes:
    """The same of a model of codes."""
    return of_codes(read_run(folder, device))


def read_assessed(folder: Path, device: str | None = None) -> Finished | FinishedCodes:
    """Either. InputError for a run of neither, with what to ask of it instead."""
    run = read_run(folder, device)
    if isinstance(run.settings, ImageSettings | Vq):
        return of_codes(run) if isinstance(run.settings, Vq) else of_latents(run)
    draws = hasattr(run.prepared.program, "sample")
    instead = "pass --classifier, a run of train classifier, to judge its draws, or " if draws else ""
    raise InputError(
        f"{folder} holds a {run.kind}, which has no latents or codes of images: {instead}see its report.txt"
    )


def of_latents(run: FinishedRun) -> Finished:
    """What its latents are found with. InputError for a run of another kind."""
    if not isinstance(run.settings, ImageSettings):
        raise InputError(f"{run.folder} holds a {run.kind}, which has no latents of images: see its report.txt")
    params, program = run.params["model"], run.prepared.program
    if isinstance(program, LaggedProgram):  # whose encoder is a group of its own
        params = {**params, "encoder": run.params["encoder"]}
    return Finished(run.folder, run.settings, program.adapted, params, run.prepared.data)


def of_codes(run: FinishedRun) -> FinishedCodes:
    """What its codes are found with. InputError for a run of another kind."""
    if not isinstance(run.settings, Vq):
        raise InputError(f"{run.folder} holds a {run.kind}, which has no codes: pass a run of vq")
    model = run.prepared.program.model
    return FinishedCodes(run.folder, run.settings, model, run.params["model"], run.state["model"], run.prepared.data)


def judged_by(tensors: Mapping[str, Tensor]) -> str:
    """Under which name a checkpoint holds the parameters that its run is judged by."""
    names = ("best.params", "average", "params")
    return next(name for name in names if any(path.startswith(f"{name}.") for path in tensors) or name == "params")


def check_report(folder: Path, checkpoint: Path) -> None:
    """InputError where a run's report is not of its checkpoint."""
    again = f"write it anew with experiments.train --resume {folder}"
    report = files.read_json(folder / REPORT, again)
    if not isinstance(report, dict) or report.get("checkpoint") != files.digest(checkpoint):
        raise InputError(f"{folder / REPORT} is not of {checkpoint.name}: {again}")
