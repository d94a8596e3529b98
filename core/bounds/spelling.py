"""Bounds by name: `parse("renyi(0.5)")` is `Renyi(0.5)`, for command lines and settings."""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

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


@dataclass(frozen=True)
class Spelling:
    """A name with its arguments, as in "renyi(alpha)", and the bound of arguments that are text."""

    usage: str
    make: Callable[..., Bound]

    @property
    def name(self) -> str:
        return self.usage.partition("(")[0]


def _tvo(intervals: str, side: str = "left") -> Bound:
    return Tvo(log_betas(int(intervals)), cast(Literal["left", "right"], side))  # checked by Tvo


ROWS = {
    row.name: row
    for row in (
        Spelling("elbo", lambda: elbo),
        Spelling("iwae", lambda: iwae),
        Spelling("vr-max", lambda: vr_max),
        Spelling("renyi(alpha)", lambda alpha: Renyi(float(alpha))),
        Spelling("cubo(n)", lambda n: Cubo(float(n))),
        Spelling("tvo(intervals[, left|right])", _tvo),
        Spelling("miwae(m, k)", lambda m, k: Miwae(int(m), int(k))),
        Spelling("ciwae(beta)", lambda beta: Ciwae(float(beta))),
        Spelling("jackknife(m)", lambda m: Jackknife(int(m))),
        Spelling("sumo(first)", lambda first: Sumo(int(first))),
        Spelling(f"csiszar({'|'.join(GENERATORS)})", lambda f: Csiszar(GENERATORS[f])),
        Spelling("tail-adaptive(beta)", lambda beta: TailAdaptive(float(beta))),
    )
}
NAMES = tuple(row.usage for row in ROWS.values())


def parse(text: str) -> Bound:
    """The bound of a name with its arguments; NAMES lists them.

    ValueError for an unknown name, with the nearest, for other arguments than the name takes, and for values that the
    bound refuses.
    """
    found = re.fullmatch(r"\s*([\w-]+)\s*(?:\((.*)\))?\s*", text.lower())
    name = found[1] if found else text.partition("(")[0].strip().lower()
    if name not in ROWS:
        near = difflib.get_close_matches(name, ROWS, n=1)
        hint = f"; the nearest is {ROWS[near[0]].usage!r}" if near else ""
        raise ValueError(f"expected a bound, one of {', '.join(NAMES)}, got {text!r}{hint}")
    arguments = [part.strip() for part in found[2].split(",")] if found and found[2] else []
    try:
        return ROWS[name].make(*arguments)
    except (TypeError, KeyError, ValueError) as error:
        detail = f": {error}" if str(error).startswith("expected") else ""
        raise ValueError(f"expected {ROWS[name].usage}, got {text!r}{detail}") from error
