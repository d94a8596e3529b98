"""Flows of zuko as values."""

from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from jensen.core.checks import check_dtype, check_floating, described
from jensen.core.flows.conditioner import checked_context
from jensen.core.trees import Params, Static

TAKEN = ("MAF", "NICE", "RealNVP", "NSF", "NCSF")


class FromZuko(NamedTuple):
    """A flow of zuko as a tree of its parameters: see `from_zuko`.

    Log det     zuko's
    Context     (n, c) where zuko's flow was made for one, through weights that all data share; otherwise ignored
    Per datum   never: a context tells data apart
    Reference   Rozet et al., 2022, zuko
    """

    parameters: Params
    ways: "Static[Ways]"

    def forward(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        return self._moved(z, context, samples=True)

    def inverse(
        self, z: Float[Tensor, "*s n d"], context: Tensor | None = None, /
    ) -> tuple[Float[Tensor, "*s n d"], Float[Tensor, "*s n"]]:
        return self._moved(z, context, samples=False)

    def _moved(self, z: Tensor, context: Tensor | None, samples: bool) -> tuple[Tensor, Tensor]:
        ways, like = self.ways.value, next(iter(self.parameters.values()))
        check_floating("z", z, f"... {ways.features}", f"the flow is of {ways.features} components")
        check_dtype("z", z, like, "the flow's networks")
        given = checked_context(context, ways.context, like) if ways.context else None
        return functional_call(ways, self.parameters, (z, given, samples))


class Ways(nn.Module):
    """zuko's transform, which leads from samples to the base, in either direction."""

    def __init__(self, transform: Any, features: int, context: int):
        super().__init__()
        self.transform, self.features, self.context = transform, features, context

    def forward(self, z: Tensor, context: Tensor | None, samples: bool) -> tuple[Tensor, Tensor]:
        transform = self.transform(context)
        return (transform.inv if samples else transform).call_and_ladj(z)


def from_zuko(flow: nn.Module) -> FromZuko:
    """The map of a zuko flow from its base to its samples, with a copy of its parameters: for MAF, NICE, NSF and NCSF.

        q = Pushforward(DiagNormal(zeros, zeros), (from_zuko(zuko.flows.NSF(2)),))

    The base is left out: pass one of your own, for an NCSF, whose components are angles, on [-pi, pi]. torch.func takes
    the flow in both directions; torch.compile does not take it as one graph. TypeError for zuko's other flows, which
    torch.func.vmap does not take, and ValueError for one of a single component, for which zuko has no network.
    """
    name = type(flow).__name__
    if not type(flow).__module__.startswith("zuko."):
        raise TypeError(f"expected flow, one of zuko's, got {described(flow)}: pass zuko.flows.NSF(2), or another")
    if name not in TAKEN:
        raise TypeError(
            f"expected a {', '.join(TAKEN[:-1])} or {TAKEN[-1]} of zuko, got {name}: torch.func.vmap does not take it; "
            "core.flows has flows that it takes"
        )
    zuko: Any = flow
    features, first = zuko.base().event_shape[-1], zuko.transform.transforms[0]
    if features < 2:
        raise ValueError("expected a flow of 2 components or more, got 1: use core.flows.Actnorm, or a spline of ours")
    known = int(first.mask.sum()) if name in ("NICE", "RealNVP") else features
    ways = Ways(zuko.transform, features, first.hyper[0].in_features - known)
    return FromZuko({name: t.detach().clone() for name, t in ways.named_parameters()}, Static(ways))
