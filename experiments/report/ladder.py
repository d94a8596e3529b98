"""Bounds at every K from one set of log weights, so that what differs between them is the bound and not the draws."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from jensen.core import bounds
from jensen.core.contracts import Bound
from jensen.core.divergences import generators


@dataclass(frozen=True)
class Groups:
    """MIWAE of m groups, whatever the number of samples in each."""

    m: int

    def __call__(self, log_w: Tensor) -> Tensor:
        return bounds.Miwae(self.m, len(log_w) // self.m)(log_w)


BOUNDS: dict[str, Bound] = {
    "ELBO": bounds.elbo,
    "CIWAE(0.5)": bounds.Ciwae(0.5),
    "TVO, 5 intervals": bounds.Tvo(bounds.log_betas(5)),
    "Rényi(0.5)": bounds.Renyi(0.5),
    "Jensen–Shannon": bounds.Csiszar(generators.jensen_shannon),
    "MIWAE, 5 groups": Groups(5),
    "IWAE": bounds.iwae,
    "jackknife": bounds.Jackknife(1),
    "VR-max": bounds.vr_max,
    "CUBO(2)": bounds.Cubo(2.0),
}
DRAWN = [name for name in BOUNDS if name != "VR-max"]  # which rises by nats with K, and would flatten the rest


class Value(NamedTuple):
    """A bound of K samples, in nats per datum, with its Monte Carlo error; None where that is not known."""

    bound: str
    k: int
    value: float
    error: float | None


def against_k(log_w: Tensor, ks: tuple[int, ...]) -> list[Value]:
    """Every bound at every K, all from the same weights log_w (s, n), averaged over data."""
    found = []
    for name, bound in BOUNDS.items():
        for k in ks:
            values = at(bound, log_w, k)
            if values is not None:
                found.append(Value(name, k, *mean(values)))
    return found


def at(bound: Bound, log_w: Tensor, k: int) -> Tensor | None:
    """The bound of each group of k of the s weights of a datum: log_w (s, n) -> (s // k, n). None where it has none.

    With each K a multiple of the last, IWAE rises with K for every datum, and not on average alone.
    """
    groups = log_w[: len(log_w) // k * k].unflatten(0, (-1, k))
    if (isinstance(bound, bounds.Jackknife) and k <= bound.m) or (isinstance(bound, Groups) and k % bound.m):
        return None
    return bound(groups.transpose(0, 1).flatten(1)).unflatten(0, (len(groups), -1))


def mean(values: Tensor) -> tuple[float, float | None]:
    """The mean over groups and data of (groups, n), and its Monte Carlo error; None where there is one group."""
    groups, n = values.shape
    error = (values.var(0).sum() / groups).sqrt().item() / n if groups > 1 else None
    return values.mean().item(), error
