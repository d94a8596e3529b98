"""A finished run, as it is in its folder: its settings, model, parameters and data."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from jensen.core import keys, trees
from jensen.core.models import Model
from jensen.core.trees import Params
from jensen.experiments import runs
from jensen.experiments.data import Images, load, prepare
from jensen.experiments.settings import InputError, Settings
from jensen.experiments.train import as_tensors, build

CURE = "restore it, or train again"
NETWORKS = ("encoder.", "decoder.")  # what an estimator learned beside the model is left out


class Finished(NamedTuple):
    """The parameters are those that the run was judged by: the best on held-out data where it stopped early."""

    folder: Path
    settings: Settings
    model: Model
    params: Params
    images: Images


def read(folder: Path, device: str | None = None) -> Finished:
    """The run in a folder, on its own device unless told, and in float32 at least.

    InputError for a folder that holds no run, an unfinished one, or damaged files. Nothing is unpickled.
    """
    settings = runs.read_settings(folder)
    if not (folder / "report.json").exists():
        raise InputError(f"{folder} holds a run that has not finished: go on with experiments.train --resume {folder}")
    tensors, state = runs.load_checkpoint(folder / runs.LAST, settings, CURE)
    path, prefix = folder / runs.LAST, "params."
    if state.get("best") is not None:
        path, prefix = folder / runs.BEST, ""
        tensors, _ = runs.load_checkpoint(path, settings, CURE)
    dtype = "float32" if settings.dtype == "bfloat16" else settings.dtype
    place = dataclasses.replace(settings, device=device or settings.device, dtype=dtype)
    images = as_tensors(
        prepare(load(settings.data, settings.data_dir), settings.effective_pixels, settings.seed), place
    )
    model = build(settings, images)
    like = model.init(keys.key(0, images.train.device), images.train.mean(0))
    names = [name for name in tensors if name.removeprefix(prefix).startswith(NETWORKS)]
    stored = {name.removeprefix(prefix): tensors[name].to(images.test) for name in names}
    try:
        params = trees.from_paths(stored, like)
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} does not hold this run's parameters ({error}): {CURE}") from error
    runs.check_finite(path, params, CURE)
    return Finished(folder, settings, model, params, images)


def check_alike(finished: Sequence[Finished]) -> None:
    """InputError unless all runs score the same test images in the same units."""
    first, *rest = finished
    ours = _data(first.settings)
    for other in rest:
        theirs = _data(other.settings)
        if theirs != ours:
            raise InputError(
                f"the run in {other.folder} {runs.differences(theirs, ours).replace('this run', str(first.folder))}: "
                "rates and distortions compare on the same data alone, so evaluate them apart"
            )
        if not torch.equal(other.images.test, first.images.test):
            raise InputError(
                f"the runs in {first.folder} and {other.folder} have other test images: evaluate them apart"
            )


def _data(settings: Settings) -> dict[str, str]:
    return {"data": settings.data, "pixels": settings.effective_pixels, "likelihood": settings.likelihood}
