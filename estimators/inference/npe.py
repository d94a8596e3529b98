"""Neural posterior estimation (Papamakarios and Murray, 2016): q(z | x) learnt from draws of (z, x), without a density.

    simulator = Simulator({"rate": positive()}, draw, simulate)  # or Simulator.of(posterior, "y")
    posterior, trace = fit(key, simulator)
    posterior.given(x), posterior.draws(key, x, 1000)            # of any x (n, *event), without another fit
    posterior.verdict(x)

    state = init(key, simulations)
    state, info = update(state, simulations.rows(index))         # one step of Adam

Approximates  p(z | x) for all x at once, z the parameters' real numbers by the bijections of their supports
With          flows conditional on x or on a network's summaries of it, standardised; Adam on minibatches in epochs, of
              which the mean of q is scored by simulations held out; steps halve where that no longer rises, to an end
Requires      draws of the prior, and of x given theta; finite x of one shape
Unbiased when never; the minimum of -E log q(z | x) over the prior is the posterior, for a family that has it
Cost          the simulations, and a pass of the networks with its gradient for each in each epoch; none at a new x
Reference     Papamakarios and Murray, 2016; Greenberg et al., 2019; Cranmer et al., 2020; Talts et al., 2018, for the
              calibration of the verdict
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad_and_value

from jensen.core import keys, trees
from jensen.core.checks import check_count, check_key, check_number, described
from jensen.core.contracts import Flow, Key
from jensen.core.models.bayes import Support
from jensen.core.trees import Params, Static
from jensen.estimators.diagnostics import Calibration, calibration, ranks
from jensen.estimators.inference._adam import ascent
from jensen.estimators.inference._mahalanobis import Mahalanobis
from jensen.estimators.inference.amortised import Amortised, ConditionalDensity, Scaling
from jensen.estimators.inference.fitting import Trace
from jensen.estimators.inference.learning import Learning, check_learning, check_networks, shaped_then_placed
from jensen.estimators.inference.simulator import Simulations, Simulator
from jensen.estimators.inference.summaries import Summary, flattened

HALVINGS = 3
DRAWS = 99  # for the rank of each held-out simulation


class State(NamedTuple):
    """q, Adam's moments of its parameters' gradient, and their sum over the steps that are averaged."""

    q: ConditionalDensity
    first: Params
    second: Params
    total: Params
    averaged: Float[Tensor, ""]
    steps: Float[Tensor, ""]

    def average(self) -> ConditionalDensity:
        """q of the mean of the last steps' parameters."""
        return self.q._replace(params=trees.map(lambda t: t / self.averaged, self.total))

    def restarted(self) -> "State":
        """The same, with no step averaged yet."""
        return self._replace(total=trees.map(torch.zeros_like, self.total), averaged=torch.zeros_like(self.averaged))


class Info(NamedTuple):
    """The mean of log q(z | x) over a batch before a step, in nats."""

    objective: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]


def init(
    key: Key,
    simulations: Simulations,
    flow: Callable[..., tuple[Flow, ...]] = shaped_then_placed,
    summary: Summary = flattened,
) -> State:
    """Before the first step: z and x are standardised by these simulations, and q(z | x) is N(0, I) of that z.

    flow: key, d, context=c -> layers on d numbers given c, such as partial(maf, hidden=(64,)).
    """
    check_key(key)
    _check_simulations("simulations", simulations)
    check_networks(flow, summary)
    z, x = simulations
    flow_key, summary_key = keys.split(key)
    event = tuple(x.shape[1:])
    of_z, of_x = Scaling.of(z), Scaling.of(x, summary.alike)
    network = trees.map(lambda t: t.to(z), summary.init(summary_key, event))
    context = summary.apply(network, of_x.standardised(x[:1])).shape[1]
    layers = trees.map(lambda t: t.to(z), flow(flow_key, z.shape[1], context=context))
    params = {"flows": layers, "summary": network}
    zero, none = trees.map(torch.zeros_like, params), z.new_zeros(())
    return State(ConditionalDensity(params, Static(summary), Static(event), of_z, of_x), zero, zero, zero, none, none)


def update(state: State, simulations: Simulations, step_size: float | Tensor = 0.002) -> tuple[State, Info]:
    """One step of Adam up the mean of log q(z | x) over simulations."""
    if not isinstance(state, State):
        raise TypeError(f"expected state, a State, got {described(state)}: begin with npe.init(key, simulations)")
    _check_simulations("simulations", simulations)
    if not isinstance(step_size, Tensor):
        check_number("step_size", step_size, "[0, inf)")

    def value(params: Params) -> Tensor:
        return state.q._replace(params=params).log_prob(simulations).mean()

    slopes, found = grad_and_value(value)(state.q.params)
    steps = state.steps + 1
    params, first, second = ascent(state.q.params, state.first, state.second, slopes, steps, step_size)
    total = trees.map(torch.add, state.total, params)
    after = State(state.q._replace(params=params), first, second, total, state.averaged + 1, steps)
    return after, Info(found.detach(), {})


