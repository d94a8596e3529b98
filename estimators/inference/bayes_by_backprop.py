"""Bayes by backprop (Blundell et al., 2015) for a Bayesian network, by local reparameterisation.

    q, trace = fit(key, posterior, steps=2000)                   # of condition(bayesian_network(p, hidden), data)
    importance(posterior, q, key, k)                             # q is a DiagNormal of z, with one row

    state, info = update(init(posterior, key), posterior, key)   # one step

Approximates  the posterior of the weights by independent normals, and of log sigma by one more
With          Adam on the ELBO; the expected log likelihood is of pre-activations drawn for each datum, by
              `local_reparameterisation`, and the KL of q from the prior is in closed form
Requires      a posterior of `bayesian_network`, or minibatches of it
Unbiased when always, as an estimate of the ELBO and of its gradient: the law of each datum's output is that of weights
              drawn for it alone. The ELBO is below log p(y) by the KL of q from the posterior
Cost          two products of the data with each weight matrix a step, whatever s of the first layer
Reference     Blundell et al., 2015; Kingma, Salimans and Welling, 2015
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.checks import check_count, check_function, check_key, check_number, described
from jensen.core.contracts import Key
from jensen.core.distributions import DiagNormal
from jensen.core.models.bayes import Posterior, densities
from jensen.core.models.bayes.coordinates import places
from jensen.core.models.bayes.network import prior_scales
from jensen.core.numerics import HALF_LOG_2PI, bounded
from jensen.estimators.gradients.local import local_reparameterisation
from jensen.estimators.inference._adam import ascent
from jensen.estimators.inference.fitting import EVERY, Trace, traced
from jensen.estimators.inference.starting import check_log_p

NAMES = ("hidden", "bias", "out", "offset", "sigma")
START = -3.0  # log scale of the weights' normals, so that units are not drowned in noise
FRESH, CHUNK = 32, 8  # draws of the last objective, of so many samples each
SECOND = 0.999  # the decay of Adam's second moment


class State(NamedTuple):
    """q, and Adam's averages of its gradients and of their squares, each of the same shape."""

    q: DiagNormal
    mean: DiagNormal
    square: DiagNormal
    step: Float[Tensor, ""]


class Info(NamedTuple):
    """The ELBO before a step, in nats per data set, and its two terms."""

    objective: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]
    standard_error: Float[Tensor, ""]  # over samples; NaN for one


def init(posterior: Posterior, key: Key) -> State:
    """Means from the prior, so that hidden units differ, and small scales."""
    _check(posterior)
    loc = posterior.prior().noise(key, 1)[0]
    loc[:, places(posterior.support)["sigma"]] = 0.0
    q = DiagNormal(loc, torch.full_like(loc, START))
    zeros = trees.map(torch.zeros_like, q)
    return State(q, zeros, zeros, loc.new_zeros(()))


def elbo(q: DiagNormal, posterior: Posterior, key: Key, s: int = 1) -> tuple[Float[Tensor, " s"], Float[Tensor, ""]]:
    """The log likelihood of the data at s samples of their pre-activations, and the KL of q from the prior."""
    _check(posterior)
    check_key(key)
    s = check_count("s", s)
    if not isinstance(q, DiagNormal) or q.loc.shape != (1, posterior.d):
        raise TypeError(
            f"expected q, a DiagNormal of (1, {posterior.d}), got {described(q)}: see init(posterior, key).q"
        )
    x, y = posterior.data["x"], posterior.data["y"]
    n, p = x.shape
    h = posterior.support["bias"].d
    loc = {name: q.loc[0, at] for name, at in places(posterior.support).items()}
    log_scale = {name: q.log_scale[0, at] for name, at in places(posterior.support).items()}
    hidden_key, out_key, sigma_key = keys.split(key, 3)

    def layer(t: dict[str, Tensor], weight: str, bias: str, outputs: int) -> Tensor:
        return torch.cat([t[weight].reshape(outputs, -1), t[bias][:, None]], 1)

    first = [layer(t, "hidden", "bias", h) for t in (loc, log_scale)]
    second = [layer(t, "out", "offset", 1) for t in (loc, log_scale)]
    noise = keys.normal(hidden_key, (s, n, h), x.dtype)
    units = torch.tanh(local_reparameterisation(_with_ones(x), first[0], first[1], noise)).reshape(s * n, h)
    noise = keys.normal(out_key, (s, n, 1), x.dtype).reshape(1, s * n, 1)
    mean = local_reparameterisation(_with_ones(units), second[0], second[1], noise).reshape(s, n)
    spread = torch.exp(bounded(log_scale["sigma"]))
    log_sigma = loc["sigma"] + spread * keys.normal(sigma_key, (s, 1), x.dtype)
    log_likelihood = densities.normal(y, mean, torch.exp(log_sigma)).sum(1) * (posterior.num_data.value / n)
    kl = sum(_kl(loc[name], log_scale[name], scale) for name, scale in prior_scales(p, h).items())
    return log_likelihood, kl + _kl_of_sigma(loc["sigma"], spread)


