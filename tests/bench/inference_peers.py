"""Pyro's and NumPyro's inference on the models of `inference` and `logistic` (the extra `peers`)."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

PARTICLES, CHUNK = 10, 250  # draws a step, steps between two looks
STEP_SIZE, DECAY = 0.01, 0.1  # of Adam's, at first and over all steps
STEPS = 4000


class Fitted(NamedTuple):
    """A full-rank normal, and the seconds that it took until here, without those of looking at it."""

    seconds: float
    loc: Tensor
    factor: Tensor


def pyro_normals(x: Tensor, y: Tensor) -> Iterator[Fitted]:
    """AutoMultivariateNormal by Pyro, after every 250 steps."""
    import pyro
    from pyro import distributions as dist
    from pyro.infer import SVI, Trace_ELBO
    from pyro.infer.autoguide import AutoMultivariateNormal

    pyro.clear_param_store()
    pyro.set_rng_seed(0)

    def model(x: Tensor, y: Tensor) -> None:
        weights = pyro.sample("weights", dist.Normal(torch.zeros(x.shape[1]), 1.0).to_event(1))
        with pyro.plate("data", len(y)):
            pyro.sample("y", dist.Bernoulli(logits=(weights * x).sum(-1)), obs=y)

    begin = time.perf_counter()
    guide = AutoMultivariateNormal(model)
    decay = {"lr": STEP_SIZE, "lrd": DECAY ** (1 / STEPS)}
    bound = Trace_ELBO(num_particles=PARTICLES, vectorize_particles=True, max_plate_nesting=1)
    svi, seconds = SVI(model, guide, pyro.optim.ClippedAdam(decay), bound), 0.0
    for _ in range(STEPS // CHUNK):
        for _ in range(CHUNK):
            svi.step(x, y)
        seconds += time.perf_counter() - begin
        q = guide.get_posterior()
        yield Fitted(seconds, q.loc.detach(), q.scale_tril.detach())
        begin = time.perf_counter()


def numpyro_normals(x: Tensor, y: Tensor) -> Iterator[Fitted]:
    """AutoMultivariateNormal by NumPyro, after every 250 steps; the first has its compilation."""
    import jax
    import numpyro
    from jax import numpy as jnp
    from numpyro import distributions as dist
    from numpyro.infer import SVI, Trace_ELBO
    from numpyro.infer.autoguide import AutoMultivariateNormal

    data = jnp.asarray(x.numpy()), jnp.asarray(y.numpy())

    def model(x: Any, y: Any) -> None:
        weights = numpyro.sample("weights", dist.Normal(jnp.zeros(x.shape[1]), 1.0).to_event(1))
        with numpyro.plate("data", len(y)):
            numpyro.sample("y", dist.Bernoulli(logits=x @ weights), obs=y)

    begin = time.perf_counter()
    guide = AutoMultivariateNormal(model)
    sizes = numpyro.optim.optimizers.exponential_decay(STEP_SIZE, STEPS, DECAY)
    svi = SVI(model, guide, numpyro.optim.Adam(sizes), Trace_ELBO(num_particles=PARTICLES))
    state, seconds = svi.init(jax.random.PRNGKey(0), *data), 0.0
    chunk = jax.jit(lambda state: jax.lax.fori_loop(0, CHUNK, lambda _, state: svi.update(state, *data)[0], state))
    for _ in range(STEPS // CHUNK):
        state = jax.block_until_ready(chunk(state))
        seconds += time.perf_counter() - begin
        q = guide.get_posterior(svi.get_params(state))
        yield Fitted(seconds, *(torch.tensor(jax.device_get(t).copy()) for t in (q.loc, q.scale_tril)))
        begin = time.perf_counter()


def pyro_chains(y: Tensor, sigma: Tensor, steps: int, warm_up: int, jit: bool) -> tuple[Tensor, float]:
    """(draws (t, 1, d) of (mu, log tau, theta_raw) by Pyro's NUTS, seconds)."""
    import pyro
    from pyro import distributions as dist
    from pyro.infer import MCMC, NUTS

    pyro.clear_param_store()
    pyro.set_rng_seed(0)

    def model() -> None:
        mu, tau = pyro.sample("mu", dist.Normal(0.0, 5.0)), pyro.sample("tau", dist.HalfCauchy(5.0))
        raw = pyro.sample("raw", dist.Normal(torch.zeros(len(y)), 1.0).to_event(1))
        pyro.sample("y", dist.Normal(mu + tau * raw, sigma).to_event(1), obs=y)

    begin = time.perf_counter()
    chain = MCMC(NUTS(model, jit_compile=jit, ignore_jit_warnings=True), steps, warm_up, disable_progbar=True)
    chain.run()
    seconds = time.perf_counter() - begin
    found = chain.get_samples()
    return torch.cat([found["mu"][:, None], found["tau"].log()[:, None], found["raw"]], 1)[:, None], seconds
