"""The objectives of the library as frozen values that meet `Objective`."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_distribution, check_number, check_sizes
from jensen.core.contracts import Distribution
from jensen.core.divergences import kl_per_dimension
from jensen.core.objectives import constrained, total_correlation, weighted
from jensen.core.objectives.constrained import Multiplier
from jensen.core.objectives.objective import Weights, kl, scale
from jensen.core.objectives.terms import Terms, check_scalar
from jensen.core.trees import Tree


class Stateless:
    """An objective without a state, of q itself, in which data do not meet."""

    @property
    def coupled(self) -> bool:
        return False

    def start(self, like: Tensor, /) -> Tree:
        return {}

    def posterior(self, q: Distribution, /) -> Distribution:
        return q


@dataclass(frozen=True)
class Beta(Stateless):
    """reconstruction - weight KL (Higgins et al., 2017); the ELBO for weight 1."""

    weight: float

    def __post_init__(self) -> None:
        check_scalar("weight", self.weight, 0, 0.0)

    def __call__(
        self, reconstruction: Float[Tensor, " n"], q: Distribution, prior: Distribution, z: Tensor, /, *,
        data: int, weights: Weights, state: Tree,
    ) -> tuple[Terms, Tree]:  # fmt: skip
        return weighted.beta(reconstruction, kl(q, prior, z), self.weight * scale(weights, "kl")), state


@dataclass(frozen=True)
class Capacity(Stateless):
    """reconstruction - weight |KL - target| (Burgess et al., 2018); the schedule "capacity" multiplies the target."""

    weight: float
    target: float

    def __post_init__(self) -> None:
        check_scalar("weight", self.weight, 0, 0.0)
        check_scalar("target", self.target, 0)

    def __call__(
        self, reconstruction: Float[Tensor, " n"], q: Distribution, prior: Distribution, z: Tensor, /, *,
        data: int, weights: Weights, state: Tree,
    ) -> tuple[Terms, Tree]:  # fmt: skip
        weight, target = self.weight * scale(weights, "kl"), self.target * scale(weights, "capacity")
        return weighted.capacity(reconstruction, kl(q, prior, z), weight, target), state


@dataclass(frozen=True)
class FreeBits(Stateless):
    """reconstruction - the KL with each group's part no lower than `floor` nats (Kingma et al., 2016)."""

    floor: float
    groups: tuple[int, ...] | None = None  # sizes; None: every dimension by itself
    per_datum: bool = False  # else the floor is that of the average over the minibatch

    def __post_init__(self) -> None:
        check_scalar("floor", self.floor, 0, 0.0)
        if self.groups is not None:
            object.__setattr__(self, "groups", check_sizes("groups", self.groups))

    @property
    def coupled(self) -> bool:
        return not self.per_datum

    def __call__(
        self, reconstruction: Float[Tensor, " n"], q: Distribution, prior: Distribution, z: Tensor, /, *,
        data: int, weights: Weights, state: Tree,
    ) -> tuple[Terms, Tree]:  # fmt: skip
        check_distribution("q", q)
        check_distribution("prior", prior)
        each, weight = kl_per_dimension(q, prior), scale(weights, "kl")
        return weighted.free_bits(reconstruction, each, self.floor, self.groups, self.per_datum, weight), state


@dataclass(frozen=True)
class Geco:
    """Least KL subject to reconstruction >= target nats (Rezende and Viola, 2018); its multiplier is the state."""

    target: float
    rate: float = 0.01
    decay: float = 0.99

    def __post_init__(self) -> None:
        check_scalar("target", self.target, 0)
        check_number("rate", self.rate, "[0, inf)")
        check_number("decay", self.decay, "[0, 1)", "at 1 no step would change the average")

    @property
    def coupled(self) -> bool:
        return False

    def start(self, like: Tensor, /) -> Multiplier:
        return Multiplier.start(like)

    def posterior(self, q: Distribution, /) -> Distribution:
        return q

    def __call__(
        self, reconstruction: Float[Tensor, " n"], q: Distribution, prior: Distribution, z: Tensor, /, *,
        data: int, weights: Weights, state: Multiplier,
    ) -> tuple[Terms, Multiplier]:  # fmt: skip
        terms = constrained.geco(reconstruction, kl(q, prior, z), state, self.target, scale(weights, "kl"))
        return terms, state.update(reconstruction, self.target, self.rate, self.decay)


@dataclass(frozen=True)
class Committed(Stateless):
    """The ELBO of a q whose KL is at least `rate` nats in every dimension: the delta-VAE (Razavi et al., 2019)."""

    rate: float

    def __post_init__(self) -> None:
        constrained.check_rate(self.rate)

    def posterior(self, q: Distribution, /) -> Distribution:
        return constrained.committed(q, self.rate)

    def __call__(
        self, reconstruction: Float[Tensor, " n"], q: Distribution, prior: Distribution, z: Tensor, /, *,
        data: int, weights: Weights, state: Tree,
    ) -> tuple[Terms, Tree]:  # fmt: skip
        return weighted.beta(reconstruction, kl(q, prior, z), scale(weights, "kl")), state


@dataclass(frozen=True)
class BetaTc(Stateless):
    """reconstruction - alpha MI - beta total correlation - gamma dimension-wise KL (Chen et al., 2018)."""

    beta: float
    alpha: float = 1.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        for name in ("beta", "alpha", "gamma"):
            check_scalar(name, getattr(self, name), 0, 0.0)

    @property
    def coupled(self) -> bool:
        return True

    def __call__(
        self, reconstruction: Float[Tensor, " n"], q: Distribution, prior: Distribution, z: Tensor, /, *,
        data: int, weights: Weights, state: Tree,
    ) -> tuple[Terms, Tree]:  # fmt: skip
        check_distribution("q", q)
        if not q.reparameterised:
            raise TypeError(
                f"beta-tc needs a reparameterised q, whose samples carry the gradient of its terms, got "
                f"{type(q).__name__}: choose an objective of the whole KL, such as beta"
            )
        parts = total_correlation.decompose(q, prior, z, data)
        beta, alpha, gamma = (weight * scale(weights, "kl") for weight in (self.beta, self.alpha, self.gamma))
        return total_correlation.beta_tc(reconstruction, parts, beta, alpha, gamma), state
