"""A finished run of a model of latents or codes, as it is in its folder: settings, model, parameters and data."""

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


class Finished(NamedTuple):
    """The parameters are those that the run was judged by: the best on held-out data where it could stop early."""

    folder: Path
    settings: ImageSettings
    model: ImageModel
    params: Params
    images: Images


class FinishedCodes(NamedTuple):
    """The same of a model of codes, with the state that goes with its parameters."""

    folder: Path
    settings: Vq
    model: CodedModel
    params: Params
    state: Tree
    images: Images


class Stored(NamedTuple):
    """A run's program and data, and parts of its last checkpoint."""

    prepared: Any  # of its settings
    parts: list[Tree]


def read_run(folder: Path, device: str | None = None) -> Finished | FinishedCodes:
    """Either, as `read_finished` and `read_codes`."""
    of_codes = isinstance(read_config(folder, tuple(KINDS.values())), Vq)
    return read_codes(folder, device) if of_codes else read_finished(folder, device)


def read_finished(folder: Path, device: str | None = None) -> Finished:
    """The run in a folder, on its own device unless given, and in float32 at least.

    InputError for a folder that holds no run, an unfinished one, or damaged files. Nothing is unpickled.
    """
    settings = read_config(folder, tuple(KINDS.values()))
    if not isinstance(settings, ImageSettings):
        raise InputError(
            f"{folder} holds a {type(settings).__name__.lower()}, which has no latents of images: see its report.txt"
        )
    prepared, (params, *encoder) = _stored(folder, settings, device)
    for part in encoder:  # of a lagged run, whose encoder is a group of its own
        params = {**params, "encoder": part}
    return Finished(folder, settings, prepared.program.adapted, params, prepared.data)


def read_codes(folder: Path, device: str | None = None) -> FinishedCodes:
    """The same of a model of codes."""
    settings = read_config(folder, tuple(KINDS.values()))
    if not isinstance(settings, Vq):
        raise InputError(f"{folder} holds a {type(settings).__name__.lower()}, which has no codes: pass a run of vq")
    prepared, (params, found) = _stored(folder, settings, device)
    return FinishedCodes(folder, settings, prepared.program.model, params, found, prepared.data)


def _stored(folder: Path, settings: ImageSettings | Vq, device: str | None) -> Stored:
    """The model's parameters, and for a model of codes its state. InputError as `read_finished`."""
    if not (folder / REPORT).is_file():
        raise InputError(f"{folder} holds a run that has not finished: go on with experiments.train --resume {folder}")
    dtype = "float32" if settings.run.dtype == "bfloat16" else settings.run.dtype
    place = dataclasses.replace(settings.run, device=device or settings.run.device, dtype=dtype)
    prepared = dataclasses.replace(settings, run=place).prepare()
    trained = prepared if dtype == settings.run.dtype else settings.prepare()
    where = RunFolder(folder, settings, session.digest(trained))
    params, initial = prepared.program.init(keys.key(0, prepared.train.device), prepared.train)
    path = where.latest()
    if path is None:
        raise InputError(f"{folder} has no checkpoint: restore it, or train again")
    tensors, _ = where.load(path)
    of = judged_by(tensors)
    parts = {f"{of}.model": params["model"]}
    if isinstance(prepared.program, LaggedProgram):
        parts[f"{of}.encoder"] = params["encoder"]
    if isinstance(settings, Vq):
        parts["best.state.model" if of == "best.params" else "state.model"] = initial["model"]
    own = {name: t for name, t in tensors.items() if name.startswith(tuple(f"{of}." for of in parts))}
    where.check_finite(path, own)
    like = {f"{of}.{name}": leaf for of, tree in parts.items() for name, leaf in trees.paths(tree).items()}
    checkpoints.check_like(path, {n: t.to(dtype=like[n].dtype) if n in like else t for n, t in own.items()}, like,
                           where.cure(path))  # fmt: skip
    check_report(folder, path)
    placed = {name: t.to(like[name]) for name, t in own.items()}
    return Stored(prepared, [state.part(placed, of, tree) for of, tree in parts.items()])


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
