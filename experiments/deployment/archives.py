"""What a file of torch.export may hold to be opened: `torch.export.load` unpickles, and runs code planted in it."""

import io
import zipfile
from pathlib import Path

import torch
from torch.export import ExportedProgram

from jensen.experiments.deployment.manifest import AGAIN
from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError, reason

INPUTS = "/sample_inputs/"


def check_program(path: Path, content: bytes) -> None:
    """InputError for an archive in which `torch.export.load` would unpickle anything but tensors.

    Beside the digest, and before the file is opened: a folder may be replaced together with its manifest.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            if len(set(names)) < len(names):  # of which torch's reader may take another
                raise ValueError("it holds two files of one name")
            for name in names:
                if name.endswith("_config.json"):
                    _check_table(files.parse(archive.read(name)))
                if INPUTS in name:
                    torch.load(io.BytesIO(archive.read(name)), weights_only=True)
    except InputError:
        raise
    except Exception as error:  # of zip, of JSON, of torch's own reader, whatever the bytes are
        raise InputError(f"{path} is refused ({reason(error)}): {AGAIN}") from error


def read_by(program: ExportedProgram) -> set[str]:
    """The paths of the tree that a program reads."""
    read = {node.name for node in program.graph.nodes if node.op == "placeholder" and node.users}
    signature = program.graph_signature
    return {path for name, path in signature.inputs_to_buffers.items() if name in read}


def _check_table(table: object) -> None:
    """ValueError where a table of weights or constants asks for a pickle."""
    entries = table.get("config", {}) if isinstance(table, dict) else None
    if not isinstance(entries, dict):
        raise ValueError("its table of tensors is no object")
    for name, entry in entries.items():
        if not isinstance(entry, dict) or entry.get("use_pickle") is not False:
            raise ValueError(f"{name} is pickled")
