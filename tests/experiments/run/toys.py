"""Small programs of every shape the loop must take: one turn, turns in a cycle, state, several streams."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

import torch
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.nn import batch_norm, mlp
from jensen.experiments.data.batches import Epochs, Streams
from jensen.experiments.run.folder import RunFolder
from jensen.experiments.run.loop import Loop, Watch, fit
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Out, Turn
from jensen.experiments.run.settings import Run

RUN = Run(steps=40, batch=10, compile=False, checkpoint_every=10, log_every=5)


def points(n=60, d=4):
    return keys.normal(keys.key(4), (n, d))


def folder(path, run=RUN):
    path.mkdir(parents=True, exist_ok=True)
    return RunFolder(path, run, "")


@dataclass(frozen=True)
class Regression:
    """The mean of points by gradient descent: one turn, one group, no state."""

    optimiser: Optimiser = field(default_factory=lambda: Optimiser(lr=0.1))
    batches: Epochs = field(default_factory=lambda: Epochs(60, 10))
    schedules = MappingProxyType({"pull": lambda step: step / 40})

    @property
    def optimisers(self):
        return {"model": self.optimiser}

    @property
    def epoch(self):
        return self.batches.steps

    @cached_property
    def turns(self):
        return (Turn(self.loss, ("model",)),)

    def init(self, key, data):
        return {"model": {"weight": torch.zeros_like(data[:1]), "bias": torch.ones_like(data[0])}}, {}

    def batch(self, data, key, step):
        return self.batches.take(data, key, step)

    def loss(self, params, state, batch, key, weights):
        x, noise = batch["data"], keys.normal(key, (1, *batch["data"].shape), batch["data"].dtype)[0]
        mean = params["model"]["weight"][0] + params["model"]["bias"]
        error = (x + 0.1 * noise - mean).square().sum(-1)
        size = mean.square().sum().expand(len(x))
        return Out((error + weights["pull"] * size).mean(), {"error": error, "size": size}, state)

    def score(self, params, state, batch, key):
        return -(batch - params["model"]["weight"][0] - params["model"]["bias"]).square().sum(-1)

    def figures(self, params, state, data, key):
        return {}

    def report(self, params, state, data, key):
        return []


class Gan(Regression):
    """WGAN-GP on points: three critic turns to one of the generator, whose average is state; two kinds of optimiser."""

    schedules = MappingProxyType({"penalty": lambda step: 1.0})

    @property
    def optimisers(self):
        return {"generator": replace(self.optimiser, lr=1e-3, beta1=0.5),
                "critic": Optimiser("rmsprop", lr=1e-3, momentum=0.5)}  # fmt: skip

    @cached_property
    def turns(self):
        return (Turn(self.critic, ("critic",)),) * 3 + (Turn(self.generator, ("generator",)),)

    def init(self, key, data):
        one, two = keys.split(key)
        generator = {"net": mlp.init(one, (3, 8, data.shape[1]), dtype=data.dtype)}
        params = {"generator": generator, "critic": {"net": mlp.init(two, (data.shape[1], 8, 1), dtype=data.dtype)}}
        return params, {"average": trees.map(torch.clone, generator)}

    def made(self, params, key, n):
        return mlp.apply(params["net"], keys.normal(key, (1, n, 3), mlp.last(params["net"])["bias"].dtype)[0])

    def judged(self, params, x):
        return mlp.apply(params["net"], x).squeeze(-1)

    def critic(self, params, state, batch, key, weights):
        noise_key, place_key = keys.split(key)
        x = batch["data"]
        fake, t = self.made(params["generator"], noise_key, len(x)), keys.uniform(place_key, (1, len(x), 1), x.dtype)[0]
        slope = grad(lambda x: self.judged(params["critic"], x).sum())(t * x + (1 - t) * fake)
        gap = self.judged(params["critic"], fake) - self.judged(params["critic"], x)
        penalty = ((slope.square().sum(-1) + 1e-12).sqrt() - 1).square()
        return Out((gap + weights["penalty"] * penalty).mean(), {"gap": gap, "gp": penalty}, state)

    def generator(self, params, state, batch, key, weights):
        value = self.judged(params["critic"], self.made(params["generator"], key, len(batch["data"])))
        moved = trees.map(lambda a, p: a.lerp(p, 0.1), state["average"], params["generator"])
        return Out(-value.mean(), {"value": value}, {"average": moved})

    def score(self, params, state, batch, key):
        return self.judged(params["critic"], batch)


class Codebook(Regression):
    """Codes that follow running means of their points, as state; the model learns a shift of the points."""

    def init(self, key, data):
        codes = data[:3].clone()
        return {"model": {"shift": torch.zeros(data.shape[1])}}, {"codes": codes, "count": torch.ones(3)}

    def loss(self, params, state, batch, key, weights):
        x = batch["data"] + params["model"]["shift"]
        nearest = torch.cdist(x.detach(), state["codes"]).argmin(-1)
        one = torch.nn.functional.one_hot(nearest, 3).to(x.dtype)
        count = 0.9 * state["count"] + 0.1 * one.sum(0)
        codes = torch.lerp(state["codes"], one.T @ x / one.sum(0).clamp_min(1)[:, None], 0.1)
        error = (x - state["codes"][nearest]).square().sum(-1)
        return Out(error.mean(), {"error": error}, {"codes": codes, "count": count})

    def score(self, params, state, batch, key):
        return -torch.cdist(batch + params["model"]["shift"], state["codes"]).amin(-1)


class Normed(Regression):
    """Points after batch normalisation, whose running statistics are state, by which held-out points are scored."""

    def init(self, key, data):
        params, running = batch_norm.init(data.shape[1])
        return {"model": params}, {"running": running}

    def loss(self, params, state, batch, key, weights):
        y, running = batch_norm.apply(params["model"], state["running"], batch["data"], training=True)
        error = (y - batch["data"]).square().sum(-1)
        return Out(error.mean(), {"error": error}, {"running": running})

    def score(self, params, state, batch, key):
        y, _ = batch_norm.apply(params["model"], state["running"], batch, training=False)
        return -(y - batch).square().sum(-1)


class Both(Regression):
    """Two streams with epochs of their own, and an SGD whose first update keeps nothing."""

    streams = Streams({"few": Epochs(20, 5), "many": Epochs(60, 10)})

    @property
    def optimisers(self):
        return {"model": Optimiser("sgd", lr=0.01, momentum=0.9)}

    def batch(self, data, key, step):
        return self.streams.take({"few": data[:20], "many": data}, key, step)

    def loss(self, params, state, batch, key, weights):
        parts = [super(Both, self).loss(params, state, batch[name], key, weights) for name in ("few", "many")]
        return Out(parts[0].loss + parts[1].loss, {"few": parts[0].terms["error"], "many": parts[1].terms["error"]}, {})


PROGRAMS = {"regression": Regression, "gan": Gan, "codebook": Codebook, "normed": Normed, "streams": Both}


class StopError(Exception):
    pass


def interrupted(program, run, data, held_out, where, step):
    """The run, killed as it were before a step: nothing is saved that its checkpoints had not."""

    class Killed(Loop):
        def step(self):
            if self.progress.step == step:
                raise StopError
            super().step()

    try:
        Killed(program, run, data, held_out, where, Watch()).fit()
    except StopError:
        return
    raise AssertionError(f"the run ended before step {step}")


__all__ = ["PROGRAMS", "RUN", "Gan", "Regression", "fit", "folder", "interrupted", "points"]
