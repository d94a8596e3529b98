"""Functions of an export folder, to be called.

    exported = load("exported")
    x = exported["decode"](z)                              # z (n, 20) -> (n, 784)
    loc, log_scale = exported["encode"](x)                 # several outputs are a tuple
    named = exported["encode"].run({"x": x})               # {"loc": ..., "log_scale": ...}
    exported["decode"].inputs                              # names, dtypes, shapes of rows, ranges of values
    exported["decode"].backend                             # "aot", or "program" where there is no package for here

Nothing is loaded before the sha256 of every file is that of the manifest, and no file is unpickled.
"""

import io
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from jensen.experiments.deployment.archives import check_program, read_by
from jensen.experiments.deployment.logs import errors_alone
from jensen.experiments.deployment.manifest import (
    AGAIN,
    MANIFEST,
    PARAMS,
    Argument,
    Machine,
    Manifest,
    Signature,
    read_manifest,
    read_vouched,
)  # fmt: skip
from jensen.experiments.deployment.rooms import room
from jensen.experiments.run.errors import InputError, reason, shown

Backend = Literal["aot", "program"]
CHECKED = "AOTI_RUNTIME_CHECK_INPUTS"  # else a package takes any strides for its own


class Function:
    """A function of an export, of rows: 1 to 4,096 at once. It may be called by several threads."""

    def __init__(self, name: str, signature: Signature, backend: Backend, call: Callable[..., Any]):
        self.name, self.signature, self.backend, self._call = name, signature, backend, call

    @property
    def inputs(self) -> tuple[Argument, ...]:
        return self.signature.inputs

    @property
    def outputs(self) -> tuple[Argument, ...]:
        return self.signature.outputs

    def __call__(self, *inputs: Tensor) -> Any:
        """The output, or a tuple of several. ValueError, one line that names the input, for what it cannot be."""
        self.check(inputs)
        return self.unchecked(*inputs)

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs by name, of inputs by name."""
        names = [argument.name for argument in self.inputs]
        if sorted(inputs) != sorted(names):
            got = ", ".join(map(str, inputs)) or "none"
            raise ValueError(f"expected inputs {', '.join(names)} of {self.name}, got {got}: pass those")
        found = self(*(inputs[name] for name in names))
        return dict(zip([o.name for o in self.outputs], found if isinstance(found, tuple) else (found,), strict=True))

    def check(self, inputs: tuple[Tensor, ...]) -> None:
        """ValueError as the call."""
        if len(inputs) != len(self.inputs):
            names = ", ".join(f"{argument.name} {argument.axes}" for argument in self.inputs)
            raise ValueError(f"expected {len(self.inputs)} inputs of {self.name}, got {len(inputs)}: pass {names}")
        for argument, value in zip(self.inputs, inputs, strict=True):
            argument.check(value)
        if len(inputs) > 1 and len({value.shape[0] for value in inputs}) > 1:
            lengths = ", ".join(f"{a.name} {len(v)}" for a, v in zip(self.inputs, inputs, strict=True))
            raise ValueError(f"expected inputs of as many rows, got {lengths}: pass one row of each for a datum")

    @torch.no_grad()
    def unchecked(self, *inputs: Tensor) -> Any:
        """The same of inputs that have been checked."""
        found = self._call(*(value.contiguous() for value in inputs))
        many = tuple(found) if isinstance(found, tuple | list) else (found,)
        return many if len(self.outputs) > 1 else next(iter(many))


class Exported(Mapping[str, Function]):
    """The functions of an export by name, and what its manifest says."""

    def __init__(self, manifest: Manifest, functions: Mapping[str, Function]):
        self.manifest, self.functions = manifest, functions

    def __getitem__(self, name: str) -> Function:
        if name not in self.functions:
            why = self.manifest.left_out.get(name, f"this {self.manifest.kind} has no such function")
            raise KeyError(f"expected one of {', '.join(self.functions)}, got {name!r}: {why}")
        return self.functions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.functions)

    def __len__(self) -> int:
        return len(self.functions)


def load(
    folder: Path | str,
    *,
    backend: Backend | None = None,
    digest: str | None = None,
    only: tuple[str, ...] | None = None,
    runners: int = 1,
    mapped: bool = True,
) -> Exported:
    """The functions in an export folder, on the CPU.

    Args:
        folder: of `experiments.export`.
        backend: "aot" for compiled packages, which are of one version of torch and one kind of processor, or "program"
            for torch.export's, whose parameters are mapped from params.safetensors; the first that is there, else.
        digest: the sha256 that `experiments.export` printed, which the manifest must have; without it a folder that
            somebody replaced as a whole is taken for what they say it is.
        only: the names of the functions to load; all unless given.
        runners: calls at once of a compiled function; more wait.
        mapped: False reads a program's parameters whole, once: the file that is mapped may be written to afterwards,
            which would change what the functions compute, and to cut it would end the process.

    Raises:
        InputError: one line that names the file, its fault and the cure. No code in such a file has run.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, digest)
    names = tuple(manifest.functions) if only is None else only
    for name in names:
        if name not in manifest.functions:
            raise InputError(f"expected one of {', '.join(manifest.functions)}, got {name!r}: see {folder}")
    for name in (PARAMS, *(file for of in manifest.functions.values() for file in (of.program, of.aot) if file)):
        if name not in manifest.files:
            raise InputError(f"{folder / MANIFEST} has no sha256 of {shown(name)}: {AGAIN}")
    content = {name: read_vouched(folder, name, manifest) for name in manifest.files}
    params: dict[str, Tensor] = {}
    functions = {}
    for name in names:
        signature = manifest.functions[name]
        lacking = _lacking(manifest, signature)
        if backend == "aot" and lacking:
            raise InputError(f"{folder} has no package of {name} for this machine ({lacking}): {AGAIN}, here")
        if backend == "program" or lacking:
            params = params or (parameters(folder / PARAMS) if mapped else safetensors.torch.load(content[PARAMS]))
            call = _program(folder / signature.program, content[signature.program], params)
        else:
            assert signature.aot is not None
            call = package(folder / signature.aot, content[signature.aot], runners)
        functions[name] = Function(name, signature, "program" if backend == "program" or lacking else "aot", call)
    return Exported(manifest, functions)


