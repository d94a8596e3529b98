"""Equal bounds give equal gradients however they are written, for every estimator that takes them."""

import math
from functools import partial

import pytest
import torch

from jensen.core import bounds, trees
from jensen.estimators import gradients as g
from jensen.estimators.gradients import baselines
from jensen.estimators.gradients.contract import apply_bound, carry, density
from jensen.laws import gates

S = 8
ELBOS = {
    "Renyi": bounds.Renyi(1.0),
    "Miwae": bounds.Miwae(S, 1),
    "Tvo": bounds.Tvo((0.0, 1.0)),
    "function": lambda log_w: log_w.mean(0),
}
IWAES = {
    "Renyi": bounds.Renyi(0.0),
    "Miwae": bounds.Miwae(1, S),
    "Cubo": bounds.Cubo(1.0),
    "Jackknife": bounds.Jackknife(0),
    "function": lambda log_w: torch.logsumexp(log_w, 0) - math.log(len(log_w)),
}
GATES = {
    "normal": gates.linear_gaussian(),
    "Bernoulli": gates.four_bernoullis(),
    "categorical": gates.three_categoricals(),
}
SCORES = {
    f"score, {b.__name__}": partial(g.score, baseline=b)
    for b in (baselines.none, baselines.leave_one_out, baselines.vimco)
}
CONTROL = partial(g.relax, control=lambda t: torch.tanh(t).flatten(2).sum(-1))
OF_ELBO = {
    "normal": SCORES
    | {"score, optimal": partial(g.score, baseline=baselines.optimal)}
    | {f.__name__: f for f in (g.pathwise, g.stl, g.dreg, g.vargrad, g.measure_valued)},
    "Bernoulli": SCORES
    | {"relax": CONTROL, "sum_and_sample": partial(g.sum_and_sample, top=3)}
    | {f.__name__: f for f in (g.muprop, g.rebar, g.arm, g.disarm, g.measure_valued, g.exact, g.straight_through)}
    | {f.__name__: f for f in (g.concrete, g.gumbel_straight_through)},
    "categorical": SCORES | {"arsm": g.arsm},
}
OF_IWAE = {
    "normal": {k: v for k, v in SCORES.items() if "leave" not in k}
    | {f.__name__: f for f in (g.pathwise, g.dreg, g.wake, g.wake_theta, g.wake_phi)},
    "Bernoulli": SCORES | {f.__name__: f for f in (g.concrete, g.straight_through, g.wake)},
}
CASES = [
    *[(gate, name, f, bounds.elbo, ELBOS) for gate, each in OF_ELBO.items() for name, f in each.items()],
    *[(gate, name, f, bounds.iwae, IWAES) for gate, each in OF_IWAE.items() for name, f in each.items()],
]
IDS = [f"{gate}: {name}, {'elbo' if bound == bounds.elbo else 'iwae'}" for gate, name, _, bound, _ in CASES]


def disagreements(gate, estimate, bound, spellings):
    """The spellings whose gradients, over 4 draws, are not those of the bound, to rounding."""
    expected = gate.draws(partial(estimate, bound=bound), S, reps=4)
    found = []
    for name, spelling in spellings.items():
        leaves_one_out = baselines.leave_one_out in getattr(estimate, "keywords", {}).values()
        if leaves_one_out and spelling == IWAES["Miwae"]:
            continue  # a bound of S samples has none of S - 1
        other = gate.draws(partial(estimate, bound=spelling), S, reps=4)
        pairs = zip(trees.leaves(expected), trees.leaves(other), strict=True)
        exact = name != "function" and bound == bounds.elbo
        if not all(torch.equal(a, b) if exact else torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in pairs):
            found.append(name)
    return found


@pytest.mark.parametrize(("gate", "name", "estimate", "bound", "spellings"), CASES, ids=IDS)
def test_spellings_of_one_bound_give_one_gradient(gate, name, estimate, bound, spellings):
    assert disagreements(GATES[gate], estimate, bound, spellings) == []


def test_a_score_that_knows_the_elbo_by_identity_is_caught():
    """The planted bug: any other object with the ELBO's values is weighted by the whole bound."""

    def score(log_p, q, noise, *, bound):
        z = q.sample(noise).detach()
        log_q = q.log_prob(z)
        additive = bound is bounds.elbo
        log_w = density(log_p, z) - (log_q.detach() if additive else log_q)
        value = apply_bound(bound, log_w)
        signal = log_w.detach() / S if additive else value.detach()
        return value + carry((signal * log_q).sum(0))

    spellings = ELBOS | {"Renyi": bounds.Ciwae(1.0)}
    assert disagreements(GATES["Bernoulli"], score, bounds.elbo, spellings) == list(spellings)


def test_the_variance_of_score_is_that_of_the_elbo_for_every_spelling():
    """Weighting each score by the whole bound would make it an order larger."""
    gate = GATES["Bernoulli"]
    variances = [
        gate.draws(partial(g.score, bound=bound), S, reps=500)["phi"]["logits"].var(0).sum()
        for bound in (bounds.elbo, *ELBOS.values())
    ]
    torch.testing.assert_close(torch.stack(variances), variances[0].expand(len(variances)))
