"""Priors of a mixture's weights: Dirichlet, and the sticks of a Dirichlet process (Sethuraman, 1994)."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from jensen.core.checks import described
from jensen.core.contracts import can
from jensen.core.distributions import Beta, Dirichlet
from jensen.core.exponential import BetaFamily, DirichletFamily, ExponentialFamily, Natural
from jensen.core.models.conjugate.contract import wide


@runtime_checkable
class Weights(Protocol):
    """A prior of k weights, k the length of its concentration."""

    @property
    def family(self) -> ExponentialFamily: ...
    @property
    def concentration(self) -> Tensor: ...
    def natural(self) -> Natural: ...
    def log_weights(self, means: Natural, /) -> Tensor: ...
    def posterior(self, natural: Natural, /) -> Any: ...
    def mean(self, natural: Natural, /) -> Tensor: ...


class Shares(NamedTuple):
    """Weights from Dirichlet(concentration), (k,)."""

    concentration: Float[Tensor, " k"]

    @property
    def family(self) -> DirichletFamily:
        return DirichletFamily()

    def natural(self) -> Natural:
        """The prior's natural parameters."""
        return wide(self.family.natural(Dirichlet(self.concentration)))

    def log_weights(self, means: Natural, /) -> Float[Tensor, " k"]:
        """E log weight."""
        return means["log"]

    def posterior(self, natural: Natural, /) -> Dirichlet:
        """Of one row."""
        return Dirichlet(natural["log"][None] + 1)

    def mean(self, natural: Natural, /) -> Float[Tensor, " k"]:
        """The expected weights."""
        return self.posterior(natural).mean()[0]


class Sticks(NamedTuple):
    """Weights v_k prod_j<k (1 - v_j), v from Beta(1, concentration): a Dirichlet process.

    q has its first k weights alone (Kurihara et al., 2007): what is left of the stick has no data.
    """

    concentration: Float[Tensor, " k"]

    @property
    def family(self) -> BetaFamily:
        return BetaFamily()

    def natural(self) -> Natural:
        """The prior's natural parameters, of k sticks."""
        a = self.concentration
        return wide(self.family.natural(Beta(a.new_ones(len(a)), a)))

    def log_weights(self, means: Natural, /) -> Float[Tensor, " k"]:
        """E log v_k + sum_j<k E log(1 - v_j)."""
        return means["log"] + F.pad(means["log_rest"].cumsum(-1)[..., :-1], (1, 0))

    def posterior(self, natural: Natural, /) -> Beta:
        """Of the sticks v, one row."""
        return Beta(natural["log"][None] + 1, natural["log_rest"][None] + 1)

    def mean(self, natural: Natural, /) -> Float[Tensor, " k"]:
        """The expected weights, E v_k prod_j<k E (1 - v_j), whose sum is below 1."""
        v = self.posterior(natural).mean()[0]
        return v * F.pad((1 - v).cumprod(-1)[:-1], (1, 0), value=1.0)


def check_weights(value: object) -> None:
    """TypeError for what is no prior of weights."""
    if isinstance(value, type) or not can(value, Weights):
        example = "Shares(torch.ones(3))"
        raise TypeError(f"expected weights, such as {example}, got {described(value)}: pass Shares or Sticks")
