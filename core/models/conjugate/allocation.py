"""Latent Dirichlet allocation (Blei et al., 2003; by natural gradients Hoffman et al., 2013)."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.checks import check_floating
from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.distributions import Dirichlet
from jensen.core.exponential import DirichletFamily, ExponentialFamily, inner, mean_parameters
from jensen.core.models.conjugate.contract import Factors, expected_log_prob, wide
from jensen.core.numerics import at_least_float32
from jensen.core.trees import Tree

ITERATIONS = 20  # of a document's shares, within a sweep


class Allocation(NamedTuple):
    """x (n, v), counts of v words in n documents; each word from a topic, topics from the document's shares.

    shares (1, k) is the Dirichlet prior of a document's shares of k topics; topics (k, v) of each topic's words.

    Factors  topics
    Local    the topic of each word, summed out; each document's shares, at their best in `ITERATIONS` steps
    """

    shares: Dirichlet
    topics: Dirichlet

    @property
    def families(self) -> dict[str, ExponentialFamily]:
        return {"topics": DirichletFamily()}

    @property
    def blocks(self) -> tuple[tuple[str, ...], ...]:
        return (("topics",),)

    def prepare(self, x: Float[Tensor, "n v"], /) -> Float[Tensor, "n v"]:
        """The counts, checked."""
        k = len(self.topics.concentration)
        check_floating("shares", self.shares.concentration, f"1 {k}", "as many topics as `topics` has rows")
        check_floating("x", x, f"n {self.topics.concentration.shape[-1]}", "a count for each word of each document")
        x = at_least_float32(x)
        if is_concrete(x) and not ((x >= 0) & x.isfinite()).all():
            raise ValueError("expected x of counts, got negative numbers, NaN or inf: count each document's words")
        return x

    def start(self, key: Key, rows: Float[Tensor, "n v"], /) -> Factors:
        """The prior, with the words spread over topics at random."""
        k, v = self.topics.concentration.shape
        spread = torch.softmax(2 * keys.normal(key, (v, k), torch.float64), -1).mT
        return {"topics": {"log": self._prior()["log"] + spread * rows.double().sum(0)}}

    def log_prior(self, means: Factors, /) -> dict[str, Tensor]:
        """E log p(topics)."""
        return {"topics": expected_log_prob(DirichletFamily(), self._prior(), means["topics"])}

    def log_likelihood(self, means: Factors, rows: Float[Tensor, "n v"], local: Tree, /) -> tuple[Tensor, Tree]:
        """sum_v x_v log sum_k exp(E log share_k + E log topic_kv) - KL(q(shares) || p(shares)), of each document."""
        family = DirichletFamily()
        log_topics = means["topics"]["log"].to(rows.dtype)
        prior = trees.map(lambda t: t.to(rows.dtype), family.natural(self.shares))
        eta = local or {"log": prior["log"] + rows.sum(-1, keepdim=True) / prior["log"].shape[-1]}
        for _ in range(ITERATIONS):
            eta = {"log": prior["log"] + _counts(mean_parameters(family, eta)["log"], log_topics.detach(), rows)}
        mean = mean_parameters(family, eta)
        log_p = _log_masses(mean["log"], log_topics)
        change = trees.map(torch.sub, prior, eta)
        rise = family.log_partition(eta) - family.log_partition(prior)
        return (rows * log_p).sum(-1) + inner(family, change, mean) + rise, eta

    def documents(self, means: Factors, rows: Float[Tensor, "n v"]) -> Dirichlet:
        """q(shares) of each document."""
        return DirichletFamily().from_natural(self.log_likelihood(means, rows, {})[1])

    def posterior(self, natural: Factors, /) -> dict[str, Any]:
        """The topics, one row each."""
        return {"topics": DirichletFamily().from_natural(natural["topics"])}

    def _prior(self) -> dict[str, Tensor]:
        return wide(DirichletFamily().natural(self.topics))


def _log_masses(log_shares: Tensor, log_topics: Tensor) -> Tensor:
    """log sum_k exp(log_shares_k + log_topics_kv), (n, v), by a product; of each row and each word the largest is 1."""
    shares, row = _scaled(log_shares, -1)
    topics, word = _scaled(log_topics, -2)
    masses = shares @ topics
    return torch.log(masses.clamp_min(torch.finfo(masses.dtype).tiny)) + row + word


def _counts(log_shares: Tensor, log_topics: Tensor, rows: Tensor) -> Tensor:
    """The expected number of each document's words from each topic, (n, k): the slopes of its log masses."""
    shares, topics = _scaled(log_shares, -1)[0], _scaled(log_topics, -2)[0]
    masses = (shares @ topics).clamp_min(torch.finfo(rows.dtype).tiny)
    return shares * ((rows / masses) @ topics.mT)


def _scaled(logs: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Their exponentials over the largest, and the logarithm of that."""
    largest = logs.detach().amax(dim, keepdim=True)
    return torch.exp(logs - largest), largest
