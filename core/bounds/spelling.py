"""Bounds by name, for command lines: one row each."""

from collections.abc import Callable
from typing import Literal

from jensen.core import spelling
from jensen.core.bounds.csiszar import Csiszar, TailAdaptive
from jensen.core.bounds.debiased import Jackknife, Sumo
from jensen.core.bounds.nested import Ciwae, Miwae
from jensen.core.bounds.thermodynamic import Tvo, log_betas
from jensen.core.bounds.upper import Cubo
from jensen.core.bounds.weights import Renyi, elbo, iwae, vr_max
from jensen.core.contracts import Bound
from jensen.core.divergences import generators

GENERATORS = {
    "reverse-kl": generators.reverse_kl,
    "forward-kl": generators.forward_kl,
    "chi2": generators.chi2,
    "hellinger": generators.hellinger,
    "jensen-shannon": generators.jensen_shannon,
}


def _tvo(intervals: int, side: Literal["left", "right"] = "left") -> Bound:
    return Tvo(log_betas(intervals), side)


def _csiszar(generator: str) -> Bound:
    if generator not in GENERATORS:
        raise ValueError(f"expected a generator, one of {', '.join(GENERATORS)}, got {generator!r}")
    return Csiszar(GENERATORS[generator])


ROWS: dict[str, Callable[..., Bound]] = {
    "elbo": lambda: elbo,
    "iwae": lambda: iwae,
    "vr-max": lambda: vr_max,
    "renyi": Renyi,
    "cubo": Cubo,
    "tvo": _tvo,
    "miwae": Miwae,
    "ciwae": Ciwae,
    "jackknife": Jackknife,
    "sumo": Sumo,
    "csiszar": _csiszar,
    "tail-adaptive": TailAdaptive,
}
NAMES = tuple(spelling.forms(ROWS))


def parse(text: str) -> Bound:
    """The bound of a name with its arguments, as in "renyi(0.5)"; NAMES lists them.

    ValueError for an unknown name or arguments that do not fit, with the form expected.
    """
    return spelling.parse(text, ROWS, "bound")
