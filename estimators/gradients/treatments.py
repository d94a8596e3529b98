"""How `mixed` treats each latent of a joint q: how it is drawn, and which log density is subtracted for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from jensen.core import trees
from jensen.core.checks import described
from jensen.core.contracts import Bound, Distribution, Noise, Relaxable, can
from jensen.core.distributions import Given, Joint
from jensen.core.trees import Tree
from jensen.estimators.gradients import baselines, catalogue
from jensen.estimators.gradients._dreg import dreg
from jensen.estimators.gradients._pathwise import pathwise, stl
from jensen.estimators.gradients._score import score
from jensen.estimators.gradients.contract import additive, carry
from jensen.estimators.gradients.enumeration import exact
from jensen.estimators.gradients.relaxation import check_temperature, gumbel_straight_through, straight_through

ESTIMATORS: dict[str, Callable[..., Tensor]] = {
    "pathwise": pathwise,
    "stl": stl,
    "dreg": dreg,
    "score": score,
    "exact": exact,
    "straight_through": straight_through,
    "gumbel_straight_through": gumbel_straight_through,
}
PATHS = ("pathwise", "stl", "dreg")
OPTIONS = {"score": "baseline", "gumbel_straight_through": "temperature"}


@dataclass(frozen=True)
class Treatment:
    """The name of an estimator in the catalogue, and its options."""

    name: str
    baseline: baselines.Baseline = baselines.none
    temperature: float | Tensor = 1.0

    def relaxed(self, q: Distribution, z: Tree, noise: Noise) -> Tree:
        """z, with the gradient of its relaxation where the treatment is one."""
        if self.name == "straight_through" and can(q, Relaxable):
            return z + carry(q.mean())
        if self.name == "gumbel_straight_through" and can(q, Relaxable):
            return z + carry(q.relaxed(q.perturbed(noise), self.temperature)).to(z.dtype)
        return z


def treatments(
    q: Joint, how: Mapping[str, Callable[..., Tensor]], conditionals: Mapping[str, Distribution]
) -> dict[str, Treatment]:
    """Each latent's treatment; KeyError and TypeError for what is none, or does not apply to the latent."""
    if not isinstance(how, Mapping):
        raise TypeError(
            f"expected how, a dict with an estimator for each of {', '.join(q.latents)}, got {described(how)}: "
            'write {"z": gradients.pathwise}'
        )
    trees.check_keys(how, q.latents, "the estimators in how")
    found = {name: _treatment(name, how[name]) for name in q.latents}
    for name, treatment in found.items():
        row, conditional = catalogue.ROWS[treatment.name], conditionals[name]
        if not row.q.met(conditional):
            use = "pathwise, stl or dreg" if conditional.reparameterised else "score, or exact for few values"
            kind = type(conditional).__name__
            raise TypeError(f"how[{name!r}]: {treatment.name} needs {row.q.words}, got {kind}: use {use}")
        if treatment.baseline is baselines.optimal:
            raise TypeError(f"how[{name!r}]: optimal needs the fields of one distribution: use leave_one_out or vimco")
    return found


def check_bounds(
    q: Joint, how: Mapping[str, Treatment], conditionals: Mapping[str, Distribution], bound: Bound, s: int, n: int
) -> None:
    """ValueError where an estimator does not apply to the bound, or two of them are biased together."""
    doubly = ""
    for name, part in q.latents.items():
        estimator = how[name].name
        if estimator != "exact":
            catalogue.check(estimator, conditionals[name], bound, s, n)
        if doubly and isinstance(part, Given) and estimator not in (*PATHS, "exact"):
            raise ValueError(
                f"how[{doubly!r}]: dreg is biased where {name}, which has no path, is drawn given it: use pathwise for "
                f"{doubly}, or draw {name} first"
            )
        if estimator == "dreg" and additive(bound, torch.zeros(s, n)) is not True:
            doubly = name


def _treatment(latent: str, how: Callable[..., Tensor]) -> Treatment:
    options: dict[str, Any] = {}
    if isinstance(how, partial) and not how.args:
        how, options = how.func, how.keywords
    name = next((name for name, estimator in ESTIMATORS.items() if estimator is how), None)
    if name is None:
        raise TypeError(
            f"expected how[{latent!r}], one of gradients.{', '.join(ESTIMATORS)}, got {described(how)}: pass the "
            "function, or functools.partial of it with its options"
        )
    for option in options:
        if option != OPTIONS.get(name):
            fix = "pass bound to mixed" if option == "bound" else f"{name} takes {OPTIONS.get(name, 'none')}"
            raise TypeError(f"expected how[{latent!r}] without the option {option}: {fix}")
    if "temperature" in options:
        check_temperature(options["temperature"])
    return Treatment(name, **options)
