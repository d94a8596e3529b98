"""The Poisson VAE as a program: its KL in closed form, and the expected likelihood exact, relaxed or by the score."""

from dataclasses import dataclass
from typing import Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import bounds, objectives
from jensen.core.contracts import Distribution, Key, Noise
from jensen.core.distributions import Poisson
from jensen.core.models.latent.poisson import PoissonVAE
from jensen.core.objectives import Beta, Terms
from jensen.core.trees import Params, Tree
from jensen.experiments.data.images import Images
from jensen.experiments.programs.density import Reconstruction
from jensen.experiments.programs.latent import LatentProgram
from jensen.experiments.report.sparse import sparse_figures, sparsity
from jensen.experiments.run.program import Finding, Weights

Path = Literal["exact", "relaxed", "score"]


@dataclass(frozen=True)
class CountProgram(LatentProgram):
    """Under the ELBO, its KL under a weight; under any other bound the score's, as for every discrete posterior."""

    model: PoissonVAE
    path: Path  # what the gradient of E_q log p(x | z) follows
    arrivals: int  # of each unit, beyond which relaxed counts are cut
    temperature: float  # of relaxed counts

    def of_terms(self, q: Distribution, weights: Weights) -> bool:
        return self.estimation.the_bound == bounds.elbo

    def weighted(
        self, params: Params, x: Tensor, q: Distribution, noise: Noise, weights: Weights, state: Tree
    ) -> tuple[Terms, Tensor, Tree]:
        """The two terms of the ELBO, and the loss of what the score's baseline learns."""
        assert isinstance(q, Poisson)
        kl, extra = q.kl(self.model.prior(params["model"], len(x))), x.new_zeros(len(x))
        if self.path == "exact":
            reconstruction = self.model.reconstruction(params["model"], x)
        elif self.path == "relaxed":
            z = q.relaxed(q.arrivals(noise), self.temperature).to(x.dtype)
            reconstruction = self.model.likelihood(params["model"], z).log_prob(x).mean(0)
        else:
            log_p = Reconstruction(self.model, params["model"], x, q)
            reconstruction, extra = self.value(log_p, params, x, q, noise, bounds.elbo, weights)
        objective = self.estimation.the_objective
        assert isinstance(objective, Beta)
        return objectives.beta(reconstruction, kl, objective.weight * weights.get("kl", 1.0)), extra, state

    def noise(self, q: Distribution, key: Key) -> Noise:
        if self.path == "relaxed":
            assert isinstance(q, Poisson)
            return q.arrival_noise(key, self.estimation.k, self.arrivals)
        return q.noise(key, self.estimation.k)

    @torch.no_grad()
    def score(self, params: Params, state: Tree, batch: Tensor, key: Key, /) -> Tensor:
        """The ELBO, without samples where the model is linear."""
        if not self.model.linear or not self.of_terms(self.model.posterior(params["model"], batch), {}):
            return super().score(params, state, batch, key)
        kl = self.model.posterior(params["model"], batch).kl(self.model.prior(params["model"], len(batch)))
        return self.model.reconstruction(params["model"], batch) - kl

    def figures(self, params: Params, state: Tree, data: Images, key: Key, /) -> dict[str, Figure]:
        return sparse_figures(self.model, params["model"], data)

    def report(self, params: Params, state: Tree, data: Images, key: Key, /) -> list[Finding]:
        what, test = super().report(params, state, data, key)
        return [what, test, sparsity(self.model, params["model"], data.test)]
