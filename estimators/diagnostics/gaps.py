"""Where a posterior loses its nats: to its family (approximation) or to its encoder (amortisation).

Approximates  log p(x) - ELBO(q) = [log p(x) - ELBO(q*)] + [ELBO(q*) - ELBO(q)], q* the best of a family for each datum
With          q* found by Adam on stl's gradient, from the encoder's q or from any other value, on fresh noise each
              step; both ELBOs from the same s fresh samples
Requires      log p(x) or an estimate of it, (n,); a reparameterised family
Unbiased when q* is the optimum; short of it, the approximation gap is too large by what the amortisation gap lacks.
              An importance estimate of log p(x) is too small on average, and the approximation gap with it
Cost          steps x s gradients of log_p per datum
Reference     Cremer et al., 2018
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.distributions import DiagNormal
from jensen.core.distributions.shapes import check_value, noise_shape
from jensen.core.ops import bounded
from jensen.core.ops.normal_log_prob import HALF_LOG_2PI
from jensen.estimators.gradients.contract import LogDensity, density, require_path
from jensen.estimators.gradients.pathwise import stl


class Gaps(NamedTuple):
    """Each (n,), in nats per datum; approximation + amortisation = log p(x) - encoder, to rounding."""

    encoder: Float[Tensor, " n"]  # the ELBO of the q that was given
    best: Float[Tensor, " n"]  # the ELBO of q*
    approximation: Float[Tensor, " n"]  # log p(x) - best
    amortisation: Float[Tensor, " n"]  # best - encoder
    approximation_error: Float[Tensor, " n"]  # standard errors over samples
    amortisation_error: Float[Tensor, " n"]

    def verdict(self) -> str:
        family, encoder = self.approximation.mean().item(), self.amortisation.mean().item()
        n = len(self.best)
        errors = [e.square().sum().sqrt().item() / n for e in (self.approximation_error, self.amortisation_error)]
        text = (
            f"of {family + encoder:.3g} nats per datum between log p(x) and the encoder's ELBO, {family:.3g} ± "
            f"{errors[0]:.2g} are the family's (approximation) and {encoder:.3g} ± {errors[1]:.2g} the encoder's "
            "(amortisation)"
        )
        if max(family / max(errors[0], 1e-12), encoder / max(errors[1], 1e-12)) < 2:
            return f"{text}: neither is 2 standard errors above 0, so there is nothing to gain that this shows"
        if encoder > family:
            return f"{text}: a larger encoder, or more training of it, gains more than a richer family"
        return f"{text}: a richer family gains more than a larger encoder"


class FullNormal(NamedTuple):
    """N(loc, L L^T), one per datum, with L lower triangular: its diagonal exp(log_scale), below it that of `lower`."""

    loc: Float[Tensor, "n d"]
    log_scale: Float[Tensor, "n d"]
    lower: Float[Tensor, "n d d"]  # what is on and above the diagonal is ignored

    reparameterised = True

    @classmethod
    def from_diagonal(cls, q: DiagNormal) -> "FullNormal":
        """The same distribution, free to correlate."""
        return cls(
            q.loc, q.log_scale, torch.zeros(*q.loc.shape, q.loc.shape[-1], dtype=q.loc.dtype, device=q.loc.device)
        )

    def noise(self, key: Int[Tensor, "3"], s: int) -> Float[Tensor, "s n d"]:
        """Standard normal noise (s, n, d) for `sample`."""
        return keys.normal(key, noise_shape(self.loc, s, 2), self.loc.dtype)

    def sample(self, eps: Float[Tensor, "s n d"]) -> Float[Tensor, "s n d"]:
        """z = loc + L eps, differentiable in all fields."""
        check_value(eps, self.loc)
        return self.loc + (self._factor() @ eps[..., None])[..., 0]

    def log_prob(self, z: Float[Tensor, "s n d"]) -> Float[Tensor, "s n"]:
        """log N(z; loc, L L^T) in nats per datum."""
        check_value(z, self.loc)
        eps = torch.linalg.solve_triangular(self._factor(), (z - self.loc)[..., None], upper=False)[..., 0]
        return -(0.5 * eps.square() + bounded(self.log_scale) + HALF_LOG_2PI).sum(-1)

    def _factor(self) -> Tensor:
        return torch.tril(self.lower, -1) + torch.diag_embed(torch.exp(bounded(self.log_scale)))


def inference_gaps(
    log_p: LogDensity,
    q: Any,
    log_evidence: Float[Tensor, " n"],
    key: Int[Tensor, "3"],
    start: Any = None,
    steps: int = 500,
    s: int = 10,
    lr: float = 0.05,
    samples: int = 500,
) -> Gaps:
    """The gaps of the encoder's q, (n, d) fields, whose best relative is looked for from `start`, by default q itself.

    `start` chooses the family: any reparameterised value of one row per datum whose fields are free parameters, such
    as FullNormal.from_diagonal(q). log_p: z (s, n, d) -> (s, n), the log joint density. Nothing that is given changes,
    and no gradient flows to it.
    """
    fitting, judging = keys.split(key)
    best = fit_each(log_p, q if start is None else start, fitting, steps, s, lr)
    with torch.no_grad():
        at_best, at_q = (_log_weights(log_p, value, judging, samples) for value in (best, q))
        if log_evidence.shape != at_q.shape[1:]:
            raise ValueError(
                f"expected log_evidence ({at_q.shape[1]},), one per datum, got {tuple(log_evidence.shape)}"
            )
        gain, elbo = at_best - at_q, at_best.mean(0)
        return Gaps(
            at_q.mean(0),
            elbo,
            log_evidence - elbo,
            gain.mean(0),
            at_best.std(0) / samples**0.5,
            gain.std(0) / samples**0.5,
        )


def fit_each(
    log_p: LogDensity, start: Any, key: Int[Tensor, "3"], steps: int = 500, s: int = 10, lr: float = 0.05
) -> Any:
    """The value of `start`'s family with the highest ELBO for each datum, by `steps` of Adam, lr falling to 0.

    Data do not share anything, so that each is fitted as if alone.
    """
    require_path(start)
    fields = [t.detach().clone().requires_grad_() for t in start]
    optimiser = torch.optim.Adam(fields, lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 1 / steps, steps)
    family = type(start)
    with torch.enable_grad():
        for step in range(steps):
            q = family(*fields)
            loss = -stl(log_p, q, q.noise(keys.fold_in(key, step), s)).sum()
            for field, gradient in zip(fields, torch.autograd.grad(loss, fields), strict=True):
                field.grad = gradient
            optimiser.step()
            schedule.step()
    return trees.stop(family(*fields))


def _log_weights(log_p: LogDensity, q: Any, key: Tensor, s: int) -> Tensor:
    z = q.sample(q.noise(key, s))
    return density(log_p, z) - q.log_prob(z)
