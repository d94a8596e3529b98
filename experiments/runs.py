"""A run's folder: config.json, metrics.jsonl and checkpoints, written so that no failure loses what was there."""

import errno
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from jensen.core import trees
from jensen.core.trees import Params
from jensen.experiments.checks import check
from jensen.experiments.settings import InputError, Settings, option

CONFIG, LAST, BEST = "config.json", "last.safetensors", "best.safetensors"
AGAIN = "then run the command again"


def resumed(folder: Path) -> str:
    return f"then go on from the last checkpoint with --resume {folder}"


def make(folder: Path, instead: str = "choose another --out") -> None:
    """The folder, and those above it, unless they are there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror}): {instead}") from error


def write_atomically(path: Path, content: bytes, onwards: str = AGAIN) -> None:
    """The file is the old one or the new one, never a part: a temporary name, synced, then renamed.

    `onwards` is what to do once the reason of a failure is gone.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise unwritten(path, error, onwards) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def unwritten(path: Path, error: OSError, onwards: str) -> InputError:
    cures = {errno.ENOSPC: "make room", errno.EACCES: "make it writable", errno.EPERM: "make it writable",
             errno.EROFS: "make it writable"}  # fmt: skip
    cure = cures.get(error.errno or 0, "move it away" if path.is_dir() else "make room")
    return InputError(f"{path} could not be written ({error.strerror}): {cure}, {onwards}")


def write_json(path: Path, value: Any, onwards: str = AGAIN) -> None:
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode(), onwards)


def write_rows(path: Path, rows: Iterable[Mapping[Any, Any]]) -> None:
    """One line of JSON per row."""
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """A folder to write to, which takes the other's place when all is written; else that one stays as it was."""
    partial, old = (folder.with_name(f"{folder.name}.{part}") for part in ("partial", "old"))
    shutil.rmtree(partial, ignore_errors=True)  # what a killed process left
    make(partial, f"make {folder.parent} writable")
    try:
        yield partial
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        partial.rename(folder)
    except OSError as error:
        raise unwritten(folder, error, AGAIN) from error
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        for rest in (partial, old):
            shutil.rmtree(rest, ignore_errors=True)


def create(folder: Path, settings: Settings) -> None:
    """A new run folder, claimed for this process alone. InputError where there is a run already."""
    taken = f"{folder} holds a run: go on with --resume {folder}, or choose another --out"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / LAST).exists():
            raise InputError(taken)
        with (folder / CONFIG).open("x") as file:  # of two processes, one fails here
            file.write("{}")
    except FileExistsError as error:
        raise InputError(taken if folder.is_dir() else f"{folder} is a file: choose another --out") from error
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror}): choose another --out") from error
    write_json(folder / CONFIG, settings.saved(), resumed(folder))


def default_folder(settings: Settings) -> Path:
    """runs/<time>-<model>-<data>, with a number where that is taken."""
    name = f"{datetime.now():%Y-%m-%d-%H%M%S}-{settings.model}-{settings.data}"
    names = (name if i == 1 else f"{name}-{i}" for i in itertools.count(1))
    return next(path for path in (Path("runs") / name for name in names) if not path.exists())


def read_settings(folder: Path) -> Settings:
    """The settings a run was started with."""
    path = folder / CONFIG
    try:
        settings = Settings.from_saved(json.loads(path.read_text()))
        check(settings)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{folder} holds no run: pass the folder that has its config.json") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}): restore it, or start a new run") from error
    return settings


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any], settings: Settings) -> None:
    """Tensors by name and a JSON state, with the settings they belong to, in one safetensors file."""
    metadata = {"run": json.dumps({"state": state, "config": settings.config()})}  # one entry: several have no order
    content = safetensors.torch.save({name: t.detach().contiguous() for name, t in tensors.items()}, metadata)
    write_atomically(path, content, resumed(path.parent))


def load_checkpoint(
    path: Path, settings: Settings, cure: str = "restore it, or train again"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, in memory of their own, and the state. InputError for a damaged or foreign checkpoint."""
    try:
        with safe_open(path, "pt") as file:
            run = json.loads((file.metadata() or {})["run"])
            tensors = {name: file.get_tensor(name).clone() for name in file.offset_keys()}
        config, state = run["config"], run["state"]
        if not (isinstance(config, dict) and isinstance(state, dict)):
            raise ValueError("its config and state are no objects")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged or no checkpoint of a run ({error}): {cure}") from error
    if config != settings.config():
        raise InputError(f"{path} is of another run: it {differences(config, settings.config())}")
    return tensors, state


def check_finite(path: Path, params: Params, cure: str) -> None:
    """InputError for the first parameter of a checkpoint that is NaN or infinite."""
    for name, leaf in trees.paths(params).items():
        if not leaf.isfinite().all():
            raise InputError(f"{path}: {name} is not finite: {cure}")


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """has --k 5 where this run has --k 1, ..."""
    changed = [name for name in sorted({*theirs, *ours}) if theirs.get(name) != ours.get(name)]
    return ", and ".join(f"has {option(n)} {theirs.get(n)} where this run has {ours.get(n)}" for n in changed)


class Metrics:
    """Appends rows to metrics.jsonl; opened at a step, it first drops what a killed run wrote beyond it."""

    def __init__(self, folder: Path, step: int):
        self.path = folder / "metrics.jsonl"
        kept = [json.dumps(row) + "\n" for row in read_metrics(folder) if row["step"] <= step]
        write_atomically(self.path, "".join(kept).encode(), resumed(folder))
        self.file = self.path.open("a")

    def append(self, row: Mapping[str, Any]) -> None:
        try:
            self.file.write(json.dumps(row) + "\n")
            self.file.flush()
        except OSError as error:
            raise unwritten(self.path, error, resumed(self.path.parent)) from error

    def close(self) -> None:
        with suppress(OSError):  # a failed append has been told; its rest cannot be written now either
            self.file.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl; a last line that a kill cut short is left out. InputError for any other damage."""
    path = folder / "metrics.jsonl"
    try:
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        rows = [json.loads(line) for line in lines]
        if any(not isinstance(row["step"], int) for row in rows):
            raise ValueError("a row has no step")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} is damaged ({error}): remove it, and the run goes on without its past rows"
        ) from error
    return rows
