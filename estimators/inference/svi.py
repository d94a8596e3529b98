"""Stochastic variational inference: natural gradients of the ELBO from minibatches, with Robbins and Monro's steps.

    model = conjugate.Mixture(conjugate.Shares(torch.ones(5)), conjugate.normals(x))
    posterior, trace = fit(key, model, x, batch_size=256, epochs=10)

    state = init(key, model, cavi.prepare(model, x[:1000]))      # step by step
    state, info = update(state, model, cavi.prepare(model, x[batch]), num_data=len(x), step_size=0.1)

Approximates  what `cavi` does, from a part of the data at a time
With          eta <- (1 - rho) eta + rho eta*, eta* the best factors were the data num_data / b copies of the batch:
              eta* - eta is the ELBO's natural gradient
Requires      a `ConjugateModel`
Unbiased when each datum is as likely to be in the batch: the natural gradient of the first block, and of all where
              there is one; later blocks follow it, as in a sweep of `cavi`, which a full batch and rho = 1 make exactly
Cost          that of `cavi`'s sweep over the batch
Reference     Hoffman et al., 2013; Robbins and Monro, 1951

Local factors are fitted to each batch from the model's own start.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys, trees
from jensen.core.checks import check_count, check_key, check_number, described
from jensen.core.contracts import Key
from jensen.core.models.conjugate.contract import ConjugateModel, Factors
from jensen.core.trees import Tree
from jensen.estimators.inference._blocks import best, check_model, means_of, size
from jensen.estimators.inference.cavi import Data, Posterior, check_data, posterior, prepare
from jensen.estimators.inference.fitting import EVERY, Trace, traced


class State(NamedTuple):
    """Natural parameters of the global factors."""

    natural: Factors


class Info(NamedTuple):
    """The ELBO of the state before an update, estimated from the batch, in nats per data set, with its standard error.

    terms: of each factor, E log p of it less E log q; and `data`, the rest, which alone has an error.
    """

    objective: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]
    standard_error: Float[Tensor, ""]


def init(key: Key, model: ConjugateModel, data: Data) -> State:
    """The model's own start for the data, or for part of them."""
    check_key(key)
    check_model(model)
    check_data(data)
    return State(model.start(key, data.rows))


def update(
    state: State, model: ConjugateModel, data: Data, num_data: int, step_size: float | Tensor
) -> tuple[State, Info]:
    """A step of this size, at most 1, towards the best factors of a batch that stands for num_data data."""
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with svi.init(key, model, data)")
    check_model(model)
    check_data(data)
    b, num_data = size(data.rows), check_count("num_data", num_data)
    if b > num_data:
        raise ValueError(f"expected data of num_data = {num_data} data or fewer, got {b}: num_data is all of them")
    if not isinstance(step_size, Tensor):
        check_number("step_size", step_size, "(0, 1]")
    natural, local = state.natural, {}
    means, latest, infos = {}, natural, []
    for block in model.blocks:
        means = means | means_of(model, latest)
        moved = best(model, block, natural, means, data.rows, local, num_data / b)
        infos.append(_info(moved.terms, moved.each, num_data))
        old = {name: natural[name] for name in block}
        latest, local = trees.map(lambda a, b: torch.lerp(a, b, step_size), old, moved.natural), moved.local
        natural = natural | latest
    return State(natural), infos[0]


def fit(
    key: Key,
    model: ConjugateModel,
    x: Tree,
    batch_size: int,
    epochs: int = 10,
    delay: float = 1.0,
    forgetting: float = 0.7,
    progress: Callable[[str], object] | None = None,
) -> tuple[Posterior, Trace]:
    """Steps (t + delay)^-forgetting over batches of each epoch's own order.

    The trace has an estimate with its error for each step, and last the ELBO of the posterior over all data, exact.
    """
    check_key(key)
    check_model(model)
    batch_size, epochs = check_count("batch_size", batch_size), check_count("epochs", epochs)
    delay = check_number("delay", delay, "[0, inf)")
    forgetting = check_number("forgetting", forgetting, "(0.5, 1]", "steps must sum to infinity, and squares must not")
    data = prepare(model, x)
    num_data = size(data.rows)
    of_start, of_order = keys.split(key)
    state, infos = init(of_start, model, data), []
    for t, batch in enumerate(_batches(of_order, num_data, batch_size, epochs), 1):
        part = trees.map(lambda leaf, batch=batch: leaf[batch], data)
        state, info = update(state, model, part, num_data, min(1.0, (t + delay) ** -forgetting))
        infos.append(info)
        if progress is not None and t % EVERY == 0:
            progress(f"step {t} of {epochs * math.ceil(num_data / batch_size)}: ELBO {info.objective.item():.3f}")
    infos.append(update(state, model, data, num_data, 1.0)[1])
    return posterior(model, state.natural), traced(infos, False, [info.standard_error for info in infos])


def _batches(key: Key, num_data: int, batch_size: int, epochs: int) -> Iterator[Tensor]:
    """Every datum once an epoch, in an order of its own."""
    for epoch in range(epochs):
        yield from keys.permutation(keys.fold_in(key, epoch), num_data).split(batch_size)


def _info(terms: dict[str, Tensor], each: Tensor, num_data: int) -> Info:
    """The error is that of a mean of draws without replacement: 0 of all data, and unknown of one among more."""
    b = len(each)
    spread = each.double().std() if b > 1 else each.new_tensor(torch.nan if b < num_data else 0.0).double()
    error = num_data * spread * ((1 - b / num_data) / b) ** 0.5
    return Info(torch.stack(list(terms.values())).sum(), terms, error)
