"""Truncated sequential neural posterior estimation (Deistler et al., 2022): simulations where one posterior may be.

    posterior, trace = fit(key, simulator, x, n=1000, rounds=4)  # x (1, *event), n simulations a round
    posterior.draws(key, 1000), posterior.given()                # of z given this x
    posterior.verdict(), posterior.rounds.acceptance

    state = init(key, simulator, x)                              # a round of the prior's simulations
    state, info = update(state, key, simulator)                  # one of those where the posterior may be

Approximates  p(z | x) for one x, z the parameters' real numbers by the bijections of their supports
With          rounds of `npe`, each of simulations from the prior in a region: of the region before, the part where the
              last q(z | x) is highest, with 1 - epsilon of its probability; simulations of all rounds that lie there
Requires      draws of the prior, of which some are in the region (`acceptance` says how many), and of x given theta
Unbiased when never; the minimum of -E log q over the prior in the region is the posterior, less what lies outside. A
              proposal that is constant times the prior needs no correction of the loss
Cost          the simulations, and an `npe` a round of those that lie in the region; draws of the prior, n / acceptance
Reference     Deistler, Goncalves and Macke, 2022; Papamakarios and Murray, 2016; Greenberg et al., 2019
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key, check_number, described
from jensen.core.contracts import Key
from jensen.core.models.bayes import coordinates
from jensen.estimators.inference import npe
from jensen.estimators.inference.amortised import Amortised, ConditionalDensity
from jensen.estimators.inference.fitting import Trace, traced
from jensen.estimators.inference.learning import Learning, check_learning
from jensen.estimators.inference.region import ExhaustedError, Region, restricted
from jensen.estimators.inference.sequential import Round, Sequential, calibrated, measured
from jensen.estimators.inference.simulator import Simulations, Simulator

MOST = 10_000_000  # draws of the prior for a round's simulations
LEFT_OUT = "1e-4 leaves out one draw of q in 10,000"


class State(NamedTuple):
    """A round's posterior, and the simulations that it is of, all within a region."""

    posterior: Amortised
    region: Region
    simulations: Simulations
    round: Round


class Info(NamedTuple):
    """The held-out mean of log q(z | x) before a round, in nats."""

    objective: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]


def init(
    key: Key,
    simulator: Simulator,
    x: Float[Tensor, "1 *event"],
    n: int = 1000,
    learning: Learning = Learning(),
    progress: Callable[[str], object] | None = None,
) -> State:
    """The first round, of n simulations, whose region is everywhere. ValueError for x of another shape than theirs."""
    check_key(key)
    npe.check_simulator(simulator)
    check_learning(learning)
    learning.unseen(check_count("n", n, 4))
    shape_key, round_key = keys.split(key)
    one = simulator.simulations(shape_key, 1)
    region = Region.everywhere(_checked(x, one))
    return _round(round_key, simulator, region, one.rows(slice(0)), None, n, learning, MOST, progress)


def update(
    state: State,
    key: Key,
    simulator: Simulator,
    n: int = 1000,
    epsilon: float = 1e-4,
    learning: Learning = Learning(),
    most: int = MOST,
    progress: Callable[[str], object] | None = None,
) -> tuple[State, Info]:
    """A round of n more simulations, where the state's q(z | x) is highest, with 1 - epsilon of its probability.

    ValueError where the prior has fewer than n of `most` draws there, and for a simulator of another shape.
    """
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with tsnpe.init(key, simulator, x)")
    check_key(key)
    npe.check_simulator(simulator)
    check_learning(learning)
    n, most, d = check_count("n", n), check_count("most", most), state.simulations.z.shape[1]
    if coordinates.size(simulator.support) != d:
        found = coordinates.size(simulator.support)
        raise ValueError(f"expected simulator of z (n, {d}), as the state is of, got (n, {found}): pass the same one")
    epsilon = check_number("epsilon", epsilon, "(0, 1)", LEFT_OUT)
    region_key, round_key = keys.split(key)
    region = state.region.narrowed(region_key, state.posterior.q, epsilon)
    old = state.simulations.rows(region.contains(state.simulations.z))
    after = _round(round_key, simulator, region, old, state.posterior.q, n, learning, most, progress)
    return after, Info(state.posterior.log_q, {})


