"""Steps from the encoder's q, as a run has them: how many and of which kind, and the model whose q they make."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Distribution, Event, Key
from jensen.core.trees import Params
from jensen.estimators.inference import iterative, semi_amortised
from jensen.experiments.programs.adapted import AmortisedImageModel
from jensen.experiments.run.errors import InputError, option


@dataclass(frozen=True)
class Refinement:
    """Steps that each datum's q takes up the ELBO from the encoder's."""

    refine_steps: int = 0
    """Steps, in training and evaluation alike; 0 leaves q to the encoder. Compiling takes longer by each: with many,
    --no-compile starts sooner."""
    refine: Literal["stopped", "differentiable", "iterative"] = "stopped"
    """Gradient ascent, without or with a gradient through the steps (Kim et al., 2018), or a network that reads
    gradients (Marino et al., 2018)."""
    refine_samples: int = 5
    """Samples per datum and step."""
    refine_size: float = 0.2
    """The most that an ascent's first step moves a mean by, in standard deviations, and a log scale; it falls to 0."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        for name, low in {"refine_steps": 0, "refine_samples": 1}.items():
            if not low <= getattr(self, name) < 2**31:
                raise InputError(f"expected {option(name)} of at least {low}, got {getattr(self, name)}")
        if not 0 < self.refine_size < math.inf:
            raise InputError(f"expected a positive --refine-size, got {self.refine_size}")
        if not self.refine_steps and self != Refinement():
            raise InputError("without --refine-steps nothing is refined: add it, or leave --refine out")

    @property
    def words(self) -> str:
        """What the report's title says of it; "" where there is none."""
        return f"{self.refine_steps} {self.refine} steps of refinement" if self.refine_steps else ""


@dataclass(frozen=True)
class Refined:
    """The model, with the q that steps lead to from the encoder's, by noise of a key of their own.

    So q is a function of x and of the parameters. Those of a network that reads gradients are beside the model's.
    """

    model: AmortisedImageModel
    refinement: Refinement

    def init(self, key: Key, x: Tensor, /) -> Params:
        params = self.model.init(key, x)
        if self.refinement.refine != "iterative":
            return params
        e = self.model.encoded(params, x[:1].round()).shape[-1]
        return {**params, "refiner": iterative.init(keys.fold_in(key, 3), e, dtype=x.dtype)}

    def encoded(self, params: Params, x: Tensor, /) -> Tensor:
        """The outputs that the steps lead to."""
        own, how = _own(params), self.refinement
        start, log_p, key = self.model.encoded(own, x), partial(self.model.log_joint, own, x), keys.key(0, x.device)
        build = partial(self.model.posterior_of, own)
        if how.refine == "iterative":
            network = params["refiner"]
            return iterative.refine(network, log_p, build, start, key, how.refine_steps, how.refine_samples)
        return semi_amortised.refine(
            log_p, build, start, key, how.refine_steps, how.refine_samples, how.refine_size,
            how.refine == "differentiable", self.model.units(start.detach()),
        )  # fmt: skip

    def posterior_of(self, params: Params, outputs: Tensor, /) -> Distribution:
        return self.model.posterior_of(_own(params), outputs)

    def units(self, outputs: Tensor, /) -> Tensor:
        return self.model.units(outputs)

    def posterior(self, params: Params, x: Tensor, /) -> Distribution:
        return self.posterior_of(params, self.encoded(params, x))

    def prior(self, params: Params, n: int, /) -> Distribution:
        return self.model.prior(_own(params), n)

    def likelihood(self, params: Params, z: Event, /) -> Distribution:
        return self.model.likelihood(_own(params), z)

    def log_prior(self, params: Params, z: Event, /) -> Tensor:
        return self.model.log_prior(_own(params), z)

    def log_joint(self, params: Params, x: Tensor, z: Event, /) -> Tensor:
        return self.model.log_joint(_own(params), x, z)

    def independent(self, x: Tensor, /) -> Distribution:
        return self.model.independent(x)


def _own(params: Params) -> Params:
    """The model's, without the network beside it."""
    return {name: part for name, part in params.items() if name != "refiner"}
