"""The Protocol of objectives: values with one signature, whichever a trainer is given.

    q = objective.posterior(model.posterior(params, x))
    z = q.sample(q.noise(key, s))
    reconstruction = model.likelihood(params, z).log_prob(x).mean(0)
    terms, state = objective(
        reconstruction, q, model.prior(params, n), z, data=60_000, weights={"kl": warm_up}, state=state
    )
    loss = -terms.objective.mean()

`state` starts as `objective.start(x)`, a tree of tensors that is saved with the parameters, {} for most objectives.
`weights` are 0-d tensors by the name of their schedule, 1 where one is missing; others are ignored.

    "kl"         multiplies the KL's penalised form
    "capacity"   multiplies the target of `Capacity`
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_distribution, described
from jensen.core.contracts import ClosedForm, Distribution, can
from jensen.core.objectives.terms import Terms
from jensen.core.trees import Tree

Weights = Mapping[str, Tensor]


@runtime_checkable
class Objective(Protocol):
    """An objective to maximise; equal where its settings are.

    coupled    whether data of a minibatch meet in it: of parts of the minibatch it is then another objective
    start      the state before the first step, on the device of `like`
    posterior  the q that the objective is of, q itself for most
    __call__   the terms, (n,) each, and the next state, from a reconstruction (n,), E_q log p(x | z); q and the prior
               with rows for n data; z (s, n, d) drawn from q; `data`, the number of all training data. TypeError for a
               q that lacks what the objective needs.
    """

    @property
    def coupled(self) -> bool: ...
    def start(self, like: Tensor, /) -> Tree: ...
    def posterior(self, q: Distribution, /) -> Distribution: ...
    def __call__(
        self,
        reconstruction: Float[Tensor, " n"],
        q: Distribution,
        prior: Distribution,
        z: Tensor,
        /,
        *,
        data: int,
        weights: Weights,
        state: Tree,
    ) -> tuple[Terms, Tree]: ...


def scale(weights: Weights, schedule: str) -> float | Tensor:
    """The weight of a schedule, 1 where there is none."""
    if not isinstance(weights, Mapping):
        raise TypeError(f"expected weights, a dict of 0-d tensors, got {described(weights)}: pass {{}} for none")
    return weights.get(schedule, 1.0)


def kl(q: Distribution, prior: Distribution, z: Float[Tensor, "s n d"]) -> Float[Tensor, " n"]:
    """KL(q || prior) in nats per datum: in closed form for two of one family, else its estimate from z, mean over s."""
    check_distribution("q", q)
    check_distribution("prior", prior)
    if can(q, ClosedForm) and can(prior, ClosedForm) and type(q) is type(prior):
        return q.kl(prior)
    return (q.log_prob(z) - prior.log_prob(z)).mean(0)
