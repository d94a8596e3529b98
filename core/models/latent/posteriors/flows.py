"""Posteriors by flows (Rezende and Mohamed, 2015), which start as the identity.

The flows' weights are shared by all data, and know a datum by a context of the encoder's (Kingma et al., 2016), where
weights of each datum's own would be as many outputs. `log_prob` of given values walks the flows' inverses.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import flows, keys
from jensen.core.checks import check_count
from jensen.core.contracts import Flow, Key
from jensen.core.distributions import DiagNormal, Pushforward
from jensen.core.trees import Params, check_keys

SLOPE = 0.1  # times 1 / sqrt(context), the standard deviation of the slopes of fields in the context


@dataclass(frozen=True)
class Flows(ABC):
    """What posteriors by flows share: `layers` of them on a context of `context` numbers."""

    layers: int = 4
    context: int = 32

    def __post_init__(self) -> None:
        check_count("layers", self.layers)
        check_count("context", self.context)

    def extra(self, d: int, /) -> int:
        return self.context

    def init(self, key: Key, d: int, dtype: torch.dtype, /) -> Params:
        return {"flows": self.flows(key, d, dtype)}

    def prior(self, p: DiagNormal, /) -> DiagNormal:
        return p

    def __call__(self, params: Params, q: DiagNormal, extra: Float[Tensor, "n e"], /) -> Pushforward:
        check_keys(params, ("flows",))
        return Pushforward(q, (flows.Conditional(params["flows"], extra),))

    @abstractmethod
    def flows(self, key: Key, d: int, dtype: torch.dtype) -> tuple[Flow, ...]: ...


@dataclass(frozen=True)
class PlanarFlows(Flows):
    """Planar layers, whose every field is a function of the context (Rezende and Mohamed, 2015)."""

    def flows(self, key: Key, d: int, dtype: torch.dtype) -> tuple[Flow, ...]:
        def layer(key: Key) -> Flow:
            start, slopes = keys.split(key)
            return flows.Hypernetwork.of(slopes, flows.Planar.identity(start, d, dtype), self.context, SLOPE)

        return tuple(layer(each) for each in keys.split(key, self.layers))


@dataclass(frozen=True)
class SylvesterFlows(Flows):
    """Sylvester layers of at most `columns` dimensions after as many reflections (van den Berg et al., 2018)."""

    columns: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("columns", self.columns)

    def flows(self, key: Key, d: int, dtype: torch.dtype) -> tuple[Flow, ...]:
        m = min(self.columns, d)

        def layer(key: Key) -> Flow:
            start, slopes = keys.split(key)
            return flows.Hypernetwork.of(
                slopes, flows.Sylvester.householder(start, d, m, m, dtype), self.context, SLOPE
            )

        return tuple(layer(each) for each in keys.split(key, self.layers))


@dataclass(frozen=True)
class InverseAutoregressive(Flows):
    """Inverse autoregressive layers (Kingma et al., 2016): an inverse is d passes of each network."""

    hidden: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("hidden", self.hidden)

    def flows(self, key: Key, d: int, dtype: torch.dtype) -> tuple[Flow, ...]:
        return flows.iaf(key, d, self.layers, (self.hidden,), self.context, dtype=dtype)


@dataclass(frozen=True)
class RealNvp(Flows):
    """Affine couplings, an even number of them (Dinh et al., 2017)."""

    hidden: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("hidden", self.hidden)
        if self.layers % 2:
            raise ValueError(f"expected an even number of layers, got {self.layers}: each changes half of z")

    def flows(self, key: Key, d: int, dtype: torch.dtype) -> tuple[Flow, ...]:
        return flows.real_nvp(key, d, self.layers, (self.hidden,), self.context, dtype=dtype)


@dataclass(frozen=True)
class Splines(RealNvp):
    """Rational-quadratic spline couplings, an even number of them (Durkan et al., 2019)."""

    hidden: int = 32
    bins: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        flows.RationalQuadratic(self.bins)

    def flows(self, key: Key, d: int, dtype: torch.dtype) -> tuple[Flow, ...]:
        return flows.spline_couplings(key, d, self.layers, (self.hidden,), self.bins, context=self.context, dtype=dtype)
