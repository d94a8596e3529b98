"""From which size a kernel is worth its launch: small densities and their gradients, plain and in a kernel."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.func import grad_and_value

from jensen.core import keys, ops
from tests.bench.kernels import waited
from tests.bench.operations import noise
from tests.bench.race import Row

ELEMENTS = (2**18, 2**21, 2**24, 2**26)


def densities(device: str, elements: int) -> Iterator[tuple[str, Callable[..., Tensor], tuple[Tensor, ...]]]:
    """Scalar losses and what they are differentiated for."""
    n, d = 128, 64
    key, s = keys.key(0, device), max(1, elements // (n * d))
    loc, log_scale = noise(1, n, d, device=device), noise(2, n, d, device=device)
    x, logits = (noise(3, n, d, device=device) > 0).float(), noise(4, s, n, d, device=device)

    def sampled(loc: Tensor, log_scale: Tensor) -> Tensor:
        z, log_q = ops.normal_sample(key, loc, log_scale, s)
        return z.square().sum() + log_q.sum()

    yield "bernoulli_log_prob", lambda a: ops.bernoulli_log_prob(x, a).sum(), (logits,)
    yield "normal_log_prob", lambda z, m, a: ops.normal_log_prob(z, m, a).sum(), (logits, loc, log_scale)
    yield "normal_sample", sampled, (loc, log_scale)


def rows(device: str, elements: int) -> Iterator[Row]:
    """Milliseconds of values with gradients, waited for."""
    for name, loss, args in densities(device, elements):
        f = grad_and_value(loss, tuple(range(len(args))))
        found = {}
        for path in ("reference", "triton"):
            with ops.use(path):
                found[f"{path}, eager"] = waited(lambda f=f, args=args: f(*args), 20)
                torch.compiler.reset()
                both = torch.compile(f)
                found[f"{path}, compiled"] = waited(lambda both=both, args=args: both(*args), 20)
        least = min(found.values())
        for path, taken in found.items():
            fixed = {"group": f"{name} with gradient, {elements:,} elements", "iqr": 0.0, "ratio_iqr": 0.0, "rounds": 5}
            yield {**fixed, "name": path, "unit": "ms", "median": taken, "ratio": taken / least}
