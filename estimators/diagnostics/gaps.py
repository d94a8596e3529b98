"""The inference gaps of Cremer et al. (2018): approximation, of the family, and amortisation, of the encoder.

Approximates  log p(x) - ELBO(q) = [log p(x) - ELBO(q*)] + [ELBO(q*) - ELBO(q)], q* the best of a family for each datum
With          q* found by Adam on stl's gradient, from the encoder's q or from any other value, on fresh noise each
              step; both ELBOs from the same s fresh samples
Requires      log p(x) or an estimate of it, (n,); a reparameterised family
Unbiased when q* is the optimum; else the approximation gap is too large by as much as the amortisation gap is small.
              An importance estimate of log p(x) is too small on average, and the approximation gap with it
Cost          steps x s gradients of log_p per datum
Reference     Cremer et al., 2018
"""

import math
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import distributions, keys, trees
from jensen.core.checks import (
    check_count,
    check_distribution,
    check_floating,
    check_function,
    check_key,
    check_number,
)
from jensen.core.contracts import Distribution, Key, LogDensity
from jensen.estimators.gradients import stl
from jensen.estimators.gradients.contract import density
from jensen.estimators.wording import no_verdict

Q = TypeVar("Q", bound=Distribution)


class Gaps(NamedTuple):
    """Each (n,), in nats per datum; approximation + amortisation = log p(x) - encoder, to rounding."""

    encoder: Float[Tensor, " n"]  # the ELBO of the q that was given
    best: Float[Tensor, " n"]  # the ELBO of q*
    approximation: Float[Tensor, " n"]  # log p(x) - best
    amortisation: Float[Tensor, " n"]  # best - encoder
    approximation_error: Float[Tensor, " n"]  # standard errors over samples
    amortisation_error: Float[Tensor, " n"]

    def verdict(self) -> str:
        broken = ~torch.isfinite(torch.stack(list(self))).all(0)
        if broken.any():
            return no_verdict(broken, "data", "log_evidence and both ELBOs")
        family, encoder = self.approximation.mean().item(), self.amortisation.mean().item()
        n = len(self.best)
        errors = [e.square().sum().sqrt().item() / n for e in (self.approximation_error, self.amortisation_error)]
        text = (
            f"of {family + encoder:.3g} nats per datum between log p(x) and the encoder's ELBO, {family:.3g} ± "
            f"{errors[0]:.2g} are the family's (approximation) and {encoder:.3g} ± {errors[1]:.2g} the encoder's "
            "(amortisation)"
        )
        sure = [gap > 2 * max(error, 1e-12) for gap, error in zip((family, encoder), errors, strict=True)]
        if not any(sure):
            return f"{text}: neither is 2 standard errors above 0, so there is nothing to gain that this shows"
        if not sure[encoder > family] or abs(encoder - family) <= 2 * math.hypot(*errors):
            return f"{text}: about equal as far as this shows, which more samples may tell apart"
        if encoder > family:
            return f"{text}: a larger encoder, or more training of it, gains more than a richer family"
        return f"{text}: a richer family gains more than a larger encoder"


def inference_gaps(
    log_p: LogDensity,
    q: Distribution,
    log_evidence: Float[Tensor, " n"],
    key: Key,
    start: Distribution | None = None,
    steps: int = 500,
    s: int = 10,
    lr: float = 0.05,
    samples: int = 500,
) -> Gaps:
    """The gaps of the encoder's q, (n, d) fields; q* is optimised from `start`, by default q itself.

    `start` chooses the family: any reparameterised distribution of one row per datum whose fields are free parameters,
    such as FullNormal.from_diagonal(q), or Pushforward(q, flows.real_nvp(key, d, n=n)) for a flow. log_p: z (s, n, d)
    -> (s, n), the log joint density. Arguments are neither changed nor differentiated. ValueError for fewer than two
    samples, which have no standard error.
    """
    check_floating("log_evidence", log_evidence, "n", "one value for each datum")
    check_key(key)
    samples = check_count("samples", samples, 2)
    fitting, judging = keys.split(key)
    start = q if start is None else start
    for name, value in (("q", q), ("start", start)):
        check_distribution(name, value)
        _check_data(name, value, judging, len(log_evidence))
    best = fit_each(log_p, start, fitting, steps, s, lr)
    with torch.no_grad():
        at_best, at_q = (_log_weights(log_p, value, judging, samples) for value in (best, q))
        gain, elbo = at_best - at_q, at_best.mean(0)
        return Gaps(
            at_q.mean(0),
            elbo,
            log_evidence - elbo,
            gain.mean(0),
            at_best.std(0) / samples**0.5,
            gain.std(0) / samples**0.5,
        )


def fit_each(log_p: LogDensity, start: Q, key: Key, steps: int = 500, s: int = 10, lr: float = 0.05) -> Q:
    """The member of `start`'s family with the highest ELBO for each datum, by `steps` of Adam, lr falling to 0.

    Constrained fields move in coordinates without constraints, see `distributions.to_real`, and stay in their domains.
    Where every leaf of `start` has a row per datum, the optimisation is one for each datum.
    """
    check_function("log_p", log_p, "partial(model.log_joint, params, x)")
    check_distribution("start", start)
    check_key(key)
    steps, s, lr = check_count("steps", steps), check_count("s", s), check_number("lr", lr, "(0, inf)")
    if not start.reparameterised:
        raise TypeError(
            f"fit_each needs a reparameterised start, got {type(start).__name__}: take a family such as DiagNormal"
        )
    free = trees.map(torch.clone, distributions.to_real(trees.stop(start)))
    fields = trees.leaves(free)
    optimiser = torch.optim.Adam(fields, lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 1 / steps, steps)

    def loss(free: Q, key: Key) -> Tensor:
        q = distributions.from_real(start, free)
        return -stl(log_p, q, q.noise(key, s)).sum()

    for step in range(steps):
        trees.set_grads(free, torch.func.grad(loss)(free, keys.fold_in(key, step)))
        optimiser.step()
        schedule.step()
    return trees.stop(distributions.from_real(start, free))


def _check_data(name: str, q: Distribution, key: Key, n: int) -> None:
    with torch.no_grad():
        rows = trees.leaves(q.sample(q.noise(key, 1)))[0].shape[1]  # of which the shape alone is used
    if rows != n:
        raise ValueError(
            f"expected {name} and log_evidence of as many data, got {rows} and {n}: one value for each datum"
        )


def _log_weights(log_p: LogDensity, q: Distribution, key: Tensor, s: int) -> Tensor:
    z, log_q = distributions.draw(q, key, s)
    return density(log_p, z) - log_q
