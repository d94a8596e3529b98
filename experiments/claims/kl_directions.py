"""Normals fitted by either direction of the KL to many random targets, and what each says of their evidence."""

from typing import NamedTuple

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Distribution, Key
from jensen.core.distributions import DiagNormal, FullNormal
from jensen.estimators.diagnostics import fit_each
from jensen.estimators.evidence import draw, importance

COMPONENTS, D, SAMPLES = 3, 2, 100


class Targets(NamedTuple):
    """n mixtures of normals, whose masses sum to the evidence: log_mass (n, k), loc (n, k, d), scale (n, k, 1)."""

    log_mass: Tensor
    loc: Tensor
    scale: Tensor

    @classmethod
    def random(cls, n: int, key: Key) -> "Targets":
        """Masses log-normal, means normal with standard deviation 2, scales log-normal around 0.5."""
        mass, place, width = keys.split(key, 3)
        return cls(
            keys.normal(mass, (n, COMPONENTS), torch.float64),
            2 * keys.normal(place, (n, COMPONENTS, D), torch.float64),
            0.5 * (0.3 * keys.normal(width, (n, COMPONENTS, 1), torch.float64)).exp(),
        )

    def log_p(self, z: Tensor) -> Tensor:
        """z (s, n, d) -> (s, n)."""
        each = torch.distributions.Normal(self.loc, self.scale).log_prob(z[:, :, None]).sum(-1)
        return torch.logsumexp(self.log_mass + each, -1)

    def log_evidence(self) -> Tensor:
        return torch.logsumexp(self.log_mass, -1)

    def moments(self) -> FullNormal:
        """The normal of least forward KL, which has the target's mean and covariance."""
        weight = self.log_mass.softmax(-1)[..., None]
        mean = (weight * self.loc).sum(1)
        off = self.loc - mean[:, None]
        own = (weight * self.scale.square()).sum(1)[..., None] * torch.eye(D, dtype=torch.float64)
        return FullNormal.from_covariance(mean, own + torch.einsum("nki,nkj->nij", weight * off, off))

    def sample(self, key: Key, s: int) -> Tensor:
        """Draws of the normalised targets, (s, n, d)."""
        choice, noise = keys.split(key)
        u = keys.uniform(choice, (s, len(self.loc)), torch.float64)
        below = self.log_mass.softmax(-1).cumsum(-1)[:, :-1]
        picked = (u[..., None] >= below).sum(-1)
        rows = torch.arange(len(self.loc))
        return self.loc[rows, picked] + self.scale[rows, picked] * keys.normal(
            noise, (s, len(self.loc), D), torch.float64
        )


class Direction(NamedTuple):
    """How an estimate follows the log evidence over targets, in nats."""

    estimate: str
    mean_error: float
    rms: float
    correlation: float


def directions(n: int, steps: int, key: Key) -> list[Direction]:
    """Both fits of full normals to n targets: their bounds, and importance sampling from them."""
    target_key, fit_key, bound_key, draw_key, key = keys.split(key, 5)
    target = Targets.random(n, target_key)
    start = FullNormal.from_diagonal(DiagNormal(torch.zeros(n, D).double(), torch.zeros(n, D).double()))
    reverse, forward = fit_each(target.log_p, start, fit_key, steps=steps, s=20), target.moments()
    elbo = draw(target.log_p, reverse, 2000, bound_key).mean(0)
    z = target.sample(draw_key, 2000)
    above = (target.log_p(z) - forward.log_prob(z)).mean(0)
    return [
        judged("reverse KL: the ELBO, a bound from below", elbo, target),
        judged("forward KL: its bound from above", above, target),
        judged(f"reverse KL: importance sampling, K = {SAMPLES}", by_importance(target, reverse, key), target),
        judged(f"forward KL: importance sampling, K = {SAMPLES}", by_importance(target, forward, key), target),
    ]


def by_importance(target: Targets, q: Distribution, key: Key) -> Tensor:
    return importance(target.log_p, q, key, SAMPLES).log_p


def judged(name: str, estimate: Tensor, target: Targets) -> Direction:
    truth = target.log_evidence()
    off = estimate - truth
    correlation = torch.corrcoef(torch.stack([estimate, truth]))[0, 1]
    return Direction(name, off.mean().item(), off.square().mean().sqrt().item(), correlation.item())
