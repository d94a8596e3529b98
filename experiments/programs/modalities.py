"""The multimodal autoencoder as a program: the latent-variable models', which also learns from each modality alone."""

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys, objectives
from jensen.core.contracts import Key
from jensen.core.models.latent.multimodal import Multimodal
from jensen.core.trees import Params, Tree
from jensen.experiments.data.images import Images
from jensen.experiments.data.pixels import binarise
from jensen.experiments.programs.latent import LatentProgram
from jensen.experiments.report.drawn import drawn
from jensen.experiments.report.modalities import completions, only, retrieval
from jensen.experiments.run.program import Batch, Finding, Out, Weights


@dataclass(frozen=True)
class MultimodalProgram(LatentProgram):
    """Data are rows of two modalities.

    Of a product and of a joint encoder the loss is the sub-sampled one of Wu and Goodman (2018): what the estimation
    says of whole rows, and minus the ELBO of each modality alone. A mixture's bound trains its experts as it is.
    """

    model: Multimodal
    names: tuple[str, str]  # of the modalities

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        out = super().loss(params, state, batch, key, weights)
        if self.model.experts == "mixture":
            return out
        pixel_key, noise_key = keys.split(keys.fold_in(key, 3))  # super() splits key in three
        x = binarise(pixel_key, batch["data"]) if self.dynamic else batch["data"]
        each = {f"{name} alone": self.alone(params["model"], x, i, noise_key, weights)
                for i, name in enumerate(self.names)}  # fmt: skip
        return out._replace(loss=out.loss - torch.stack([*each.values()]).sum(0).mean(), terms={**out.terms, **each})

    def alone(self, params: Params, x: Tensor, modality: int, key: Key, weights: Weights) -> Tensor:
        """E_q[log p(x_i | z)] - KL(q || p(z)) with q = q(z | x_i), in nats per datum: (n,)."""
        q = self.model.given(params, only(self.model, x, modality))
        at, z = drawn(q, q.noise(keys.fold_in(key, modality), self.estimation.k))
        log_p = self.model.decode(params, z, modality).log_prob(self.model.parts(x)[modality])
        return log_p.mean(0) - weights.get("kl", 1.0) * objectives.kl(at, self.model.prior(params, len(x)), z)

    def figures(self, params: Params, state: Tree, data: Images, key: Key, /) -> dict[str, Figure]:
        found = super().figures(params, state, data, key)
        return {**found, "completions": completions(self.model, params["model"], data, key, self.names)}

    def report(self, params: Params, state: Tree, data: Images, key: Key, /) -> list[Finding]:
        """The evaluation of whole rows, and each modality found by the other."""
        of_each = retrieval(self.model, params["model"], data.test, keys.fold_in(key, 2), self.names)
        return [*super().report(params, state, data, key), of_each]
