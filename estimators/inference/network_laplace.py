"""Laplace's approximation of a trained network's posterior (MacKay, 1992; Ritter et al., 2018; Immer et al., 2021).

    posterior, trace = fit(mlp.apply, parameters, x, y, Gaussian(0.1))        # y (n, c), KFAC unless named
    posterior.predict(x).mean, posterior.predict(x).variance
    posterior.outputs(x)                                         # the normal over f, linearised in the parameters
    posterior.draws(key, 10), posterior.log_evidence, posterior.verdict()
    fit(mlp.apply, parameters, x, y, Gaussian(), groups=tuple(parameters), noise=True)    # a prior per layer, and sigma

    state, info = update(init(mlp.apply, parameters, x, Gaussian(0.1)), x, y) # for each batch
    posterior, trace = finish(state)

Approximates  p(parameters | data) under the prior N(0, I / prior_precision), one precision for all parameters or for
              each group, by the normal about the parameters with the precision H + diag(prior_precision), H the
              generalised Gauss-Newton matrix; and log p(data)
With          H in a basis where it is diagonal: "full", "diagonal", or "kfac" of a Kronecker product per layer, exactly
              with the prior's precision added; that, and Gaussian noise, by MacKay's updates to the maximum of
              log p(data) unless given; f near the parameters as its linear expansion, for predictions
Requires      a pure network (parameters, x) -> (n, c) of each datum by itself, trained with weight decay
              prior_precision |parameters|^2 / 2 besides the summed negative log likelihood
Unbiased when a network linear in its parameters with Gaussian noise is at its mode: then exact, a full H
Cost          n c products with the transposed Jacobian, by batches; for "full" an eigendecomposition (p, p), with
              groups one for each update of their precisions; for "kfac" two of each layer's sides
Reference     MacKay, 1992; Martens and Grosse, 2015; Ritter et al., 2018; Daxberger et al., 2021; Immer et al., 2021;
              Eschenhagen et al., 2023
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad

from jensen.core.checks import check_choice, check_count, check_number, described
from jensen.core.trees import Params, Static
from jensen.estimators.inference.curvature import Diagonal, Full, Kronecker, Likelihood, Linearised
from jensen.estimators.inference.curvature.groups import Groups
from jensen.estimators.inference.curvature.linearised import Network, check_data, chunks
from jensen.estimators.inference.fitting import Trace
from jensen.estimators.inference.network_evidence import most_probable
from jensen.estimators.inference.network_posterior import NetworkPosterior

Structure = Literal["kfac", "kfac-reduce", "full", "diagonal"]
STRUCTURES = get_args(Structure)
STARTS = (Kronecker.start, partial(Kronecker.start, reduce=True), Full.start, Diagonal.start)
BY_NAME = dict(zip(STRUCTURES, STARTS, strict=True))


class State(NamedTuple):
    """Sums over the data so far, at the parameters."""

    linearised: Linearised
    likelihood: Static[Likelihood]
    curvature: Kronecker | Full | Diagonal
    slope: Float[Tensor, " p"]  # of the log likelihood
    log_likelihood: Float[Tensor, ""]
    n: Float[Tensor, ""]
    responses: int


class Info(NamedTuple):
    """The log likelihood of the data that were added, in nats."""

    objective: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]


@torch.no_grad()
def init(
    network: Network,
    parameters: Params,
    x: Tensor,
    likelihood: Likelihood,
    curvature: Structure = "kfac",
    only: Sequence[str] = (),
) -> State:
    """Sums over no data. Of x the shape is looked at, and of two data the outputs; only: see `fit`."""
    check_choice("curvature", curvature, STRUCTURES)
    check_data(x)
    if isinstance(likelihood, type) or not hasattr(likelihood, "root"):
        raise TypeError(f"expected likelihood, such as Gaussian(0.1), got {described(likelihood)}: pass a value")
    linearised = Linearised.of(network, parameters, only)
    linearised.check_alone(x)
    linearised, none = BY_NAME[curvature](linearised, x[:1])
    vector = linearised.vector()
    zero = torch.zeros((), dtype=torch.float64, device=vector.device)
    return State(linearised, Static(likelihood), none, torch.zeros_like(vector), zero, zero, 0)


@torch.no_grad()
def update(state: State, x: Tensor, y: Tensor) -> tuple[State, Info]:
    """With a batch: a network's sums over batches are those over all data at once, whatever the batches' sizes."""
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with network_laplace.init(…)")
    check_data(x)
    linearised, likelihood = state.linearised, state.likelihood.value
    outputs = linearised.outputs({}, x)
    likelihood.check(y, outputs)
    curvature, slope = state.curvature, state.slope
    for at in chunks(len(x), curvature.elements(outputs.shape[1])):
        curvature = curvature.added(linearised, x[at], likelihood.root(outputs[at]))

        def total(named: dict[str, Tensor]) -> Tensor:
            return likelihood.log_prob(linearised.outputs(named, x[at]), y[at]).sum()  # noqa: B023, called at once

        slope = slope + linearised.layout.value.flat(grad(total)(linearised.random()))
    log_likelihood = likelihood.log_prob(outputs.double(), y).sum()
    if not log_likelihood.isfinite():
        raise ValueError(f"expected a finite log likelihood, got {log_likelihood.item()}: look for NaN in x and y")
    after = state._replace(
        curvature=curvature, slope=slope, log_likelihood=state.log_likelihood + log_likelihood, n=state.n + len(x),
        responses=state.responses + y.numel(),
    )  # fmt: skip
    return after, Info(log_likelihood, {})


@torch.no_grad()
def finish(
    state: State,
    prior_precision: float | Sequence[float] | None = None,
    groups: Sequence[str] = (),
    noise: bool = False,
    steps: int = 200,
    tolerance: float = 1e-6,
) -> tuple[NetworkPosterior, Trace]:
    """The posterior, its prior's precisions those with most evidence unless given, and the trace of that evidence.

    With `noise` that of a Gaussian likelihood is tuned too: see `fit`, and `network_evidence` for the updates.
    """
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with network_laplace.init(…)")
    steps, tolerance = check_count("steps", steps, 0), check_number("tolerance", tolerance, "[0, inf)")
    if not state.n:
        raise ValueError("expected a state with data, got none: add batches with update")
    linearised, curvature = state.linearised, state.curvature.spectrum()
    of = Groups.starting(linearised, groups)
    curvature.basis.check_groups(of.of)
    posterior = NetworkPosterior(
        linearised, state.likelihood, curvature, state.slope, state.log_likelihood, state.n, state.responses, of,
        of.precisions(1.0), curvature,
    )  # fmt: skip
    if prior_precision is not None:
        posterior = posterior.under(prior_precision)
    return most_probable(posterior, prior_precision is None, noise, steps, tolerance)


def fit(
    network: Network,
    parameters: Params,
    x: Tensor,
    y: Tensor,
    likelihood: Likelihood,
    curvature: Structure = "kfac",
    prior_precision: float | Sequence[float] | None = None,
    only: Sequence[str] = (),
    groups: Sequence[str] = (),
    noise: bool = False,
) -> tuple[NetworkPosterior, Trace]:
    """The posterior of all data, and the trace of log p(data) as the prior's precision was found, in nats.

    What is found is best about the parameters as they are: train on with it, and fit again, for the maximum of both.

    network          (parameters, x (n, ...)) -> (n, c), such as partial(mlp.apply, activation=torch.relu)
    parameters       a nested dict, trained: the posterior is about them
    likelihood       `Gaussian(sigma)` with y (n, c), `Bernoulli()` with y (n, c), `Categorical()` with labels y (n,)
    curvature        "kfac" for linear layers and convolutions, "kfac-reduce" for such whose places are averaged, "full"
                     for few parameters, "diagonal" for any network
    prior_precision  that which maximises log p(data) unless given; with groups a number for all, or one for each
    only             paths of random parameters, or how they begin, such as ("2",) for a layer; all if ()
    groups           how the paths of each group begin that has a precision of its own, such as tuple(parameters) for
                     one a layer; one group of all if ()
    noise            whether sigma of a `Gaussian` is the one that maximises log p(data) too
    """
    state, _ = update(init(network, parameters, x, likelihood, curvature, only), x, y)
    return finish(state, prior_precision, groups, noise)
