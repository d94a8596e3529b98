"""The command line of exports: a finished run, and what is written of it where."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from jensen.experiments.deployment import kinds, writing
from jensen.experiments.deployment.manifest import MANIFEST, Manifest
from jensen.experiments.deployment.writing import Forms
from jensen.experiments.programs.finished import read_run
from jensen.experiments.run import files
from jensen.experiments.run.command import echo
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.folder import opened

EXPORT = "export"


@dataclass(frozen=True)
class Settings:
    """Write a finished run as functions that need no training code: parameters, programs, compiled packages, ONNX."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder of experiments.train."""
    out: Path | None = None
    """The folder, which must be new; export/ in the run's folder unless given."""
    only: tuple[str, ...] = ()
    """Names of the functions to export; all unless given."""
    k: int = 64
    """Samples of q for each score."""
    aot: bool = True
    """Compile a package of each function with AOTInductor, for this machine; it takes a C++ compiler."""
    onnx: bool = True
    """Write each function as an ONNX model too, where onnxruntime computes the same with it."""
    c_library: bool = False
    """Compile libjensen.so too, by which C programs call the packages, and write its header jensen.h."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        if not 1 <= self.k < 2**20:
            raise InputError(f"expected --k from 1 to {2**20 - 1}, got {self.k}: leave it out for 64")
        if self.c_library and not self.aot:
            raise InputError("--c-library calls compiled packages: leave --no-aot out")

    @property
    def forms(self) -> Forms:
        return Forms(self.aot, self.onnx, self.c_library)

    @property
    def to(self) -> Path:
        """Where it goes."""
        return self.out or self.run / EXPORT


def parse(args: list[str]) -> Settings:
    settings = tyro.cli(Settings, args=args, prog="python -m jensen.experiments.export")
    settings.check()
    return settings


def run(settings: Settings) -> None:
    """Writes the folder, and says what is in it."""
    with opened(settings.run):
        writing.check_free(settings.to)
        done = read_run(settings.run, "cpu")
        functions = kinds.functions(done, settings.k)
        chosen = functions.only(settings.only) if settings.only else functions
        manifest = writing.write(done.folder, done.kind, chosen, settings.to, settings.forms)
    echo(said(manifest, settings.to))


def said(manifest: Manifest, out: Path) -> str:
    """A line for each function and for what is left out, and the digest that vouches for the manifest."""
    lines = [f"{manifest.kind} in {out}, of 1 to 4096 rows:"]
    for name, each in manifest.functions.items():
        given, found = (", ".join(f"{a.name} {a.axes}" for a in part) for part in (each.inputs, each.outputs))
        forms = ["program", *(way for way, file in (("aot", each.aot), ("onnx", each.onnx)) if file)]
        lines.append(f"  {name}: {given} -> {found}  [{', '.join(forms)}]")
    lines += [f"  no {name}: {why}" for name, why in manifest.left_out.items()]
    return "\n".join([*lines, f"sha256 of its {MANIFEST}: {files.digest(out / MANIFEST)}"])
