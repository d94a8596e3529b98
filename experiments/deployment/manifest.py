"""What an export folder holds: functions with the shapes of their inputs and outputs, and the sha256 of every file.

    manifest.json    params.safetensors    config.json    decode.program.pt2    decode.pt2    decode.onnx    ...

The manifest vouches for the files, and the digest that `experiments.export` prints vouches for the manifest.
"""

import json
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from jensen.experiments.run import files
from jensen.experiments.run.config import from_json, to_json
from jensen.experiments.run.errors import InputError, shown
from jensen.experiments.run.files import Json

DRAWING = ("prefill", "step")  # the functions that draw sequences together
BYTES = "bytes"  # the alphabet of the 256 of them
MANIFEST, PARAMS = "manifest.json", "params.safetensors"
ROWS = 4096  # of a call, at most
AGAIN = "export the run again"
ROW = "n"  # the length of the axis of rows
Dtype = Literal["float32", "float64", "int64"]
DTYPES: dict[Dtype, torch.dtype] = {"float32": torch.float32, "float64": torch.float64, "int64": torch.int64}


@dataclass(frozen=True)
class Argument:
    """An input or output: rows of a dtype and a shape, whose values are in [low, high] and may have to be whole."""

    name: str
    dtype: Dtype
    shape: tuple[int, ...]  # of a row
    about: str
    low: float | None = None
    high: float | None = None
    whole: bool = False

    @property
    def axes(self) -> str:
        """As in errors: (n, 784)."""
        return f"({', '.join(map(str, (ROW, *self.shape)))}{',' * (not self.shape)})"

    def check(self, value: object) -> None:
        """ValueError, one line, for anything that is no such tensor: its type, dtype, shape or values."""
        if not isinstance(value, Tensor):
            raise ValueError(f"expected {self.name} {self.axes}, a tensor, got {type(value).__name__}: {self.about}")
        if value.dtype != DTYPES[self.dtype]:
            raise self._of_dtype(str(value.dtype).removeprefix("torch."))
        self._check_shape(value.shape)
        if self.dtype != "int64" or self.low is not None or self.high is not None:
            self._check_values(value.numpy(force=True))  # of a few rows it is several times as fast as torch

    def check_array(self, value: "np.ndarray[Any, Any]") -> None:
        """The same of an array of numpy."""
        if value.dtype != np.dtype(self.dtype):
            raise self._of_dtype(str(value.dtype))
        self._check_shape(value.shape)
        self._check_values(value)

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 1 + len(self.shape) or shape[1:] != self.shape:
            raise ValueError(f"expected {self.name} {self.axes}, got {tuple(shape)}: {self.about}")
        if not 1 <= shape[0] <= ROWS:
            raise ValueError(f"expected {self.name} of 1 to {ROWS} rows, got {shape[0]}: split them")

    def _check_values(self, value: "np.ndarray[Any, Any]") -> None:
        if self.dtype != "int64" and not np.isfinite(value).all():
            raise ValueError(f"expected finite {self.name}, got NaN or infinity: leave those rows out")
        if self.low is not None and value.min() < self.low:
            raise ValueError(f"expected {self.name} of at least {self.low:g}, got {value.min():g}: {self.about}")
        if self.high is not None and value.max() > self.high:
            raise ValueError(f"expected {self.name} of at most {self.high:g}, got {value.max():g}: {self.about}")
        if self.whole and (value != value.round()).any():
            raise ValueError(f"expected whole numbers in {self.name}, got others: {self.about}")

    def _of_dtype(self, got: str) -> ValueError:
        return ValueError(f"expected {self.name} of {self.dtype}, got {got}: pass {self.name}.to(torch.{self.dtype})")


@dataclass(frozen=True)
class Signature:
    """A function of rows: row i of each output depends on row i of each input alone, to the rounding of a product."""

    about: str
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    program: str  # file of the torch.export program
    aot: str | None = None  # file of the AOTInductor package
    onnx: str | None = None


@dataclass(frozen=True)
class Machine:
    """What an AOTInductor package is of, and runs on alone."""

    version: str = torch.__version__  # of torch
    system: str = platform.system()
    processor: str = platform.machine()
    capability: str = field(default_factory=torch.backends.cpu.get_cpu_capability)

    @property
    def words(self) -> str:
        return f"torch {self.version} on {self.system} {self.processor}, {self.capability}"


@dataclass(frozen=True)
class Sequences:
    """How the functions `prefill` and `step` of a model of sequences are called one after another."""

    start: int  # the symbol that stands before the first
    longest: int | None  # symbols of a sequence, its prompt among them
    memory: tuple[str, ...]  # what a step takes as the call before it gave it
    alphabet: str  # BYTES, or the file of a tokenizer


@dataclass(frozen=True)
class Manifest:
    """The folder's contents."""

    kind: str  # of run
    jensen: str
    machine: Machine
    functions: dict[str, Signature]
    left_out: dict[str, str]  # what is not exported, and why
    files: dict[str, str]  # their sha256
    sequences: Sequences | None = None  # with both functions of DRAWING


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """The last file that is written."""
    values = to_json(manifest)
    files.write_json(folder / MANIFEST, {**values, "checksum": _checksum(values)})


def read_manifest(folder: Path, digest: str | None = None) -> Manifest:
    """The manifest in a folder, and by its sha256 the one that was written, where that is given.

    InputError, one line, for a folder without one, and for one that is damaged, edited or of another digest.
    """
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder} holds no export: pass the folder that has its {MANIFEST}")

    def parsed(content: bytes) -> Manifest:
        if digest is not None and files.digest(content) != digest:
            raise InputError(f"expected the sha256 {shown(digest)}, got {files.digest(content)}: {AGAIN}")
        values = files.parse(content)
        if not isinstance(values, dict) or values.pop("checksum", None) != _checksum(values):
            raise ValueError("its checksum is not that of its content")
        manifest = from_json(Manifest, values)
        for name in manifest.files:
            if Path(name).name != name:
                raise ValueError(f"{shown(name)} is no file of the folder")
        return manifest

    return files.read(folder / MANIFEST, parsed, AGAIN)


def read_vouched(folder: Path, name: str, manifest: Manifest) -> bytes:
    """A file's bytes, read once. InputError unless the manifest has its sha256."""

    def parsed(content: bytes) -> bytes:
        if manifest.files.get(name) != files.digest(content):
            raise ValueError(f"its sha256 is not that of {MANIFEST}")
        return content

    path = folder / name
    if path.exists() and not path.is_file():  # to read a pipe would wait for ever
        raise InputError(f"{path} is no regular file: {AGAIN}")
    return files.read(path, parsed, AGAIN)


def _checksum(values: Json) -> str:
    """Of manifest.json: one that was edited by hand would be taken for the export's own."""
    return files.digest(json.dumps(values, sort_keys=True).encode())
