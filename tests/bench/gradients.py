"""What better gradients cost: a step of DReG beside plain IWAE, of leave-one-out baselines beside REINFORCE."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.func import grad_and_value

from jensen.core import bounds, keys, trees
from jensen.core.contracts import LatentModel
from jensen.core.models.latent import sbn, vae
from jensen.estimators import gradients as g
from jensen.estimators.gradients import baselines
from jensen.experiments.run.compilation import compiled
from tests.bench.race import Call, Race

KEY = keys.key(0)


def paths(device: str) -> Race:
    """K = 50, batch 64, 784-200-200-50."""
    x = (keys.uniform(KEY, (64, 784)) < 0.3).float().to(device)
    estimators = {"pathwise": partial(g.pathwise, bound=bounds.iwae), "DReG": g.dreg}
    return race("step of IWAE, K = 50, batch 64, 784-200-200-50", vae.mlp(784, (200, 200), 50), x, 50, estimators)


def apart(device: str) -> Race:
    """K = 16, batch 64, 784-200-200-50: weights that reach from the largest down beyond the least denormal number."""
    x = (keys.uniform(KEY, (64, 784)) < 0.3).float().to(device)
    log_share = torch.linspace(0, -200, 16, device=device)[:, None]

    def moved(estimate: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda log_p, q, noise: estimate(lambda z: log_p(z) + log_share, q, noise)

    estimators = {"DReG": g.dreg, "pathwise": partial(g.pathwise, bound=bounds.iwae)}
    estimators |= {f"{name}, 200 nats apart": moved(estimate) for name, estimate in estimators.items()}
    return race("step of IWAE, K = 16, batch 64, weights apart", vae.mlp(784, (200, 200), 50), x, 16, estimators)


def scores(device: str) -> Race:
    """A sigmoid belief net of 200 units, batch 100, K = 10."""
    x = (keys.uniform(KEY, (100, 784)) < 0.3).float().to(device)
    estimators: dict[str, Callable[..., Tensor]] = {
        "REINFORCE": g.score,
        "RLOO": partial(g.score, baseline=baselines.leave_one_out),
        "VIMCO": partial(g.score, bound=bounds.iwae, baseline=baselines.vimco),
        "DisARM, K = 5 pairs": lambda log_p, q, noise: g.disarm(log_p, q, noise[:5]),
        "REBAR": g.rebar,
    }
    return race("step of an SBN, 784-200, K = 10, batch 100", sbn.build(784, 200), x, 10, estimators)


def race(group: str, model: LatentModel, x: Tensor, k: int, estimators: dict[str, Callable[..., Tensor]]) -> Race:
    """Compiled gradients; the baseline is the first, with the same step eager at the end."""
    params, key = model.init(KEY.to(x.device), x), keys.key(1, x.device)

    def step(estimate: Callable[..., Tensor]) -> Callable[..., tuple[trees.Params, Tensor]]:
        def loss(params: trees.Params, x: Tensor, key: Tensor) -> Tensor:
            q = model.posterior(params, x)
            return -estimate(partial(model.log_joint, params, x), q, q.noise(key, k)).mean()

        return grad_and_value(loss)

    first = next(iter(estimators))
    candidates: dict[str, Call] = {
        name: partial(compiled(step(estimate)), params, x, key) for name, estimate in estimators.items()
    }
    candidates[f"{first}, eager"] = partial(step(estimators[first]), params, x, key)
    return Race(group, first, candidates, rounds=15, calls=5)
