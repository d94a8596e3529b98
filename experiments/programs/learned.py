"""What an estimator learns beside the model, as a group of parameters of its own: NVIL's baseline, RELAX's control.

Their losses reach neither the model, nor does the bound reach either network.
"""

import torch
from torch import Tensor

from jensen.core import trees
from jensen.core.contracts import Bound, Distribution, Key, LogDensity, Relaxable
from jensen.core.distributions import Bernoulli
from jensen.core.nn import mlp
from jensen.core.trees import Params
from jensen.estimators import gradients
from jensen.estimators.gradients import baselines

WIDTH = 100  # of either network's hidden layer


def init_baseline(key: Key, x: Tensor) -> Params:
    """A network of x (N, D) that starts at the bound of independent pixels."""
    entropy = Bernoulli.from_mean(x.mean(0).clamp(0.001, 0.999)).entropy()
    return _init(key, x.shape[1], (-entropy / x.shape[1]).to(x.dtype))


def prediction(params: Params, x: Tensor) -> Tensor:
    """The network's output at x (n, D), which is in nats per pixel, in nats per datum: (n,)."""
    return x.shape[1] * _apply(params, x)


def nvil(
    log_p: LogDensity, q: Distribution, noise: Tensor, bound: Bound, params: Params, x: Tensor
) -> tuple[Tensor, Tensor]:
    """`score` with the prediction of a network for baseline, and the loss by which that learns to be the bound.

    It is that of Mnih and Gregor (2014) without their running mean and variance normalisation.
    """
    baseline = baselines.Learned(prediction(params, x))
    value = gradients.score(log_p, q, noise, bound=bound, baseline=baseline)
    return value, baseline.loss(value)


def init_control(key: Key, x: Tensor, latent: int, temperature: float) -> Params:
    """REBAR's control variate at its temperature, and a network that starts at 0."""
    one = torch.ones_like(x[0, 0])
    return {"log_temperature": (temperature * one).log(), "eta": one, "network": _init(key, latent, 0 * one)}


def relax(log_p: LogDensity, frozen: LogDensity, q: Relaxable, noise: Tensor, params: Params) -> tuple[Tensor, Tensor]:
    """`relax`, and the second moment of its gradient in q, which its control variate learns to minimise.

    `frozen` is log_p without gradient for what it is made of.
    """

    def variate(t: Tensor) -> Tensor:
        return control(params, frozen, q, t)

    value = gradients.relax(log_p, q, noise, control=variate)
    return value, gradients.second_moment(frozen, q, noise, control=variate)


def control(params: Params, log_p: LogDensity, q: Relaxable, t: Tensor) -> Tensor:
    """c(t) = eta log_w(y) + r(y), (s, n), for y = sigmoid(t / temperature) and a network r (Grathwohl et al., 2018)."""
    temperature = params["log_temperature"].exp()
    density = gradients.relaxed_density(log_p, q, temperature=temperature, eta=params["eta"])
    return density(t) + _apply(params["network"], trees.stop(q).relaxed(t, temperature))


def _init(key: Key, inputs: int, start: Tensor) -> Params:
    """inputs -> WIDTH -> 1, tanh between, whose output starts at a constant."""
    params = mlp.init(key, (inputs, WIDTH, 1), dtype=start.dtype)
    params["1"] = {"weight": torch.zeros_like(params["1"]["weight"]), "bias": start[None]}
    return params


def _apply(params: Params, inputs: Tensor) -> Tensor:
    """Centred: (..., i) in [0, 1] -> (...)."""
    return mlp.apply(params, 2 * inputs - 1).squeeze(-1)