def parameters(path: Path) -> dict[str, Tensor]:
    """Tensors by name, mapped into memory from a safetensors file: what is not used is not read."""
    try:
        with safetensors.safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118, for it is no mapping
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path} is damaged ({reason(error)}): {AGAIN}") from error


def _lacking(manifest: Manifest, signature: Signature) -> str:
    """Why a compiled package does not run here; "" where it does."""
    here, there = Machine(), manifest.machine
    if signature.aot is None:
        return manifest.left_out.get("aot", "none was compiled")
    return "" if here == there else f"it is of {there.words}, and this is {here.words}"


def _program(path: Path, content: bytes, mapped: Mapping[str, Tensor]) -> Callable[..., Any]:
    """The program, with parameters of the mapped file in place of its own."""
    check_program(path, content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's, of its own serialised trees
            program = torch.export.load(io.BytesIO(content))
        read, state = read_by(program), program.state_dict
    except Exception as error:  # of torch's own reader, for a file that it did not write
        raise InputError(f"{path} cannot be loaded ({reason(error)}): {AGAIN}") from error
    for name in read:
        own = state[name]
        if name not in mapped or (mapped[name].shape, mapped[name].dtype) != (own.shape, own.dtype):
            raise InputError(f"{path} is not of {PARAMS} ({name} differs): {AGAIN}")
        state[name] = mapped[name]
    try:
        return program.module()
    except Exception as error:  # likewise
        raise InputError(f"{path} cannot be called ({reason(error)}): {AGAIN}") from error


def package(path: Path, content: bytes, runners: int) -> Callable[..., Any]:
    """The compiled package, of the bytes that were checked: the file may be another by now."""
    os.environ[CHECKED] = "1"
    from torch._inductor.package.package import load_package

    with room() as place:
        copy = place / path.name
        copy.write_bytes(content)
        try:
            with errors_alone("torch.export.pt2_archive._package"):  # `Machine` has what must agree
                run = load_package(str(copy), "model", runners == 1, runners).loader.boxed_run
        except (OSError, RuntimeError) as error:
            raise InputError(f"{path} cannot be loaded ({reason(error)}): {AGAIN}, on this machine") from error
    return lambda *inputs: run(list(inputs))  # torch's own call reads its trees of arguments again each time
