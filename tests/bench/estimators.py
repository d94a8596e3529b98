"""What better gradients cost: a step of DReG beside plain IWAE, of leave-one-out beside REINFORCE."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.func import grad_and_value

from jensen.core import bounds, keys, trees
from jensen.core.models import sbn, vae
from jensen.estimators import gradients as g
from jensen.estimators.gradients import baselines
from jensen.experiments.compilation import compiled
from tests.bench.timing import medians, table

KEY = keys.key(0)


def paths(device: str) -> None:
    """K = 50, batch 64, 784-200-200-50."""
    x = (keys.uniform(KEY, (64, 784)) < 0.3).float().to(device)
    model = vae.mlp(784, (200, 200), 50)
    plain = partial(g.pathwise, bound=bounds.iwae)
    compare("step of IWAE, K = 50, batch 64, 784-200-200-50", model, x, 50, {"pathwise": plain, "DReG": g.dreg})


def scores(device: str) -> None:
    """A sigmoid belief net of 200 units, batch 100, K = 10."""
    x = (keys.uniform(KEY, (100, 784)) < 0.3).float().to(device)
    each: dict[str, Callable[..., Tensor]] = {
        "REINFORCE": g.score,
        "RLOO": partial(g.score, baseline=baselines.leave_one_out),
        "VIMCO": partial(g.score, bound=bounds.iwae, baseline=baselines.vimco),
        "DisARM, K = 5 pairs": lambda log_p, q, u: g.disarm(log_p, q, u[:5]),
        "REBAR": g.rebar,
    }
    compare("step of an SBN, 784-200, K = 10, batch 100", sbn.build(784, 200), x, 10, each)


def compare(title: str, model, x: Tensor, k: int, estimators: dict[str, Callable[..., Tensor]]) -> None:
    params = model.init(KEY.to(x.device), x.mean(0))
    key = keys.key(1, x.device)

    def step(estimate: Callable[..., Tensor]) -> Callable[..., tuple[trees.Params, Tensor]]:
        def loss(params: trees.Params, x: Tensor, key: Tensor) -> Tensor:
            q = model.posterior(params["encoder"], x)
            return -estimate(partial(model.log_joint, params["decoder"], x), q, q.noise(key, k)).mean()

        return grad_and_value(loss)

    torch.compiler.reset()
    for kind, wrap in (("eager", lambda f: f), ("compiled", compiled)):
        steps = {name: partial(wrap(step(estimate)), params, x, key) for name, estimate in estimators.items()}
        table(f"{title}, {kind}", medians(steps, 15, 5), next(iter(steps)))
