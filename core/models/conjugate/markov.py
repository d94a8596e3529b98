"""Hidden Markov models (variational: MacKay, 1997; Beal, 2003), whose chains of states are summed out."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.checks import check_floating, check_tensor
from jensen.core.contracts import Key
from jensen.core.distributions import Dirichlet
from jensen.core.exponential import DirichletFamily, ExponentialFamily, Natural
from jensen.core.models.conjugate.contract import Factors, expected_log_prob, wide
from jensen.core.models.conjugate.observations import Observations, check_observations
from jensen.core.trees import Tree

SPREAD = 4.0  # of the logits of the states at random, from which q starts


class HiddenMarkov(NamedTuple):
    """x (n, t, ...), n sequences of t observations, each from the state of its time; states follow each other.

    first (1, k) and transitions (k, k) are Dirichlet priors of the first state, and of the next given each.

        model = HiddenMarkov(Dirichlet(torch.ones(1, 3)), Dirichlet(torch.ones(3, 3)), normals(x.flatten(0, 1)))

    Factors  first, transitions, states (what a state gives)
    Local    each sequence's chain, summed out
    """

    first: Dirichlet
    transitions: Dirichlet
    observations: Observations

    @property
    def families(self) -> dict[str, ExponentialFamily]:
        return {"first": DirichletFamily(), "transitions": DirichletFamily(), "states": self.observations.family}

    @property
    def blocks(self) -> tuple[tuple[str, ...], ...]:
        return (("first", "transitions", "states"),)

    def prepare(self, x: Tensor, /) -> Float[Tensor, "n t f"]:
        """The observations' rows, by sequence."""
        check_observations(self.observations)
        check_tensor("x", x, "n t d" if self.observations.axes else "n t", "sequences first, then times")
        k = self.transitions.concentration.shape[-1]
        check_floating("transitions", self.transitions.concentration, f"{k} {k}", "a row for each state")
        check_floating("first", self.first.concentration, f"1 {k}", "as many states as transitions have")
        return self.observations.prepare(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def start(self, key: Key, rows: Float[Tensor, "n t f"], /) -> Factors:
        """The prior of the chain, and states of observations that are dealt out at random."""
        k = self.transitions.concentration.shape[-1]
        rows, prior = rows.flatten(0, 1), self._prior()
        shares = torch.softmax(SPREAD * keys.normal(key, (len(rows), k), rows.dtype), -1)

        def log_p(means: Natural) -> Tensor:
            return (shares.mT * self.observations.log_prob(means, rows)).double().sum()

        message = grad(log_p)(trees.map(torch.zeros_like, prior["states"]))
        return {**prior, "states": trees.map(torch.add, prior["states"], message)}

    def log_prior(self, means: Factors, /) -> dict[str, Tensor]:
        """E log p of each."""
        prior = self._prior()
        return {name: expected_log_prob(family, prior[name], means[name]) for name, family in self.families.items()}

    def log_likelihood(self, means: Factors, rows: Float[Tensor, "n t f"], local: Tree, /) -> tuple[Tensor, Tree]:
        """log sum over chains of exp(E log p(x, chain)), whose slopes are what forward and backward passes give."""
        return self._log_total(means, self._log_prob(means, rows)), {}

    def responsibilities(self, means: Factors, rows: Float[Tensor, "n t f"]) -> Float[Tensor, "n t k"]:
        """q(state at each time)."""
        return grad(lambda log_p: self._log_total(means, log_p).sum())(self._log_prob(means, rows))

    def posterior(self, natural: Factors, /) -> dict[str, Any]:
        """Dirichlets of the first state and of transitions, and one row for each state's observations."""
        family = DirichletFamily()
        return {
            "first": family.from_natural(natural["first"]),
            "transitions": family.from_natural(natural["transitions"]),
            "states": self.observations.posterior(natural["states"]),
        }

    def _log_prob(self, means: Factors, rows: Tensor) -> Float[Tensor, "n t k"]:
        return self.observations.log_prob(means["states"], rows.flatten(0, 1)).mT.unflatten(0, rows.shape[:2])

    def _log_total(self, means: Factors, log_p: Float[Tensor, "n t k"]) -> Float[Tensor, " n"]:
        first = means["first"]["log"][0].to(log_p.dtype) + log_p[:, 0]
        steps = means["transitions"]["log"].to(log_p.dtype) + log_p[:, 1:, None]
        return torch.logsumexp(log_chain(first, steps), -1)

    def _prior(self) -> Factors:
        family, k = DirichletFamily(), self.transitions.concentration.shape[-1]
        return {
            "first": wide(family.natural(self.first)),
            "transitions": wide(family.natural(self.transitions)),
            "states": self.observations.natural(k),
        }


def log_chain(first: Float[Tensor, "n k"], steps: Float[Tensor, "n t k k"]) -> Float[Tensor, "n k"]:
    """log (e^first e^steps_1 ... e^steps_t), of matrices that are applied from the left.

    By halves, in log2(t) products, each of k^3 numbers for a pair. Its slopes are the marginals of states and of pairs
    of them (Särkkä and García-Fernández, 2021).
    """
    check_floating("first", first, "n k", "one row per sequence")
    n, k = first.shape
    check_floating("steps", steps, f"{n} t {k} {k}", "a matrix for each step, of the states that first has")
    while steps.shape[1] > 1:
        pairs = steps.shape[1] // 2
        joined = _product(steps[:, 0 : 2 * pairs : 2], steps[:, 1 : 2 * pairs : 2])
        steps = torch.cat([joined, steps[:, 2 * pairs :]], 1)
    if not steps.shape[1]:
        return first
    return torch.logsumexp(first[:, :, None] + steps[:, 0], 1)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """log (e^a e^b)."""
    return torch.logsumexp(a[..., :, :, None] + b[..., None, :, :], -2)
