"""The results of a queue as one safetensors file: every output with a row per job, by id."""

import json
from pathlib import Path

import safetensors.torch
import torch

from jensen.experiments.jobs.contract import Queue
from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError


def write(queue: Queue, out: Path) -> int:
    """How many there are. The file's metadata have `ids`, a list as JSON, and the `digest` and `function` they are of.

    InputError where there are none.
    """
    ids, rows = [], []
    for id_, content in queue.results():
        ids.append(id_)
        rows.append(safetensors.torch.load(content))
    if not ids:
        raise InputError("the queue has no results yet: start workers with `work run`")
    stacked = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    about = {"ids": json.dumps(ids), "digest": queue.work.digest, "function": queue.work.function}
    files.write_atomically(out, safetensors.torch.save(stacked, about))
    return len(ids)
