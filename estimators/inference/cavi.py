"""Coordinate ascent variational inference in conjugate-exponential models: each factor at its best given the others.

    model = conjugate.Mixture(conjugate.Shares(torch.ones(5)), conjugate.normals(x))
    posterior, trace = fit(key, model, x)
    posterior.factors["components"]                              # a NormalWishart, one row for each component
    trace.terms                                                  # the ELBO by factor, and the data's

    data = prepare(model, x)                                     # sweep by sweep
    state, info = update(init(key, model, data), model, data)

Approximates  p(global, local | x) by a product of factors q, at a local maximum of the ELBO
With          eta_f = d/d mu_f E log p(x, local, global): the slopes of one function of mean parameters
Requires      a `ConjugateModel`
Unbiased when it has one factor, and local ones given it: q is then the posterior, and the ELBO is log p(x)
Cost          a gradient of the data's part for each block of factors
Reference     Attias, 2000; Winn and Bishop, 2005; Blei et al., 2017

The ELBO never falls but by rounding: some last digits of its terms, and more where squares of the data are many times
what is left of them, as of a regression on columns that are not centred. Global factors are in float64 whatever the
data's type.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_key, check_number, described
from jensen.core.contracts import Key
from jensen.core.models.conjugate.contract import ConjugateModel, Factors
from jensen.core.trees import Tree
from jensen.estimators.inference._blocks import best, check_model, means_of, size
from jensen.estimators.inference.fitting import Trace, climb


class Data(NamedTuple):
    """Data as a model reads them: tensors with a row for each datum."""

    rows: Tree


class State(NamedTuple):
    """Natural parameters of the global factors, and what each datum's local ones may start from."""

    natural: Factors
    local: Tree


class Info(NamedTuple):
    """The ELBO of the state before an update, in nats per data set, its local factors at their best given the others.

    terms: of each factor, E log p of it less E log q; and `data`, the rest.
    """

    objective: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]


class Posterior(NamedTuple):
    """q's global factors as distributions, by name; and their natural and mean parameters."""

    factors: dict[str, Any]
    natural: Factors
    means: Factors


def prepare(model: ConjugateModel, x: Tree) -> Data:
    """The data, checked by the model."""
    check_model(model)
    rows = model.prepare(x)
    if not size(rows):
        raise ValueError("expected x of one datum or more, got none: pass the data")
    return Data(rows)


def init(key: Key, model: ConjugateModel, data: Data) -> State:
    """The model's own start for the data."""
    check_key(key)
    check_model(model)
    check_data(data)
    return State(model.start(key, data.rows), {})


def update(state: State, model: ConjugateModel, data: Data) -> tuple[State, Info]:
    """One sweep over the blocks, and the ELBO before it."""
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with cavi.init(key, model, data)")
    check_model(model)
    check_data(data)
    natural, local = state
    means, latest, infos = {}, natural, []
    for block in model.blocks:
        means = means | means_of(model, latest)
        moved = best(model, block, natural, means, data.rows, local)
        infos.append(Info(torch.stack(list(moved.terms.values())).sum(), moved.terms))
        latest, local = moved.natural, moved.local
        natural = natural | latest
    return State(natural, local), infos[0]


def fit(
    key: Key,
    model: ConjugateModel,
    x: Tree,
    restarts: int = 1,
    steps: int = 500,
    tolerance: float = 1e-3,
    progress: Callable[[str], object] | None = None,
) -> tuple[Posterior, Trace]:
    """The q of the highest ELBO of `restarts` starts, each raised until a sweep gains no more than `tolerance` nats."""
    check_key(key)
    check_model(model)
    restarts, steps = check_count("restarts", restarts), check_count("steps", steps)
    tolerance = check_number("tolerance", tolerance, "[0, inf)")
    data = prepare(model, x)
    fits = [
        climb(lambda state: update(state, model, data), init(each, model, data), steps, tolerance, progress)
        for each in keys.split(key, restarts)
    ]
    state, trace = max(fits, key=lambda fit: fit[1].objective[-1].item())
    return posterior(model, state.natural), trace


def posterior(model: ConjugateModel, natural: Factors) -> Posterior:
    """The factors of these natural parameters."""
    check_model(model)
    return Posterior(model.posterior(natural), natural, means_of(model, natural))


def check_data(data: object) -> None:
    """TypeError for data that no model has prepared."""
    if not isinstance(data, Data):
        raise TypeError(f"expected data, a Data, got {described(data)}: make it with cavi.prepare(model, x)")
