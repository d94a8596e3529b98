"""The normal about a trained network's parameters: draws, its density, predictions, and log p(data)."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.checks import check_count, check_key, check_number, check_tensor
from jensen.core.contracts import Key
from jensen.core.trees import Params, Static
from jensen.estimators.inference.curvature import Likelihood, Linearised, Predicted
from jensen.estimators.inference.curvature.gauss_newton import Axes, Eigenvectors
from jensen.estimators.inference.curvature.kfac import Rotations
from jensen.estimators.inference.curvature.linearised import check_data, chunks

AT_MODE = 0.05  # nats for each effective parameter that a step may gain


class LogEvidence(NamedTuple):
    """log p(data) in nats, and its terms, which sum to it."""

    objective: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]


class Outputs(NamedTuple):
    """The normal over the network's outputs for each datum, whose expansion in the parameters is linear."""

    mean: Float[Tensor, "n c"]
    covariance: Float[Tensor, "n c c"]


class NetworkPosterior(NamedTuple):
    """N(parameters, (H + prior_precision I)^-1), by the eigenvalues (p,) of H and their basis."""

    linearised: Linearised
    likelihood: Static[Likelihood]
    basis: Rotations | Eigenvectors | Axes
    eigenvalues: Float[Tensor, " p"]
    slope: Float[Tensor, " p"]  # of the log likelihood, in the basis
    log_likelihood: Float[Tensor, ""]
    n: Float[Tensor, ""]
    prior_precision: Float[Tensor, ""]

    @property
    def log_evidence(self) -> Float[Tensor, ""]:
        """log p(data | prior_precision) by Laplace, in nats per data set."""
        return self.evidence().objective

    def evidence(self) -> LogEvidence:
        """It and its terms, in float64: "volume" is the log of the posterior's over the prior's."""
        h, precision = self.eigenvalues.double(), self.prior_precision
        square = self.linearised.vector().double().square().sum()
        terms = {
            "log_likelihood": self.log_likelihood,
            "prior": -0.5 * precision * square,
            "volume": -0.5 * torch.log1p(h / precision).sum(),
        }
        return LogEvidence(torch.stack([*terms.values()]).sum(), terms)

    @property
    def effective(self) -> Float[Tensor, ""]:
        """How many parameters the data determine, sum_i h_i / (h_i + prior_precision)."""
        h = self.eigenvalues.double()
        return (h / (h + self.prior_precision)).sum()

    @property
    def climb(self) -> Float[Tensor, ""]:
        """What a Gauss-Newton step would gain, in nats: 0 at a mode."""
        slope = self.slope - self.prior_precision * self.basis.into(self.linearised.vector())
        return 0.5 * (slope.double().square() / (self.eigenvalues + self.prior_precision)).sum()

    def under(self, prior_precision: float) -> "NetworkPosterior":
        """With another prior, about the same parameters."""
        precision = check_number("prior_precision", prior_precision, "(0, inf)", "1 / variance of each parameter")
        return self._replace(prior_precision=torch.full_like(self.prior_precision, precision))

    def draws(self, key: Key, s: int) -> Params:
        """Parameters with s in front of every leaf: torch.func.vmap(network, (0, None))(posterior.draws(key, s), x)."""
        check_key(key)
        s = check_count("s", s)
        mean = self.linearised.vector()
        noise = keys.normal(key, (s, len(mean)), mean.dtype)
        named = self.linearised.layout.value.named(mean + self.basis.out_of(noise * self._scale()))
        every = trees.map(lambda leaf: leaf.expand(s, *leaf.shape), self.linearised.parameters)
        return trees.from_paths({**trees.paths(every), **named}, every)

    def log_prob(self, parameters: Params) -> Float[Tensor, " s"]:
        """The normal's log density of the random ones of parameters as `draws` gives them, in nats."""
        found = trees.paths(parameters)
        random = self.linearised.random()
        trees.check_keys(found, trees.paths(self.linearised.parameters))
        for path, leaf in random.items():
            axes = " ".join(["s", *map(str, leaf.shape)])
            check_tensor(f"parameters {path}", found[path], axes, "as draws gives them")
        off = self.linearised.layout.value.flat({path: found[path] - leaf for path, leaf in random.items()})
        eps, scale = self.basis.into(off) / self._scale(), self._scale()
        return -(0.5 * eps.square() + scale.log() + 0.5 * math.log(2 * math.pi)).sum(-1)

    def outputs(self, x: Tensor) -> Outputs:
        """f(x) at the parameters, and its covariance J (H + prior_precision I)^-1 J'."""
        check_data(x)
        mean = self.linearised.outputs({}, x)
        variances, c = 1 / (self.eigenvalues + self.prior_precision), mean.shape[1]
        unit = torch.eye(c, dtype=mean.dtype, device=mean.device).expand(len(x), -1, -1)
        parts = [
            self.basis.covariance(self.linearised, x[at], unit[at], variances)
            for at in chunks(len(x), self.basis.elements(c, len(variances)))
        ]
        return Outputs(mean, torch.cat(parts))

    def predict(self, x: Tensor, key: Key | None = None, s: int = 1000) -> Predicted:
        """Mean and variance of responses at x, over parameters and noise.

        Exact of the linearised network for Gaussian noise; of classes by the probit approximation, or with a key by s
        draws of f.
        """
        found, likelihood = self.outputs(x), self.likelihood.value
        spread = found.covariance.diagonal(dim1=-2, dim2=-1)
        if key is None:
            mean = likelihood.softened(found.mean, spread)
            return Predicted(mean, likelihood.variance(mean, spread))
        check_key(key)
        s = check_count("s", s)
        factor = _root(found.covariance)
        noise = keys.normal(key, (s, *found.mean.shape), found.mean.dtype)
        each = likelihood.mean(found.mean + (factor @ noise[..., None])[..., 0])
        mean = each.mean(0)
        return Predicted(mean, likelihood.variance(mean, spread))

    def verdict(self) -> str:
        """Whether the parameters are at a mode, on which all of it rests, and what the data determine."""
        p, effective, climb = len(self.eigenvalues), self.effective.item(), self.climb.item()
        evidence = self.log_evidence.item()
        text = f"the data determine {effective:.3g} of {p} parameters; log p(data) is {evidence:.6g} nats"
        if climb > AT_MODE * max(effective, 1):
            return (
                f"{text}, too low by some {climb:.2g}: the parameters are not at a mode, where a step would gain that. "
                f"Train on with weight decay {self.prior_precision.item():.3g} |parameters|^2 / 2 for all data"
            )
        return f"{text}, with an error that is not estimated; at a mode, to {climb:.2g} nats"

    def _scale(self) -> Float[Tensor, " p"]:
        return torch.rsqrt(self.eigenvalues + self.prior_precision)


def _root(covariance: Float[Tensor, "n c c"]) -> Float[Tensor, "n c c"]:
    """A square root, whatever the rank."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp_min(0).sqrt()[..., None, :]
