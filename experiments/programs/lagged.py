"""A VAE whose encoder takes steps of its own: lagging inference networks (He et al., 2019), against collapse."""

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from jensen.core.contracts import Key
from jensen.core.trees import Params, Tree
from jensen.experiments.data.images import Images
from jensen.experiments.programs.latent import LatentProgram
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Finding, Out, Turn, Weights


@dataclass(frozen=True)
class LaggedProgram(LatentProgram):
    """`inner` turns of the encoder, and then one of all else: the encoder is a group of parameters of its own.

    He et al. stop the inner steps once the mutual information of x and z stops rising; here they last.
    """

    inner: int

    @property
    def turns(self) -> tuple[Turn, ...]:
        beside = () if self.learned is None else (self.learned,)
        return (*(Turn(self.loss, ("encoder", *beside)),) * self.inner, Turn(self.loss, ("model", *beside)))

    @property
    def optimisers(self) -> Mapping[str, Optimiser]:
        return {**super().optimisers, "encoder": self.optimiser}

    def init(self, key: Key, data: Tensor, /) -> tuple[Params, Tree]:
        params, state = super().init(key, data)
        rest = {name: part for name, part in params["model"].items() if name != "encoder"}
        return {**params, "model": rest, "encoder": params["model"]["encoder"]}, state

    def merged(self, params: Params) -> Params:
        """Groups in which "model" is the model's whole tree, as LatentProgram has it."""
        return {**params, "model": {**params["model"], "encoder": params["encoder"]}}

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        return super().loss(self.merged(params), state, batch, key, weights)

    def score(self, params: Params, state: Tree, batch: Tensor, key: Key, /) -> Tensor:
        return super().score(self.merged(params), state, batch, key)

    def sample(self, params: Params, state: Tree, key: Key, n: int) -> Tensor:
        return super().sample(self.merged(params), state, key, n)

    def figures(self, params: Params, state: Tree, data: Images, key: Key, /) -> dict[str, Figure]:
        return super().figures(self.merged(params), state, data, key)

    def report(self, params: Params, state: Tree, data: Images, key: Key, /) -> list[Finding]:
        return super().report(self.merged(params), state, data, key)
