"""What a compiled package of a decoder costs: beside its matrix products alone, an nn.Module and compiled torch."""

import functools
import itertools
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.latent import vae
from jensen.core.trees import Params
from jensen.experiments.deployment import Argument, Function, Signature, tracing
from jensen.experiments.deployment.functions import KEY, Rows, by_row
from jensen.experiments.deployment.loading import package
from jensen.experiments.run.compilation import compiled
from tests.bench.race import Call, Race

LATENT, HIDDEN, PIXELS, ROWS = 20, (400, 800), 784, 100


def decoder(device: str) -> Race:
    """Means of 100 images at draws of the prior: 20-400-800-784, tanh and sigmoid, 957,184 parameters."""
    model = vae.mlp(PIXELS, HIDDEN[::-1], LATENT)
    params = model.init(keys.key(0, device), keys.uniform(keys.key(1, device), (2, PIXELS)).round())
    key = keys.at(keys.key(2, device), datum=torch.arange(ROWS, device=device))

    def sample(params: Params, key: Key) -> Tensor:
        p = model.prior(params, 1)
        return model.likelihood(params, p.sample(p.noise(key, 1))).mean()[0, 0]

    rows = Rows("the mean of data at a draw of the prior", by_row(sample), (KEY,), (("mean", "of p(x | z)"),))
    module = in_torch(params["decoder"]).to(device)
    z, a, b = (torch.randn(ROWS, size, device=device) for size in (LATENT, *HIDDEN))
    weights = [params["decoder"][str(i)]["weight"].T for i in range(3)]
    ours, theirs, exported = compiled(rows.call), torch.compile(module), functools.cache(lambda: packaged(rows, params))

    def products() -> None:
        for each, weight in zip((z, a, b), weights, strict=True):
            _ = each @ weight

    candidates: dict[str, Call] = {
        "matrix products alone": products,
        "nn.Module, eager": torch.no_grad()(lambda: module(torch.randn(ROWS, LATENT, device=device))),
        "nn.Module, compiled": torch.no_grad()(lambda: theirs(torch.randn(ROWS, LATENT, device=device))),
        "jensen, compiled": torch.no_grad()(lambda: ours(params, key)),
        "package": lambda: exported()(key),
    }
    group = "decoder 20-400-800-784, 100 images, with noise"
    return Race(group, "matrix products alone", candidates, rounds=25, calls=40, warm=5)


def in_torch(params: Params) -> nn.Module:
    """The same network of torch.nn's layers, with the same parameters."""
    sizes = (LATENT, *HIDDEN, PIXELS)
    linears = [nn.Linear(*pair) for pair in itertools.pairwise(sizes)]
    for i, linear in enumerate(linears):
        linear.load_state_dict(params[str(i)])
    return nn.Sequential(linears[0], nn.Tanh(), linears[1], nn.Tanh(), linears[2], nn.Sigmoid())


def packaged(rows: Rows, params: Params) -> Function:
    """As `load` gives it, which checks every input."""
    mean = Argument("mean", "float32", (PIXELS,), rows.about)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sample.pt2")
        fault = tracing.write_package(tracing.traced(rows, params), path)
        assert not fault, fault
        call = package(path, path.read_bytes(), 1)
    return Function("sample", Signature(rows.about, rows.inputs, (mean,), "", path.name), "aot", call)
