"""Models whose latents are codes, as programs: one turn, whose state is the quantisers' and how codes are used."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import Key
from jensen.core.models.quantised import Autoencoder, CodedModel, GumbelVq, SoftVq, usage
from jensen.core.trees import Params, Tree
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import Images
from jensen.experiments.data.pixels import binarise
from jensen.experiments.report.codes import evaluate_codes, reconstructions
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Finding, Out, Schedule, Turn, Weights


@dataclass(frozen=True)
class QuantisationProgram:
    """One turn over the model; the state is {"model": its own, "use": a `usage.Use` of each map}."""

    model: CodedModel
    batches: Epochs
    optimiser: Optimiser = Optimiser()
    dynamic: bool = False  # whether pixels are drawn anew at each step
    temperature: Schedule | None = None  # of the quantiser, where it is annealed
    title: str = ""  # of the report

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn(self.loss, ("model",)),)

    @property
    def optimisers(self) -> Mapping[str, Optimiser]:
        return {"model": self.optimiser}

    @property
    def schedules(self) -> Mapping[str, Schedule]:
        return {} if self.temperature is None else {"temperature": self.temperature}

    @property
    def epoch(self) -> int:
        return self.batches.steps

    def init(self, key: Key, data: Tensor, /) -> tuple[Params, Tree]:
        params, state = self.model.init(key, data)
        return {"model": params}, {"model": state, "use": tuple(usage.start(of, data.device) for of in self.model.maps)}

    def batch(self, data: Tensor, key: Key, step: int, /) -> Batch:
        return self.batches.take(data, key, step)

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """Minus the mean objective: reconstruction, less KL and what the quantisers add."""
        pixel_key, step_key = keys.split(key)
        x = binarise(pixel_key, batch["data"]) if self.dynamic else batch["data"]
        step = self.at(weights).step(params["model"], state["model"], x, step_key)
        terms, use, named = step.terms, [], dict(step.penalties)
        codes = trees.paths(step.codes)
        for of, before, (path, own) in zip(self.model.maps, state["use"], codes.items(), strict=True):
            after = usage.follow(before, of, own, self.epoch)
            numbers = {"perplexity": after.perplexity, "used": after.used(self.epoch)}
            named |= {"/".join(filter(None, (name, path))): t.expand(len(x)) for name, t in numbers.items()}
            use.append(after)
        named |= {"objective": terms.objective, "reconstruction": terms.reconstruction, "kl": terms.kl}
        return Out(-terms.objective.mean(), named, {"model": step.state, "use": tuple(use)})

    def at(self, weights: Weights) -> CodedModel:
        """The model at the temperature of a step."""
        if "temperature" not in weights:
            return self.model
        assert isinstance(self.model, Autoencoder)
        assert isinstance(self.model.quantiser, SoftVq | GumbelVq)
        quantiser = dataclasses.replace(self.model.quantiser, temperature=weights["temperature"])
        return dataclasses.replace(self.model, quantiser=quantiser)

    @torch.no_grad()
    def score(self, params: Params, state: Tree, batch: Tensor, key: Key, /) -> Tensor:
        """log p(x | codes), of the codes that `codes` gives."""
        codes = self.model.codes(params["model"], state["model"], batch)
        return self.model.likelihood(params["model"], state["model"], codes).log_prob(batch)

    def figures(self, params: Params, state: Tree, data: Images, key: Key, /) -> dict[str, Figure]:
        return {"reconstructions": reconstructions(self.model, params["model"], state["model"], data)}

    def report(self, params: Params, state: Tree, data: Images, key: Key, /) -> list[Finding]:
        found = evaluate_codes(self.model, params["model"], state["model"], data.train, data.test)
        return [Finding("what", [], self.title), found.finding(), found.finding_of_use()]
