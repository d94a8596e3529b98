"""What a replica of Ray's is: a process with the models in service, which takes and gives batches as bytes.

Nothing that a client has sent is pickled: rows cross as a file of safetensors, and come back as one.
"""

import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path

import torch

from jensen.experiments.deployment.loading import Function
from jensen.experiments.deployment.manifest import MANIFEST, Manifest, read_manifest, read_vouched
from jensen.experiments.deployment.rooms import room
from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError, reason
from jensen.experiments.service.engines import frames
from jensen.experiments.service.engines.reading import compute, read

Files = Mapping[str, bytes]  # of an export, by name


def packed(folder: Path) -> tuple[str, Manifest, Files]:
    """An export's digest, its manifest, and all its files. InputError for a folder that is no sound export."""
    content = files.read(folder / MANIFEST, bytes, "export the run again")
    digest = files.digest(content)
    manifest = read_manifest(folder, digest)
    return digest, manifest, {MANIFEST: content, **{n: read_vouched(folder, n, manifest) for n in manifest.files}}


class Replica:
    """An actor, whose methods are called by threads of its own: one that loads, one that runs, one that waits."""

    def __init__(self, width: int, threads: int):
        torch.set_num_threads(threads)
        self._width, self._models = width, dict[str, dict[str, Function]]()

    def worker(self) -> str:
        """Its process, and the machine's name."""
        return f"{socket.gethostname()}-{os.getpid()}"

    def load(self, key: str, digest: str, content: Files) -> None:
        """The export that these files are of, which nothing else can change. ValueError where it is not sound."""
        with room() as place:
            for name, part in content.items():
                (place / name).write_bytes(part)
            try:
                found, functions = read(place, self._width)
            except InputError as error:
                raise ValueError(reason(error).replace(str(place), "the export")) from None
        if found != digest:
            raise ValueError(f"expected the export {digest}, got {found}: export the run again")
        self._models[key] = functions

    def forget(self, key: str) -> None:
        self._models.pop(key, None)

    def run(self, key: str, function: str, inputs: bytes) -> bytes:
        """RuntimeError, of one line, for whatever the function raises."""
        try:
            return frames.saved(compute(self._models[key], function, frames.opened(inputs)))
        except Exception as error:
            raise RuntimeError(reason(error)) from None

    def last(self) -> None:
        """For who waits for the process to end."""
        threading.Event().wait()