class Learnt(NamedTuple):
    """q, the simulations that it learnt from and those held out, and log q of these, in nats, after each epoch.

    settled is False where the epochs ended first.
    """

    q: ConditionalDensity
    seen: Simulations
    unseen: Simulations
    scores: Float[Tensor, "t m"]
    settled: bool

    def amortised(self, support: Mapping[str, Support], calibration: Calibration) -> Amortised:
        """The posterior of a simulator's parameters."""
        last, near = self.scores[-1], Mahalanobis.of(self.q.features(self.seen.x), self.q.features(self.unseen.x))
        error = last.std() / len(last) ** 0.5
        return Amortised(self.q, Static(support), last.mean(), error, calibration, near, self.settled)


def learn(
    key: Key,
    simulations: Simulations,
    learning: Learning = Learning(),
    progress: Callable[[str], object] | None = None,
) -> Learnt:
    """q(z | x) of simulations that there are, of which the first are held out. ValueError for too few."""
    check_key(key)
    _check_simulations("simulations", simulations)
    check_learning(learning)
    n = len(simulations.z)
    m = learning.unseen(n)
    init_key, run_key = keys.split(key)
    unseen, seen = simulations.rows(slice(m)), simulations.rows(slice(m, n))
    state = init(init_key, seen, learning.flow, learning.summary)
    best, scores, waited, halved, settled = state.q, [_score(state.q, unseen)], 0, 0, False
    for epoch in range(learning.epochs):
        state = state.restarted()
        for index in keys.permutation(keys.fold_in(run_key, epoch), n - m).split(int(learning.batch_size)):
            state, _ = update(state, seen.rows(index), learning.step_size / 2**halved)
        now = _score(state.average(), unseen)
        if now.mean() > scores[-1].mean():
            best, waited = state.average(), 0
            scores.append(now)
        else:
            waited += 1
            scores.append(scores[-1])
        if progress is not None:
            progress(f"epoch {epoch + 1} of {learning.epochs} at most: held-out log q {now.mean().item():.3f}")
        if waited == learning.patience:
            settled = halved == HALVINGS
            waited, halved = 0, halved + 1
        if settled:
            break
    return Learnt(best, seen, unseen, torch.stack(scores), settled)


def fit(
    key: Key,
    simulator: Simulator,
    n: int = 5000,
    held_out: float = 0.1,
    flow: Callable[..., tuple[Flow, ...]] = shaped_then_placed,
    summary: Summary = flattened,
    batch_size: int = 100,
    epochs: int = 100,
    step_size: float = 0.005,
    patience: int = 3,
    progress: Callable[[str], object] | None = None,
) -> tuple[Amortised, Trace]:
    """q(z | x) from n simulations; the trace is of the held-out mean of log q(z | x) after each epoch, in nats.

    `Learning` has what the others are. ValueError for simulations that are not finite, or too few to be held out.
    """
    check_key(key)
    check_simulator(simulator)
    n = check_count("n", n, 4)
    learning = Learning(held_out, flow, summary, batch_size, epochs, step_size, patience)
    m = learning.unseen(n)
    simulate_key, learn_key, judge_key = keys.split(key, 3)
    learnt = learn(learn_key, simulator.simulations(simulate_key, n), learning, progress)
    errors = learnt.scores.std(1) / m**0.5
    trace = Trace(learnt.scores.mean(1), errors, {}, torch.tensor(learnt.settled))
    return learnt.amortised(simulator.support, _calibrated(judge_key, learnt)), trace


@torch.no_grad()
def _calibrated(key: Key, learnt: Learnt) -> Calibration:
    draw_key, tie_key = keys.split(key)
    given = learnt.q.given(learnt.unseen.x)
    return calibration(ranks(learnt.unseen.z, given.sample(given.noise(draw_key, DRAWS)), tie_key), DRAWS)


@torch.no_grad()
def _score(q: ConditionalDensity, unseen: Simulations) -> Float[Tensor, " m"]:
    value = q.log_prob(unseen)
    if value.isnan().any():
        raise ValueError("expected a density q(z | x) in nats, got NaN: take smaller steps, or another flow")
    return value


def _check_simulations(name: str, value: object) -> None:
    if not isinstance(value, Simulations):
        raise TypeError(f"expected {name}, Simulations, got {described(value)}: draw simulator.simulations(key, n)")


def check_simulator(value: object) -> None:
    """TypeError for what is no simulator."""
    if not isinstance(value, Simulator):
        raise TypeError(f"expected simulator, a Simulator, got {described(value)}: write Simulator.of(model, 'y')")