def fit(
    key: Key,
    simulator: Simulator,
    x: Float[Tensor, "1 *event"],
    n: int = 1000,
    rounds: int = 4,
    epsilon: float = 1e-4,
    learning: Learning = Learning(),
    tolerance: float = 0.02,
    most: int = MOST,
    progress: Callable[[str], object] | None = None,
) -> tuple[Sequential, Trace]:
    """p(z | x) from n simulations a round; the trace is of the held-out mean of log q(z | x) of each round, in nats.

    x          (1, *event), the one data set
    rounds     at most; the last is the one that moves the posterior by at most `tolerance` nats
    epsilon    the share of q(z | x) that each round leaves out
    learning   of each round: `Learning(epochs=50, flow=…, summary=…)`
    most       draws of the prior for a round's simulations

    The rounds' means are over different regions, and so need not rise. Where the prior has too few draws in a region,
    rounds end there, and the verdict says so. ValueError for simulations that are not finite.
    """
    check_key(key)
    rounds, most = check_count("rounds", rounds), check_count("most", most)
    tolerance = check_number("tolerance", tolerance, "[0, inf)")
    epsilon = check_number("epsilon", epsilon, "(0, 1)", LEFT_OUT)
    state = init(keys.fold_in(key, 0), simulator, x, n, learning, progress)
    states, ended = [state], ""
    for i in range(1, rounds):
        try:
            state, _ = update(state, keys.fold_in(key, i), simulator, n, epsilon, learning, most, progress)
        except ExhaustedError as error:
            ended = str(error)
            break
        states.append(state)
        if progress is not None:
            moved, acceptance = state.round.moved.item(), state.round.acceptance.item()
            progress(f"round {i + 1} of {rounds} at most: acceptance {acceptance:.3g}, moved by {moved:.2g} nats")
        if state.round.moved <= tolerance:
            break
    every = [each.posterior for each in states]
    records = Round(*(torch.stack(list(each)) for each in zip(*(each.round for each in states), strict=True)))
    errors = [each.standard_error for each in every]
    trace = traced([Info(each.log_q, {}) for each in every], state.round.moved <= tolerance, errors)
    return Sequential(tuple(every), state.region, records, epsilon, tolerance, ended), trace


def _round(
    key: Key, simulator: Simulator, region: Region, old: Simulations, before: ConditionalDensity | None, n: int,
    learning: Learning, most: int, progress: Callable[[str], object] | None,
) -> State:  # fmt: skip
    """q of n new simulations from the prior in the region, and of those of earlier rounds that lie there."""
    prior_key, simulate_key, learn_key, judge_key, measure_key = keys.split(key, 5)
    drawn = restricted(prior_key, simulator, region, n, most)
    fresh = simulator.at(simulate_key, drawn.z)
    if fresh.x.shape[1:] != old.x.shape[1:]:
        raise ValueError(
            f"expected simulator of x {tuple(old.x.shape[1:])}, as the state is of, got {tuple(fresh.x.shape[1:])}: "
            "pass the same one"
        )
    simulations = Simulations(torch.cat([fresh.z, old.z]), torch.cat([fresh.x, old.x]))
    learnt = npe.learn(learn_key, simulations, learning, progress)
    posterior = learnt.amortised(simulator.support, calibrated(judge_key, learnt, region))
    round = measured(measure_key, learnt.q, before, region, drawn, len(simulations.z))
    return State(posterior, region, simulations, round)


def _checked(x: Tensor, like: Simulations) -> Tensor:
    event = like.x.shape[1:]
    check_floating("x", x, " ".join(["1", *map(str, event)]), "one data set, so x[None] of it alone")
    x = x.to(like.x.dtype)
    if not x.isfinite().all():
        raise ValueError("expected finite x, got NaN or infinity: mend or leave them out")
    return x
