"""What an encoder's amortisation gap is made of: steps from its q, more training of it, data that it has not seen."""

from dataclasses import asdict, dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.contracts import Amortised, Distribution, Key
from jensen.core.trees import Params
from jensen.estimators.diagnostics import Amortisation, amortisation, fit_each
from jensen.estimators.evidence import draw
from jensen.estimators.gradients import stl
from jensen.estimators.inference import semi_amortised
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.pixels import binarise
from jensen.experiments.report.outputs import own
from jensen.experiments.report.shared import over_data
from jensen.experiments.run.ranks import Ranks

BATCH, LR, SAMPLES = 100, 1e-3, 500


@dataclass(frozen=True)
class Fit:
    """How q's best relative is looked for, by Adam for each datum."""

    steps: int
    lr: float


class TrainingData(NamedTuple):
    """What a model was trained on (N, D), and whether its pixels are drawn anew at each step."""

    x: Tensor
    dynamic: bool

    def first(self, n: int, key: Key) -> Tensor:
        return binarise(key, self.x[:n]) if self.dynamic else self.x[:n]


def trained_on(model: Amortised, params: Params, data: TrainingData, steps: int, key: Key) -> Params:
    """The parameters after steps of Adam on the encoder's alone, params["encoder"], at a rate that falls to 0."""
    order, draws = keys.split(key)
    batches = Epochs(len(data.x), min(BATCH, len(data.x)))
    encoder = trees.map(torch.clone, params["encoder"])
    adam = torch.optim.Adam(trees.leaves(encoder), LR)
    schedule = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 1 / steps, steps)

    def loss(encoder: Params, x: Tensor, key: Key) -> Tensor:
        mine = {**params, "encoder": encoder}
        q = model.posterior(mine, x)
        return -stl(partial(model.log_joint, mine, x), q, q.noise(key, 1)).mean()

    for step in range(steps):
        pixels, noise = keys.split(keys.fold_in(draws, step))
        x = batches.take(data.x, order, step)["data"]
        trees.set_grads(encoder, grad(loss)(encoder, binarise(pixels, x) if data.dynamic else x, noise))
        adam.step()
        schedule.step()
    return {**params, "encoder": trees.stop(encoder)}


def refined(model: Amortised, params: Params, x: Tensor, steps: int, key: Key) -> Distribution:
    """The q that so many steps of ascent lead to from the model's."""
    start, log_p = model.encoded(params, x), partial(model.log_joint, params, x)
    build, units = partial(model.posterior_of, params), model.units(start)
    return build(semi_amortised.refine(log_p, build, start, key, steps, s=20, step_size=0.2, units=units))


def parts(
    model: Amortised,
    params: Params,
    data: TrainingData,
    test: Tensor,
    fit: Fit,
    steps: int,
    key: Key,
    ranks: Ranks | None = None,
) -> Amortisation:
    """The amortisation gap of test data, (n,), in three parts, from gaps of as many training data."""
    ranks = ranks or Ranks()
    pixels, training, fitting, judging = keys.split(key, 4)
    x = data.first(len(test), pixels)
    after = trained_on(model, params, data, steps, training)
    ranks.meet()  # each has trained

    def of(places: slice, key: Key) -> tuple[Tensor, ...]:
        own_x, log_p = x[places], partial(model.log_joint, params, x[places])
        best = fit_each(log_p, own(model, params, own_x), keys.at(fitting, datum=places.start), **asdict(fit))
        each = (best, model.posterior(params, own_x), model.posterior(after, own_x))
        return tuple(draw(log_p, q, SAMPLES, key).mean(0) for q in each)

    of_best, before, later = over_data(of, len(x), judging, ranks)
    return amortisation(test, of_best - before, of_best - later)
