"""What a mixture costs: a pathwise step of eight components by the implicit gradient, beside one component's."""

from functools import partial

import torch
from torch import Tensor
from torch.func import grad_and_value

from jensen.core import keys
from jensen.core.distributions import DiagNormal, Laplace, Mixture
from jensen.estimators.gradients import pathwise
from jensen.experiments.run.compilation import compiled
from tests.bench.race import Call, Race

KEY = keys.key(0)
DATA, COMPONENTS, DIMENSIONS = 100, 8, 2


def step(device: str) -> Race:
    """K = 1, 100 data, a banana in two dimensions; compiled, with the same eager at the end."""
    key = KEY.to(device)

    def log_p(z: Tensor) -> Tensor:
        first, second = z.unbind(-1)
        return -0.5 * (first.square() + (second - first.square()).square())

    def loss(q: Mixture | DiagNormal | Laplace, key: Tensor) -> Tensor:
        return -pathwise(log_p, q, q.noise(key, 1)).mean()

    def candidate(kind: type[DiagNormal | Laplace], *components: int, fused: bool = True) -> Call:
        loc, log_scale = (keys.normal(keys.fold_in(key, i), (DATA, *components, DIMENSIONS)) for i in range(2))
        one = kind(loc, 0.3 * log_scale)
        q = Mixture(torch.zeros(DATA, *components, device=device), one) if components else one
        gradient = grad_and_value(loss)
        return partial(compiled(gradient) if fused else gradient, q, key)

    candidates = {
        "normal": candidate(DiagNormal),
        "8 normals": candidate(DiagNormal, COMPONENTS),
        "8 Laplaces": candidate(Laplace, COMPONENTS),
        "normal, eager": candidate(DiagNormal, fused=False),
        "8 normals, eager": candidate(DiagNormal, COMPONENTS, fused=False),
    }
    return Race("pathwise step of a mixture, 100 data, 2 dimensions", "normal", candidates)
