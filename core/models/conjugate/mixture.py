"""Bayesian mixtures (Attias, 2000; of a Dirichlet process Blei and Jordan, 2006)."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad
from torch.nn import functional as F

from jensen.core import trees
from jensen.core.checks import check_floating
from jensen.core.contracts import Key
from jensen.core.exponential import ExponentialFamily
from jensen.core.models.conjugate.contract import Factors, expected_log_prob
from jensen.core.models.conjugate.observations import Observations, check_observations
from jensen.core.models.conjugate.weights import Weights, check_weights
from jensen.core.models.quantised import kmeans
from jensen.core.numerics import log_sum_exp
from jensen.core.ops import nearest_code
from jensen.core.trees import Tree

ITERATIONS = 10  # of k-means, from which q starts


class Mixture(NamedTuple):
    """x_i from component k with probability weight_k; both unknown.

        model = Mixture(Shares(torch.ones(5) / 5), normals(x))        # or Sticks(torch.ones(20))

    Factors  weights, components
    Local    the component of each datum, summed out
    """

    weights: Weights
    observations: Observations

    @property
    def families(self) -> dict[str, ExponentialFamily]:
        return {"weights": self.weights.family, "components": self.observations.family}

    @property
    def blocks(self) -> tuple[tuple[str, ...], ...]:
        return (("weights", "components"),)

    def prepare(self, x: Tensor, /) -> Tensor:
        """The observations' rows."""
        check_weights(self.weights)
        check_observations(self.observations)
        check_floating("concentration", self.weights.concentration, "k", "one for each component")
        return self.observations.prepare(x)

    def start(self, key: Key, rows: Tensor, /) -> Factors:
        """The best factors of clusters that k-means makes."""
        x, k = self.observations.coordinates(rows), len(self.weights.concentration)
        centres = kmeans.fit(x, kmeans.start(key, x, k), ITERATIONS)
        return self.given(F.one_hot(nearest_code(x, centres)[0], k).to(rows.dtype), rows)

    def given(self, shares: Float[Tensor, "n k"], rows: Tensor) -> Factors:
        """The best factors of data that belong to components with these probabilities."""

        def log_joint(means: Factors) -> Tensor:
            log_prior = torch.stack(list(self.log_prior(means).values())).sum()
            return log_prior + (shares.mT * self._log_joint(means, rows)).double().sum()

        return grad(log_joint)(trees.map(torch.zeros_like, self._prior()))  # linear in the means, so at any

    def log_prior(self, means: Factors, /) -> dict[str, Tensor]:
        """E log p of the weights, and of the components."""
        prior = self._prior()
        return {name: expected_log_prob(family, prior[name], means[name]) for name, family in self.families.items()}

    def log_likelihood(self, means: Factors, rows: Tensor, local: Tree, /) -> tuple[Float[Tensor, " n"], Tree]:
        """log sum_k exp(E log weight_k + E log p(x | k)), whose slopes are the responsibilities."""
        return log_sum_exp(self._log_joint(means, rows), 0), {}

    def responsibilities(self, means: Factors, rows: Tensor) -> Float[Tensor, "n k"]:
        """q(component of each datum)."""
        return torch.softmax(self._log_joint(means, rows), 0).mT

    def posterior(self, natural: Factors, /) -> dict[str, Any]:
        """The weights, of one row, and the components, one row each."""
        return {
            "weights": self.weights.posterior(natural["weights"]),
            "components": self.observations.posterior(natural["components"]),
        }

    def _prior(self) -> Factors:
        k = len(self.weights.concentration)
        return {"weights": self.weights.natural(), "components": self.observations.natural(k)}

    def _log_joint(self, means: Factors, rows: Tensor) -> Tensor:
        log_p = self.observations.log_prob(means["components"], rows)
        return log_p + self.weights.log_weights(means["weights"]).to(log_p.dtype)[:, None]
