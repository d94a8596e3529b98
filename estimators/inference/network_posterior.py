"""The normal about a trained network's parameters: draws, its density, predictions, and log p(data)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.checks import check_count, check_key, check_tensor, described
from jensen.core.contracts import Key
from jensen.core.trees import Params, Static
from jensen.estimators.inference.curvature import Gaussian, Likelihood, Linearised, Predicted
from jensen.estimators.inference.curvature.bases import Spectrum
from jensen.estimators.inference.curvature.groups import Groups
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
    """N(parameters, (H + diag(prior_precision))^-1), with a prior precision for each of g groups of parameters.

    By the eigenvalues of D H D, D = diag(prior_precision)^(-1/2): parameters over D have the prior N(0, I).
    """

    linearised: Linearised
    likelihood: Static[Likelihood]
    curvature: Spectrum  # of H
    slope: Float[Tensor, " p"]  # of the log likelihood
    log_likelihood: Float[Tensor, ""]
    n: Float[Tensor, ""]
    responses: int  # numbers in all of y
    groups: Groups
    prior_precision: Float[Tensor, " g"]
    scaled: Spectrum  # of D H D

    @property
    def log_evidence(self) -> Float[Tensor, ""]:
        """log p(data | prior_precision) by Laplace, in nats per data set."""
        return self.evidence().objective

    def evidence(self) -> LogEvidence:
        """It and its terms, in float64: "volume" is the log of the posterior's over the prior's."""
        terms = {
            "log_likelihood": self.log_likelihood,
            "prior": -0.5 * (self.prior_precision * self.squares).sum(),
            "volume": -0.5 * torch.log1p(self.scaled.eigenvalues.double()).sum(),
        }
        return LogEvidence(torch.stack([*terms.values()]).sum(), terms)

    @property
    def squares(self) -> Float[Tensor, " g"]:
        """|parameters|^2 of each group."""
        return self.groups.sums(self.linearised.vector().double().square())

    @property
    def effective(self) -> Float[Tensor, " g"]:
        """How many parameters of each group the data determine; of one group sum_i h_i / (h_i + prior_precision)."""
        h = self.scaled.eigenvalues.double()
        return self.scaled.basis.traces(h / (1 + h), self.groups)

    @property
    def climb(self) -> Float[Tensor, ""]:
        """What a Gauss-Newton step would gain, in nats: 0 at a mode."""
        slope = self.slope - self._precisions() * self.linearised.vector()
        along = self.scaled.basis.into(self._scale() * slope).double()
        return 0.5 * (along.square() / (1 + self.scaled.eigenvalues)).sum()

    def under(self, prior_precision: float | Sequence[float]) -> "NetworkPosterior":
        """With another prior, about the same parameters: one precision for all groups, or one for each."""
        return self.with_precisions(self.groups.precisions(prior_precision))

    def with_precisions(self, prior_precision: Float[Tensor, " g"]) -> "NetworkPosterior":
        """The same of a tensor, unchecked."""
        moved = self._replace(prior_precision=prior_precision)
        return moved._replace(scaled=self.curvature.scaled(moved._scale()))

    def with_noise(self, sigma: float) -> "NetworkPosterior":
        """With another standard deviation of Gaussian noise, about the same parameters."""
        old, new = self._gaussian(), Gaussian(sigma)
        ratio = (old.sigma / new.sigma) ** 2
        return self._replace(
            likelihood=Static(new),
            curvature=self.curvature.times(ratio),
            slope=self.slope * ratio,
            log_likelihood=new.summed_log_prob(ratio * self.squared_errors, self.responses),
            scaled=self.scaled.times(ratio),
        )

    @property
    def sigma(self) -> float:
        """The standard deviation of Gaussian noise."""
        return self._gaussian().sigma

    @property
    def squared_errors(self) -> Float[Tensor, ""]:
        """sum (y - f)^2 / sigma^2 of Gaussian noise, over all responses."""
        return self._gaussian().squares(self.log_likelihood, self.responses)

    def draws(self, key: Key, s: int) -> Params:
        """Parameters with s in front of every leaf: torch.func.vmap(network, (0, None))(posterior.draws(key, s), x)."""
        check_key(key)
        s = check_count("s", s)
        mean = self.linearised.vector()
        noise = keys.normal(key, (s, len(mean)), mean.dtype)
        off = self._scale() * self.scaled.basis.out_of(noise * torch.rsqrt(1 + self.scaled.eigenvalues))
        named = self.linearised.layout.value.named(mean + off)
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
        wide, scale = torch.rsqrt(1 + self.scaled.eigenvalues), self._scale()
        eps = self.scaled.basis.into(off / scale) / wide
        return -(0.5 * eps.square() + (wide * scale).log() + 0.5 * math.log(2 * math.pi)).sum(-1)

    def outputs(self, x: Tensor) -> Outputs:
        """f(x) at the parameters, and its covariance J (H + diag(prior_precision))^-1 J'."""
        check_data(x)
        mean = self.linearised.outputs({}, x)
        basis, variances, c = self.scaled.basis, 1 / (1 + self.scaled.eigenvalues), mean.shape[1]
        unit = torch.eye(c, dtype=mean.dtype, device=mean.device).expand(len(x), -1, -1)
        parts = [
            basis.covariance(self.linearised, x[at], unit[at], self._scale(), variances)
            for at in chunks(len(x), basis.elements(c, len(variances)))
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
        p, effective, climb = len(self.slope), self.effective.sum().item(), self.climb.item()
        evidence = self.log_evidence.item()
        text = f"the data determine {effective:.3g} of {p} parameters; log p(data) is {evidence:.6g} nats"
        if climb > AT_MODE * max(effective, 1):
            return (
                f"{text}, too low by some {climb:.2g}: the parameters are not at a mode, where a step would gain that. "
                f"Train on with weight decay {self._decay()} |parameters|^2 / 2 for all data"
            )
        return f"{text}, with an error that is not estimated; at a mode, to {climb:.2g} nats"

    def _gaussian(self) -> Gaussian:
        likelihood = self.likelihood.value
        if not isinstance(likelihood, Gaussian):
            raise TypeError(f"expected noise of a Gaussian likelihood, got {described(likelihood)}: leave noise out")
        return likelihood

    def _decay(self) -> str:
        """Of each group."""
        each = [f"{value:.3g}" for value in self.prior_precision.tolist()]
        return (
            each[0] if len(each) == 1 else ", ".join(map(" of ".join, zip(each, self.groups.starts.value, strict=True)))
        )

    def _precisions(self) -> Float[Tensor, " p"]:
        return self.prior_precision[self.groups.of].to(self.slope)

    def _scale(self) -> Float[Tensor, " p"]:
        """D."""
        return torch.rsqrt(self._precisions())


def _root(covariance: Float[Tensor, "n c c"]) -> Float[Tensor, "n c c"]:
    """A square root, whatever the rank."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp_min(0).sqrt()[..., None, :]
