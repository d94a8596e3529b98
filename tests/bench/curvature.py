"""Laplace's approximation of a perceptron 784-256-10 of 10,000 data, beside laplace-torch where that is installed.

python -m tests.bench.curvature              # seconds of the curvature with its prior, and of 360 predictions; MiB
"""

import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TypeVar

import torch

from jensen.core import keys
from jensen.core.nn import mlp
from jensen.estimators.inference import network_laplace
from jensen.estimators.inference.curvature import Categorical
from tests.bench.memory import peak

SIZES, N, PREDICTED, BATCH = (784, 256, 10), 10_000, 360, 256
T = TypeVar("T")


def main() -> None:
    data_key, label_key, key = keys.split(keys.key(0), 3)
    x, y = keys.uniform(data_key, (N, SIZES[0])), keys.bits(label_key, (N,)) % SIZES[-1]
    parameters = mlp.init(key, SIZES)
    for curvature in ("kfac", "diagonal"):
        fit = partial(network_laplace.fit, mlp.apply, parameters, x, y, Categorical(), curvature)
        posterior, _ = timed(f"{curvature}, {N} data", fit)
        timed(f"{curvature}, {PREDICTED} predictions", partial(posterior.predict, x[:PREDICTED]))
        print(f"{'':32}{peak(fit):8.0f} MiB added at the most")
    if find_spec("laplace"):
        theirs(parameters, x, y)


def theirs(parameters: dict[str, dict[str, torch.Tensor]], x: torch.Tensor, y: torch.Tensor) -> None:
    """The same by laplace-torch, whose factors of weights and biases are apart."""
    from laplace import Laplace  # pyright: ignore[reportMissingImports]
    from torch.utils.data import DataLoader, TensorDataset

    first, last = torch.nn.Linear(*SIZES[:2]), torch.nn.Linear(*SIZES[1:])
    for layer, ours in zip((first, last), parameters.values(), strict=True):
        layer.load_state_dict(ours)
    module = torch.nn.Sequential(first, torch.nn.Tanh(), last)
    for structure in ("kron", "diag"):
        posterior = Laplace(module, "classification", "all", structure)
        loader = DataLoader(TensorDataset(x, y), BATCH)

        def fit(posterior=posterior, loader=loader) -> None:
            posterior.fit(loader)
            posterior.optimize_prior_precision(method="marglik")

        timed(f"laplace-torch, {structure}", fit)
        timed(
            f"laplace-torch, {PREDICTED} predictions", lambda p=posterior: [p(each) for each in x[:PREDICTED].split(32)]
        )


def timed(name: str, call: Callable[[], T]) -> T:
    start = time.perf_counter()
    found = call()
    print(f"{name:<32}{time.perf_counter() - start:8.2f} s")
    return found


if __name__ == "__main__":
    main()
