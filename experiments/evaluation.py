"""What a fitted model is worth on test data: the ELBO and its terms, the evidence, active units, and a floor."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.distributions import DiagNormal, Hierarchical
from jensen.core.models import Model
from jensen.core.trees import Params
from jensen.estimators.evidence import Evidence, draw, from_log_weights
from jensen.experiments.compilation import compiled
from jensen.experiments.objectives import elbo_terms

ELBO_SAMPLES = 10
ROWS = 4000  # particles x data evaluated at once: their activations stay in cache


class Evaluation(NamedTuple):
    """Means over test data, in nats per datum; `error` is the Monte Carlo standard error of `nll`."""

    reconstruction: float
    kl: float
    nll: float
    error: float
    bits_per_dim: float
    active_units: int
    floor: float

    @property
    def elbo(self) -> float:
        return self.reconstruction - self.kl


@torch.no_grad()
def evaluate(model: Model, params: Params, train: Tensor, x: Tensor, k: int, key: Tensor, compile: bool) -> Evaluation:
    """Evaluates on x (n, D), with k importance samples per datum; `train` (N, D) fits the floor."""
    n, pixels = x.shape
    elbo_key, evidence_key = keys.split(key)

    def terms(params: Params, x: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        q = model.posterior(params["encoder"], x)
        return elbo_terms(model, params["decoder"], x, q, q.noise(key, ELBO_SAMPLES))

    chunk = min(k, 50)

    def log_weights(params: Params, q: Any, x: Tensor, key: Tensor) -> Tensor:
        return draw(lambda z: model.log_joint(params["decoder"], x, z), q, chunk, key)

    if compile:
        terms, log_weights = compiled(terms), compiled(log_weights)
    reconstruction, kl = over_data(lambda x, key: terms(params, x, key), x, elbo_key, ROWS // ELBO_SAMPLES)

    def evidence(x: Tensor, key: Tensor) -> Evidence:
        q = model.posterior(params["encoder"], x)
        return from_log_weights(lambda at: log_weights(params, q, x, at), key, k)

    nll, error, _, _ = over_data(evidence, x, evidence_key, max(1, ROWS // chunk))
    nll_mean = -nll.mean().item()
    return Evaluation(
        reconstruction=reconstruction.mean().item(),
        kl=kl.mean().item(),
        nll=nll_mean,
        error=error.square().sum().sqrt().item() / n,
        bits_per_dim=nll_mean / pixels / math.log(2),
        active_units=int((posterior_means(model, params, x).var(0) > 0.01).sum()),
        floor=-independent_pixels(model, train, x).mean().item(),
    )


def over_data(f: Callable[[Tensor, Tensor], Any], x: Tensor, key: Tensor, chunk: int) -> tuple[Tensor, ...]:
    """f(x, key) -> tensors (n,), over chunks of x (n, D); noise and results are those of the whole.

    The last chunk is filled up with its first datum, so that a compiled f sees one shape.
    """
    results = []
    for start, part in chunks(x, chunk):
        filled = torch.cat([part, part[:1].expand(min(chunk, len(x)) - len(part), -1)])
        results.append([t[: len(part)] for t in f(filled, keys.at(key, datum=start))])
    return tuple(torch.cat(each) for each in zip(*results, strict=True))


def chunks(x: Tensor, size: int) -> Iterator[tuple[int, Tensor]]:
    for start in range(0, len(x), size):
        yield start, x[start : start + size]


def average(values: Tensor, errors: Tensor) -> tuple[float, float]:
    """The mean over images and its Monte Carlo error."""
    return values.mean().item(), errors.square().sum().sqrt().item() / len(values)


def posterior_means(model: Model, params: Params, x: Tensor) -> Tensor:
    """E_q[z | x] of each datum, (n, d). A unit is active where its variance over data exceeds 0.01 (Burda, 2016).

    A hierarchical q has no mean in closed form: that of 100 samples, whose noise adds at most 0.0025 to the variance.
    """
    means, key = [], keys.key(0, x.device)
    for start, part in chunks(x, 250):
        q = model.posterior(params["encoder"], part)
        if isinstance(q, Hierarchical):
            means.append(q.sample(q.noise(keys.at(key, datum=start), 100)).mean(0))
        else:
            means.append(q.mean())
    return torch.cat(means).float()


def independent_pixels(model: Model, train: Tensor, x: Tensor) -> Tensor:
    """log p(x) (n,) of the model's likelihood fitted to each pixel of train by itself: what any model must beat."""
    if model.likelihood is DiagNormal:
        mean = train.mean(0)
        fitted = DiagNormal(
            mean, (train - mean).square().mean().sqrt().log().expand_as(mean)
        )  # one scale, as the model
    else:
        count = len(train)
        fitted = model.likelihood.from_mean((train.mean(0) * count + 1) / (count + 2))  # Laplace's rule
    return fitted.log_prob(x)