def update(
    state: State, posterior: Posterior, key: Key, step_size: float | Tensor = 1e-2, s: int = 1
) -> tuple[State, Info]:
    """One step of Adam up the ELBO of a posterior or of a minibatch of it, and the ELBO before it."""
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with init(posterior, key)")
    check_key(key)
    s = check_count("s", s)
    if not isinstance(step_size, Tensor):
        check_number("step_size", step_size, "[0, inf)")

    def total(q: DiagNormal) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        log_likelihood, kl = elbo(q, posterior, key, s)
        return log_likelihood.mean() - kl, (log_likelihood, kl)

    slope, (log_likelihood, kl) = grad(total, has_aux=True)(state.q)
    step = state.step + 1
    q, mean, square = ascent(state.q, state.mean, state.square, slope, step, step_size, SECOND)
    return State(q, mean, square, step), _info(log_likelihood, kl)


@torch.no_grad()
def fit(
    key: Key,
    posterior: Posterior,
    steps: int = 2000,
    step_size: float = 1e-2,
    s: int = 1,
    batch: Callable[[Key], Posterior] | None = None,
    progress: Callable[[str], object] | None = None,
) -> tuple[DiagNormal, Trace]:
    """q after `steps` updates whose size falls to 0 along a cosine; the last objective is on fresh noise.

    batch: key -> a step's minibatch, such as lambda key: posterior.minibatch(keys.permutation(key, n)[:b]).
    """
    check_key(key)
    _check(posterior)
    steps, step_size = check_count("steps", steps), check_number("step_size", step_size, "[0, inf)")
    if batch is not None:
        check_function("batch", batch, "lambda key: posterior.minibatch(keys.permutation(key, n)[:b])")
    start_key, step_key, batch_key, fresh_key = keys.split(key, 4)
    check_log_p(posterior, keys.fold_in(fresh_key, FRESH))
    state, infos = init(posterior, start_key), []
    for i in range(steps):
        now = posterior if batch is None else batch(keys.fold_in(batch_key, i))
        size = step_size * (1 + math.cos(math.pi * i / steps)) / 2
        state, info = update(state, now, keys.fold_in(step_key, i), size, s)
        infos.append(info)
        if progress is not None and (i + 1) % EVERY == 0:
            progress(f"step {i + 1} of {steps}: ELBO {info.objective.item():.3f}")
    fresh = [elbo(state.q, posterior, keys.fold_in(fresh_key, i), CHUNK) for i in range(FRESH)]
    infos.append(_info(torch.cat([log_likelihood for log_likelihood, _ in fresh]), fresh[0][1]))
    return state.q, traced(infos, False, [info.standard_error for info in infos])


def _info(log_likelihood: Float[Tensor, " s"], kl: Float[Tensor, ""]) -> Info:
    many = len(log_likelihood)
    error = log_likelihood.std() / math.sqrt(many) if many > 1 else torch.full_like(kl, torch.nan)
    terms = {"log_likelihood": log_likelihood.mean(), "kl": -kl}
    return Info(log_likelihood.mean() - kl, terms, error)


def _with_ones(x: Float[Tensor, "n i"]) -> Float[Tensor, "n j"]:
    return torch.cat([x, torch.ones_like(x[:, :1])], 1)


def _kl(loc: Float[Tensor, " m"], log_scale: Float[Tensor, " m"], scale: float) -> Float[Tensor, ""]:
    """KL(N(loc, exp(log_scale)) || N(0, scale)), summed."""
    q = DiagNormal(loc[None], log_scale[None])
    p = DiagNormal(torch.zeros_like(q.loc), torch.full_like(q.loc, math.log(scale)))
    return q.kl(p)[0]


def _kl_of_sigma(loc: Float[Tensor, " m"], spread: Float[Tensor, " m"]) -> Float[Tensor, ""]:
    """KL of log sigma ~ N(loc, spread) from a half-normal sigma: E log q - E log p, with the Jacobian of sigma."""
    expected = math.log(2) - HALF_LOG_2PI - 0.5 * torch.exp(2 * loc + 2 * spread.square()) + loc
    return (-torch.log(spread) - HALF_LOG_2PI - 0.5 - expected).sum()


def _check(posterior: object) -> None:
    if not isinstance(posterior, Posterior) or tuple(posterior.support) != NAMES:
        raise TypeError(
            f"expected posterior, of a bayesian_network, got {described(posterior)}: local reparameterisation needs "
            "its layers; of other models take a posterior family of z"
        )
