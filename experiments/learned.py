"""What an estimator learns beside the model: NVIL's baseline and RELAX's control variate.

Both are parameters of the run, followed by the run's optimiser on losses of their own. Those reach neither encoder nor
decoder, and the bound reaches neither network.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from jensen.core import trees
from jensen.core.distributions import Bernoulli
from jensen.core.models import Model
from jensen.core.nn import mlp
from jensen.core.trees import Params
from jensen.estimators import gradients
from jensen.estimators.gradients import baselines
from jensen.estimators.gradients.contract import Bound, LogDensity, carry
from jensen.experiments.settings import Settings

WIDTH = 100  # of either network's hidden layer


def init(settings: Settings, key: Tensor, mean: Tensor, latent: int) -> Params:
    """{"baseline": ...} for nvil, {"control": ...} for relax, else {}; mean (D,) is the data's.

    The baseline starts at the bound of independent pixels, the control at REBAR's.
    """
    if settings.effective_estimator == "relax":
        one = torch.ones_like(mean[0])
        network = _init(key, latent, 0 * one)
        return {"control": {"log_temperature": (settings.temperature * one).log(), "eta": one, "network": network}}
    if settings.effective_estimator == "score" and settings.baseline == "nvil":
        entropy = Bernoulli.from_mean(mean.clamp(0.001, 0.999)).entropy()
        return {"baseline": _init(key, len(mean), -entropy / len(mean))}
    return {}


def nvil(bound: Bound, model: Model, params: Params, x: Tensor, q: Any, noise: Tensor) -> Tensor:
    """`score` with the prediction of a network for baseline, which learns to be the bound.

    It is that of Mnih and Gregor (2014) without their running mean and variance normalisation.
    """
    baseline = baselines.Learned(prediction(params["baseline"], x))
    value = gradients.score(partial(model.log_joint, params["decoder"], x), q, noise, bound, baseline)
    return value - carry(baseline.loss(value))


def prediction(params: Params, x: Tensor) -> Tensor:
    """The network's output at x (n, D), which is in nats per pixel, in nats per datum: (n,)."""
    return x.shape[1] * _apply(params, x)


def relax(model: Model, params: Params, x: Tensor, q: Bernoulli, noise: Tensor) -> Tensor:
    """`relax` with a control variate that learns to minimise the variance of the gradient in q.logits."""
    log_p = partial(model.log_joint, params["decoder"], x)
    frozen = partial(model.log_joint, trees.stop(params["decoder"]), x)
    variate = partial(control, params["control"], frozen, q)
    value = gradients.relax(log_p, q, noise, variate)
    return value - carry(gradients.second_moment(frozen, q, noise, variate))


def control(params: Params, log_p: LogDensity, q: Bernoulli, t: Tensor) -> Tensor:
    """c(t) = eta log_w(y) + r(y), (s, n), for y = sigmoid(t / temperature) and a network r (Grathwohl et al., 2018)."""
    temperature = params["log_temperature"].exp()
    density = gradients.relaxed_density(log_p, q, temperature, params["eta"])
    return density(t) + _apply(params["network"], q.relaxed(t, temperature))


def _init(key: Tensor, inputs: int, start: Tensor) -> Params:
    """inputs -> WIDTH -> 1, tanh between, whose output starts at a constant."""
    params = mlp.init(key, (inputs, WIDTH, 1), dtype=start.dtype)
    params["1"] = {"weight": torch.zeros_like(params["1"]["weight"]), "bias": start[None]}
    return params


def _apply(params: Params, inputs: Tensor) -> Tensor:
    """Centred: (..., i) in [0, 1] -> (...)."""
    return mlp.apply(params, 2 * inputs - 1).squeeze(-1)
