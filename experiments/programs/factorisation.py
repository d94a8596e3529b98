"""FactorVAE as a program: a VAE charged for its total correlation, and the discriminator that estimates it."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from jensen.core import keys, objectives, trees
from jensen.core.contracts import Key
from jensen.core.nn import mlp
from jensen.core.nn.initial import he
from jensen.core.trees import Params, Tree
from jensen.experiments.data.pixels import binarise
from jensen.experiments.programs.latent import LatentProgram
from jensen.experiments.report.drawn import drawn
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Out, Weights


@dataclass(frozen=True)
class FactorProgram(LatentProgram):
    """One turn over the model and the discriminator: both learn from the same samples, each by a loss of its own."""

    beta: float  # nats of the objective per nat of KL, and per gamma nats of total correlation
    gamma: float
    widths: tuple[int, ...]  # of the discriminator's hidden layers
    discriminator: Optimiser

    @property
    def coupling(self) -> str:
        return "the discriminator permutes latents among a batch"

    @property
    def learned(self) -> str:
        return "discriminator"

    @property
    def optimisers(self) -> Mapping[str, Optimiser]:
        return {"model": self.optimiser, "discriminator": self.discriminator}

    def init(self, key: Key, data: Tensor, /) -> tuple[Params, Tree]:
        """The discriminator starts at logits of 0, a total correlation of 0."""
        params, state = super().init(key, data)
        q = self.model.posterior(params["model"], data[:1].round())
        width = q.sample(q.noise(key, 1)).shape[-1]
        network = mlp.init(keys.fold_in(key, 0), (width, *self.widths, 1), he, data.dtype)
        mlp.last(network)["weight"].zero_()
        return {**params, "discriminator": network}, state

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """Minus the mean objective, and the discriminator's cross-entropy at detached samples."""
        pixel_key, noise_key, order_key = keys.split(key, 3)
        x = binarise(pixel_key, batch["data"]) if self.dynamic else batch["data"]
        model, network = params["model"], params["discriminator"]
        q = self.model.posterior(model, x)
        q, z = drawn(q, q.noise(noise_key, self.estimation.k))
        reconstruction = self.model.likelihood(model, z).log_prob(x).mean(0)
        kl = objectives.kl(q, self.model.prior(model, len(x)), z)
        tc = logits(trees.stop(network), z).mean(0)
        terms = objectives.factor(reconstruction, kl, tc, self.gamma, self.beta * weights.get("kl", 1.0))
        z = z.detach()
        discrimination = objectives.discrimination(
            logits(network, z), logits(network, objectives.permuted(order_key, z))
        )
        named = {"objective": terms.objective, "reconstruction": terms.reconstruction, "kl": terms.kl}
        loss = discrimination.mean() - terms.objective.mean()
        return Out(loss, {**named, "penalty": terms.penalty, **terms.parts, "discrimination": discrimination}, state)


def logits(network: Params, z: Tensor) -> Tensor:
    """The discriminator's, (s, n) for z (s, n, d): log q(z) - sum_d log q(z_d) once it has learned."""
    return mlp.apply(network, z, F.leaky_relu).squeeze(-1)
