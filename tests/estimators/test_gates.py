"""Exact mean gradients of baselines, bounds and temperatures beside those of the laws' table, and on two modes."""

from functools import partial

import pytest
import torch

from jensen import laws
from jensen.core import bounds, trees
from jensen.estimators import gradients as g
from jensen.estimators.gradients import baselines
from jensen.laws import gates, instances

half = bounds.Renyi(0.5)
ELBO, IWAE, HALF = (gates.elbo, 2), (gates.iwae, 2), (gates.renyi_half, 2)

SCORES = {
    "score, vimco, elbo": (partial(g.score, baseline=baselines.vimco), *ELBO),
    "score, constant": (
        lambda log_p, q, u: g.score(
            log_p, q, u, baseline=baselines.RunningMean.start(u).update(u.new_full((1,), -3.0))
        ),
        *ELBO,
    ),
    "score, learned, iwae": (
        lambda log_p, q, u: g.score(
            log_p,
            q,
            u,
            bound=bounds.iwae,
            baseline=baselines.Learned(-3.0 - torch.arange(u.shape[1], dtype=u.dtype)),
        ),
        *IWAE,
    ),
    "score, iwae": (partial(g.score, bound=bounds.iwae), *IWAE),
    "score, iwae, leave one out": (partial(g.score, bound=bounds.iwae, baseline=baselines.leave_one_out), *IWAE),
    "score, renyi, vimco": (partial(g.score, bound=half, baseline=baselines.vimco), *HALF),
    "score, renyi, leave one out": (partial(g.score, bound=half, baseline=baselines.leave_one_out), *HALF),
}
PATHS = {
    "pathwise, renyi": (partial(g.pathwise, bound=half), *HALF),
    "dreg, any bound": (partial(g.dreg, bound=lambda log_w: bounds.Renyi(0.5)(log_w)), *HALF),
}
COLD = {"rebar, cold": (partial(g.rebar, temperature=0.2, eta=0.7), *ELBO)}
TABLE = {
    **dict.fromkeys(("pathwise", "stl", "measure_valued", "score", "score, leave one out", "vargrad"), ELBO),
    "score, optimal": (gates.elbo, 3),
    **dict.fromkeys(("pathwise, iwae", "dreg", "score, iwae, vimco"), IWAE),
    "dreg, Renyi(0.5)": HALF,
}
OF_TWO_MODES = {name: (instances.ESTIMATORS[name], *case) for name, case in TABLE.items()}

CASES = [
    *[("linear Gaussian", name, case) for name, case in (PATHS | SCORES).items()],
    *[("mixture", name, case) for name, case in (OF_TWO_MODES | PATHS | SCORES).items()],
    *[("four Bernoullis", name, case) for name, case in (COLD | SCORES).items()],
    *[("three categoricals", name, case) for name, case in (COLD | SCORES).items()],
]
GATES = {
    "linear Gaussian": gates.linear_gaussian(),
    "mixture": gates.mixture(),
    "four Bernoullis": gates.four_bernoullis(),
    "three categoricals": gates.three_categoricals(),
}


def flat(tree, lead=1):
    """All leaves as one axis behind the axis of draws."""
    return torch.cat([t.reshape(*t.shape[:lead], -1) for t in trees.leaves(tree)], -1)


@pytest.mark.parametrize(("gate", "case"), [(a, c) for a, _, c in CASES], ids=[f"{a}: {b}" for a, b, _ in CASES])
def test_the_mean_is_the_exact_gradient(gate, case):
    estimate, bound, s = case
    model = GATES[gate]
    exact = model.exact(bound, 1 if bound is gates.elbo else s)  # the exact ELBO does not depend on s
    laws.mean_is_exact(lambda key, reps: flat(model.draws(estimate, s, reps, key)), flat(exact, 0), gates.KEY)
