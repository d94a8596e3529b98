"""The log densities that estimators are given: a model's, under the weights of a step."""

import torch
from torch import Tensor

from jensen.core import objectives, trees
from jensen.core.contracts import Distribution, LatentModel, Noise
from jensen.core.trees import Params
from jensen.experiments.run.program import Weights


class Joint:
    """log p(x, z) under the weights of a step, which keeps the two terms of its first evaluation.

    With a KL weight w it is log p(x | z) + w log p(z) + (1 - w) log q(z), so that log_w is
    log p(x | z) - w (log q(z) - log p(z)) for every estimator: q's part is a density like any other. `at_samples` is q
    as it is at the samples of the terms.
    """

    def __init__(
        self, model: LatentModel, params: Params, x: Tensor, q: Distribution, weights: Weights, at_samples: Distribution
    ):
        self.model, self.params, self.x, self.q, self.weights = model, params, x, q, weights
        self.at_samples = at_samples
        self.terms: tuple[Tensor, Tensor] | None = None

    def __call__(self, z: Tensor) -> Tensor:
        density, prior = self.model.likelihood(self.params, z).log_prob(self.x), self.model.log_prior(self.params, z)
        if self.terms is None:
            kl = objectives.kl(self.at_samples, self.model.prior(self.params, len(self.x)), z)
            self.terms = density.detach().mean(0), kl.detach()
        weight = self.weights.get("kl", prior.new_ones(())).to(prior.dtype)
        density = (density + weight * prior) / self.weights.get("posterior_temperature", 1.0)
        return density + (1 - weight) * self.q.log_prob(z) if "kl" in self.weights else density

    def stopped(self, q: Distribution) -> "Joint":
        """The same with no gradient for the model's parameters, and with q for its part of the KL's weight."""
        return Joint(self.model, trees.stop(self.params), self.x, q, self.weights, self.at_samples)

    def recorded(self) -> tuple[Tensor, Tensor]:
        """The reconstruction and the KL of the first evaluation, (n,) each."""
        assert self.terms is not None
        return self.terms

    def evaluated(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """The same at q's samples, evaluated for themselves."""
        with torch.no_grad():
            self.terms = None
            self(self.q.sample(noise))
        return self.recorded()


class Reconstruction:
    """log p(x | z) + log q(z), q stopped: its log_w is the likelihood, whose mean an estimator of the ELBO gives."""

    def __init__(self, model: LatentModel, params: Params, x: Tensor, q: Distribution):
        self.model, self.params, self.x, self.q = model, params, x, trees.stop(q)

    def __call__(self, z: Tensor) -> Tensor:
        return self.model.likelihood(self.params, z).log_prob(self.x) + self.q.log_prob(z)

    def stopped(self, q: Distribution) -> "Reconstruction":
        """The same with no gradient for the model's parameters."""
        return Reconstruction(self.model, trees.stop(self.params), self.x, q)
