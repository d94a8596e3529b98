"""What a service has to reply: a function that draws, and the bytes of each seed, computed here."""

import json
from pathlib import Path

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.models.latent import vae
from jensen.core.nn import mlp
from jensen.core.trees import Tree
from jensen.experiments.deployment import load, writing
from jensen.experiments.deployment.functions import KEY, Functions, Rows, by_row
from jensen.experiments.deployment.loading import Function
from jensen.experiments.deployment.writing import Forms
from jensen.experiments.run.errors import InputError
from jensen.experiments.service.bodies import BINARY, written

LATENT, HIDDEN, PIXELS = 20, (800, 400), 784


def decoder(place: Path) -> Path:
    """The export of an untrained decoder 20-400-800-784 that draws."""
    model = vae.mlp(PIXELS, HIDDEN, LATENT)
    params = model.init(keys.key(0), keys.uniform(keys.key(1), (2, PIXELS)).round())

    def sample(tree: Tree, key: Tensor) -> Tensor:
        return torch.sigmoid(mlp.apply(tree, keys.normal(key, (LATENT,)), torch.tanh))

    rows = Rows("a draw of an untrained decoder", by_row(sample), (KEY,), (("mean", "in [0, 1]"),))
    (place / "config.json").write_text(json.dumps({}))
    writing.write(place, "decoder", Functions(params["decoder"], {"sample": rows}, {}), place / "export",
                  Forms(False, False, False))  # fmt: skip
    return place / "export"


def drawing(folder: Path) -> Function:
    """An export's function that takes a key alone. InputError for an export without one."""
    functions = load(folder).functions
    for function in functions.values():
        if function.inputs == (KEY,):
            return function
    raise InputError(f"{folder} draws nothing, but has {', '.join(functions)}: pass a run that has sample")


def replies(function: Function, seeds: int, rows: int, width: int) -> list[bytes]:
    """The binary reply to each seed, of rows that are computed in a batch of `width`."""
    names = [output.name for output in function.outputs]
    found = []
    for seed in range(seeds):
        key = keys.at(keys.key(seed), datum=torch.arange(rows))
        outputs = function.unchecked(torch.cat([key, key[:1].expand(width - rows, 3)]))
        many = outputs if isinstance(outputs, tuple) else (outputs,)
        named = {name: value[:rows] for name, value in zip(names, many, strict=True)}
        found.append(b"".join(written(named, seed, BINARY, {})))
    return found
