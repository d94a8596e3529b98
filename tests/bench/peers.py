"""The IWAE step in other libraries, where they are installed (the extra `peers`): 784-200-200-50 as in `iwae`."""

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from jensen.core import trees
from tests.bench.race import Call


def iwae(params: trees.Params, x: Tensor, eps: Tensor) -> dict[str, Call]:
    """Gradients of the same bound with the same parameters; Pyro and NumPyro draw noise of their own."""
    steps = {"jax": ("JAX, jit", in_jax), "pyro": ("Pyro", in_pyro), "numpyro": ("NumPyro, jit", in_numpyro)}
    return {name: make(params, x, eps) for module, (name, make) in steps.items() if find_spec(module)}


def in_jax(params: trees.Params, x: Tensor, eps: Tensor) -> Call:
    import jax
    from jax import numpy as jnp

    arrays = [trees.map(lambda t: jnp.asarray(t.numpy()), tree) for tree in (params, x, eps)]

    def loss(params: Any, x: Any, eps: Any) -> Any:
        loc, log_scale = jnp.split(perceptron(params["encoder"], x, jnp.tanh), 2, -1)
        z = loc + jnp.exp(log_scale) * eps
        logits = perceptron(params["decoder"], z, jnp.tanh)
        log_p = (x * logits - jax.nn.softplus(logits)).sum(-1) - 0.5 * (z**2).sum(-1)
        log_q = -(0.5 * eps**2 + log_scale).sum(-1)
        return -jax.nn.logsumexp(log_p - log_q, 0).mean()

    jitted = jax.jit(jax.value_and_grad(loss))
    return lambda: jax.block_until_ready(jitted(*arrays))


def in_numpyro(params: trees.Params, x: Tensor, eps: Tensor) -> Call:
    import jax
    import numpyro
    from jax import numpy as jnp
    from numpyro import distributions as dist
    from numpyro.infer import RenyiELBO

    arrays, data = (trees.map(lambda t: jnp.asarray(t.numpy()), tree) for tree in (params, x))
    k, n, latent = eps.shape

    def model(x: Any) -> None:
        decoder = numpyro.param("decoder", arrays["decoder"])
        with numpyro.plate("data", n):
            z = numpyro.sample("z", dist.Normal(jnp.zeros(latent)).to_event(1))
            logits = perceptron(decoder, z, jnp.tanh)
            numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(x: Any) -> None:
        loc, log_scale = jnp.split(perceptron(numpyro.param("encoder", arrays["encoder"]), x, jnp.tanh), 2, -1)
        with numpyro.plate("data", n):
            numpyro.sample("z", dist.Normal(loc, jnp.exp(log_scale)).to_event(1))

    bound, own = RenyiELBO(alpha=0, num_particles=k), {name: arrays[name] for name in ("encoder", "decoder")}
    jitted = jax.jit(jax.value_and_grad(lambda params, key, x: bound.loss(key, params, model, guide, x)))
    return lambda: jax.block_until_ready(jitted(own, jax.random.PRNGKey(0), data))


def in_pyro(params: trees.Params, x: Tensor, eps: Tensor) -> Call:
    import pyro
    from pyro import distributions as dist
    from pyro.infer import RenyiELBO

    k, n, latent = eps.shape
    own = trees.map(lambda t: t.clone().requires_grad_(), {name: params[name] for name in ("encoder", "decoder")})

    def model(x: Tensor) -> None:
        with pyro.plate("data", n):
            z = pyro.sample("z", dist.Normal(torch.zeros(latent), torch.ones(latent)).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=perceptron(own["decoder"], z, torch.tanh)).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        loc, log_scale = perceptron(own["encoder"], x, torch.tanh).chunk(2, -1)
        with pyro.plate("data", n):
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))

    bound = RenyiELBO(alpha=0, num_particles=k, vectorize_particles=True, max_plate_nesting=1)
    return lambda: bound.loss_and_grads(model, guide, x)


def perceptron(layers: Any, h: Any, tanh: Any) -> Any:
    """Layers {"0": {"weight", "bias"}, ...} on rows h, in any array library."""
    *hidden, last = [layers[name] for name in sorted(layers)]
    for layer in hidden:
        h = tanh(h @ layer["weight"].T + layer["bias"])
    return h @ last["weight"].T + last["bias"]
