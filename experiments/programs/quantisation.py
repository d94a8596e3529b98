"""Models whose latents are codes, as programs: one turn, whose state is the quantisers' and how codes are used."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.contracts import Key
from jensen.core.models.quantised import (
    Autoencoder,
    CodedModel,
    GumbelVq,
    Lfq,
    Projected,
    Quantiser,
    SoftVq,
    Step,
    TwoMaps,
    usage,
)
from jensen.core.trees import Params, Tree
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import Images, drawn_once
from jensen.experiments.data.pixels import binarise
from jensen.experiments.programs.one_turn import OneTurn
from jensen.experiments.report.codes import evaluate_codes, reconstructions
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Batch, Finding, Out, Schedule, Turn, Weights


@dataclass(frozen=True)
class QuantisationProgram(OneTurn):
    """One turn over the model; the state is {"model": its own, "use": a `usage.Use` of each map}."""

    model: CodedModel
    batches: Epochs
    optimiser: Optimiser = Optimiser()
    dynamic: bool = False  # whether pixels are drawn anew at each step
    temperature: Schedule | None = None  # of the quantiser, where it is annealed
    title: str = ""  # of the report

    @property
    def coupling(self) -> str | None:
        """Of codes without a codebook, whose use is to be even in a batch."""
        return "the diversity of codes is a batch's" if any(map(_diverse, _quantisers(self.model))) else None

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (Turn(self.loss, ("model",), self.follow),)

    @property
    def schedules(self) -> Mapping[str, Schedule]:
        return {} if self.temperature is None else {"temperature": self.temperature}

    def init(self, key: Key, data: Tensor, /) -> tuple[Params, Tree]:
        params, state = self.model.init(key, data)
        return {"model": params}, {"model": state, "use": tuple(usage.start(of, data.device) for of in self.model.maps)}

    def loss(self, params: Params, state: Tree, batch: Batch, key: Key, weights: Weights) -> Out:
        """Minus the mean objective: reconstruction, less KL and what the quantisers add."""
        pixel_key, step_key = keys.split(key)
        x = self.pixels(batch, pixel_key)
        step = self.at(weights).step(params["model"], state["model"], x, step_key)
        return self.out(-step.terms.objective, step, state)

    def pixels(self, batch: Batch, key: Key) -> Tensor:
        """The batch's data as the model gets them."""
        return binarise(key, batch["data"]) if self.dynamic else batch["data"]

    def out(self, loss: Tensor, step: Step, state: Tree) -> Out:
        """The mean of a step's loss (n,), its terms, and how its codes are used."""
        use, numbers = self.followed(state["use"], step.codes)
        seen = {"model": step.seen, "codes": step.codes}
        named = {name: getattr(step.terms, name) for name in ("objective", "reconstruction", "kl", "penalty")}
        named |= step.penalties | {name: number.expand(len(loss)) for name, number in numbers.items()}
        return Out(loss.mean(), named, {"model": step.state, "use": use}, seen)

    def follow(self, state: Tree, seen: Tree, key: Key) -> tuple[Tree, dict[str, Tensor]]:
        """The state that `loss` leaves with this key, and how codes are used, of what was seen of the whole batch."""
        _, step_key = keys.split(key)
        use, numbers = self.followed(state["use"], seen["codes"])
        return {"model": self.model.follow(state["model"], seen["model"], step_key), "use": use}, numbers

    def followed(self, use: tuple[usage.Use, ...], codes: Tree) -> tuple[tuple[usage.Use, ...], dict[str, Tensor]]:
        """The next use of each map's codes, and over about the last epoch its perplexity and the share that is used."""
        after, numbers = [], {}
        for before, of, (path, own) in zip(use, self.model.maps, trees.paths(codes).items(), strict=True):
            after.append(usage.follow(before, of, own, self.epoch))
            found = {"perplexity": after[-1].perplexity, "used": after[-1].used(self.epoch)}
            numbers |= {"/".join(filter(None, (name, path))): number for name, number in found.items()}
        return tuple(after), numbers

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
        """log p(x | codes) less the nats of uniform codes: of those that `codes` gives, which are certain."""
        codes = self.model.codes(params["model"], state["model"], batch)
        nats = sum(of.bits for of in self.model.maps) * math.log(2)
        return self.model.likelihood(params["model"], state["model"], codes).log_prob(batch) - nats

    def figures(self, params: Params, state: Tree, data: Images, key: Key, /) -> dict[str, Figure]:
        return {"reconstructions": reconstructions(self.model, params["model"], state["model"], data)}

    def report(self, params: Params, state: Tree, data: Images, key: Key, /) -> list[Finding]:
        train = drawn_once(data.train, "dynamic" if self.dynamic else "grey")
        found = evaluate_codes(self.model, params["model"], state["model"], train, data.test)
        return [Finding("what", [], self.title), found.finding(), found.finding_of_use()]


def _quantisers(model: CodedModel) -> tuple[Quantiser, ...]:
    """Those of a model of one map or two; none of a model of another kind."""
    if isinstance(model, TwoMaps):
        return model.top, model.bottom
    return (model.quantiser,) if isinstance(model, Autoencoder) else ()


def _diverse(quantiser: Quantiser) -> bool:
    """Whether it compares codes with their mean over a batch."""
    if isinstance(quantiser, Projected):
        return _diverse(quantiser.quantiser)
    return isinstance(quantiser, Lfq) and quantiser.diversity > 0
