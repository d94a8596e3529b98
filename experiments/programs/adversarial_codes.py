"""Models of codes against a critic of patches, as programs: a turn of the coder, then one of the critic."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models.quantised import Autoencoder
from jensen.core.models.quantised.vqgan import VqGan
from jensen.core.trees import Params, Tree
from jensen.experiments.programs.quantisation import QuantisationProgram
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Out, Schedule, Turn, Weights


class Perceived(NamedTuple):
    """Images, and the parameters of the classifier whose features are compared: all that a run's digest has."""

    train: Tensor
    test: Tensor
    test_labels: Tensor
    shape: tuple[int, int, int]
    classifier: Params


@dataclass(frozen=True, kw_only=True)
class AdversarialCodesProgram(QuantisationProgram):
    """Parameters are {"model": the coder's, as of codes alone, "critic"}, with an optimiser each."""

    gan: VqGan
    critic_optimiser: Optimiser
    start: int  # the step from which the critic counts
    weight: float = 1.0  # of the critic's part in the last layer's gradient, beside the data's

    @property
    def coupling(self) -> str:
        return "the critic's weight is a ratio of gradients of a batch"

    @property
    def turns(self) -> tuple[Turn, ...]:
        return Turn(self.loss, ("model",), self.follow), Turn(self.critic, ("critic",))

    @property
    def optimisers(self) -> Mapping[str, Optimiser]:
        return {"model": self.optimiser, "critic": self.critic_optimiser}

    @property
    def schedules(self) -> Mapping[str, Schedule]:
        return {**super().schedules, "game": self.game}

    def game(self, step: int) -> float:
        """0 until the critic begins, then 1."""
        return float(step >= self.start)

    def init(self, key: Key, data: Tensor, /) -> tuple[Params, Tree]:
        params, state = super().init(key, data)
        own, model = self.gan.init(key, data)
        return {**params, **own}, {**state, "model": model}

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """The coder's."""
        pixel_key, step_key = keys.split(key)
        coder = self.at(weights)
        assert isinstance(coder, Autoencoder)
        gan = dataclasses.replace(self.gan, coder=coder)
        x = self.pixels(batch, pixel_key)
        step = gan.coder_step(params, state["model"], x, step_key, self.weight * weights["game"])
        out = self.out(step.loss, step.coded, state)
        own = {"perceptual": step.perceptual, "game": step.game, "game_weight": step.weight.expand(len(x))}
        return out._replace(terms=out.terms | own)

    def critic(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """The critic's, 0 until it begins."""
        loss = self.gan.critic_loss(params, state["model"], self.pixels(batch, key))
        return Out((weights["game"] * loss).mean(), {"critic": loss}, state)
