"""A finished run's export folder, written whole or not at all."""

import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
from torch.export import ExportedProgram

from jensen.core import trees
from jensen.experiments.deployment import archives, native, tracing
from jensen.experiments.deployment.functions import Functions, Rows, dtype_of
from jensen.experiments.deployment.manifest import (
    DRAWING,
    PARAMS,
    Argument,
    Machine,
    Manifest,
    Signature,
    write_manifest,
)
from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError, reason
from jensen.experiments.run.folder import CONFIG


class Forms(NamedTuple):
    """What is written beside programs."""

    aot: bool
    onnx: bool
    c_library: bool


def check_free(out: Path) -> None:
    """InputError for a folder that is there: an export is never mixed with another's files."""
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists():
        raise InputError(f"{out} is there already: choose another --out, or move it away")


def write(source: Path, kind: str, exported: Functions, out: Path, forms: Forms) -> Manifest:
    """Every function as a program, as a package and as an ONNX model where those are asked for and can be made.

    source: the run's folder. Functions that cannot be traced are left out, with the reason. InputError where all are.
    """
    check_free(out)
    partial = files.temporary(out)
    files.make(partial, "choose another --out", out)
    try:
        manifest = _written(source, kind, exported, partial, forms)
        if out.exists():
            out.rmdir()
        partial.rename(out)
        files.synced(out.parent)
    except OSError as error:
        raise files.unwritten(out, error, files.AGAIN) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _written(source: Path, kind: str, exported: Functions, place: Path, forms: Forms) -> Manifest:
    signatures: dict[str, Signature] = {}
    left_out, read = dict(exported.left_out), set[str]()
    for name, rows in exported.rows.items():
        try:
            program = tracing.traced(rows, exported.tree)
        except Exception as error:  # of torch's, for what it cannot trace
            left_out[name] = reason(error)
            continue
        read |= archives.read_by(program)
        signatures[name] = _function(name, rows, program, place, forms, left_out)
    if not signatures:
        raise InputError(f"{source} has no function that can be exported: {'; '.join(left_out.values())}")
    leaves = trees.paths(exported.tree)
    params = {path: leaves[path].detach().cpu().contiguous().clone() for path in sorted(read)}
    files.write_atomically(place / PARAMS, safetensors.torch.save(params))
    shutil.copyfile(source / CONFIG, place / CONFIG)
    for name, text in exported.files.items():
        files.write_atomically(place / name, text.encode())
    if forms.c_library:
        native.build(place)
    digests = {path.name: files.digest(path) for path in sorted(place.iterdir())}
    sequences = exported.sequences if signatures.keys() >= {*DRAWING} else None
    manifest = Manifest(kind, _version(), Machine(), signatures, left_out, digests, sequences)
    write_manifest(place, manifest)
    return manifest


def _function(
    name: str, rows: Rows, program: ExportedProgram, place: Path, forms: Forms, left_out: dict[str, str]
) -> Signature:
    """A function's files, and what its outputs are by a call."""
    tracing.write_program(program, place / f"{name}.program.pt2")
    made: dict[str, str | None] = {}
    ways = {
        "aot": (forms.aot, f"{name}.pt2", tracing.write_package),
        "onnx": (forms.onnx, f"{name}.onnx", tracing.write_onnx),
    }
    for way, (asked, file, written) in ways.items():
        fault = written(program, place / file) if asked else ""
        made[way] = file if asked and not fault else None
        if fault:
            left_out[f"{name} ({way})"] = fault
    found = program.module()(*tracing.example(rows.inputs))
    outputs = tuple(
        Argument(of, dtype_of(each), tuple(each.shape[1:]), about)
        for (of, about), each in zip(rows.outputs, found if isinstance(found, tuple) else (found,), strict=True)
    )
    return Signature(rows.about, rows.inputs, outputs, f"{name}.program.pt2", made["aot"], made["onnx"])


def _version() -> str:
    try:
        return version("jensen")
    except PackageNotFoundError:
        return "a working tree"
