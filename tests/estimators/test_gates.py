"""Every estimator that claims to be unbiased has the exact gradient for its mean, for theta and for phi."""

from functools import partial

import pytest
import torch

from jensen import laws
from jensen.core import bounds, trees
from jensen.estimators import gradients as g
from jensen.estimators.gradients import baselines
from jensen.laws import gates

half = bounds.Renyi(0.5)
ELBO, IWAE, HALF = (gates.elbo, 2), (gates.iwae, 2), (gates.renyi_half, 2)

SCORE = {
    "score": (g.score, *ELBO),
    "score, leave one out": (partial(g.score, baseline=baselines.leave_one_out), *ELBO),
    "score, optimal": (partial(g.score, baseline=baselines.optimal), gates.elbo, 3),
    "score, vimco, elbo": (partial(g.score, baseline=baselines.vimco), *ELBO),
    "score, constant": (
        lambda log_p, q, u: g.score(log_p, q, u, baseline=baselines.RunningMean.start(u).update(u.new_full((), -3.0))),
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
    "vargrad": (g.vargrad, *ELBO),
    "score, iwae": (partial(g.score, bound=bounds.iwae), *IWAE),
    "score, iwae, vimco": (partial(g.score, bound=bounds.iwae, baseline=baselines.vimco), *IWAE),
    "score, iwae, leave one out": (partial(g.score, bound=bounds.iwae, baseline=baselines.leave_one_out), *IWAE),
    "score, renyi, vimco": (partial(g.score, bound=half, baseline=baselines.vimco), *HALF),
    "score, renyi, leave one out": (partial(g.score, bound=half, baseline=baselines.leave_one_out), *HALF),
}
PATH = {
    "pathwise": (g.pathwise, *ELBO),
    "pathwise, iwae": (partial(g.pathwise, bound=bounds.iwae), *IWAE),
    "pathwise, renyi": (partial(g.pathwise, bound=half), *HALF),
    "stl": (g.stl, *ELBO),
    "dreg": (g.dreg, *IWAE),
    "dreg, renyi": (partial(g.dreg, bound=half), *HALF),
    "dreg, any bound": (partial(g.dreg, bound=lambda log_w: bounds.Renyi(0.5)(log_w)), *HALF),
    "measure valued": (g.measure_valued, *ELBO),
}
DISCRETE = {
    "muprop": (g.muprop, *ELBO),
    "rebar": (g.rebar, *ELBO),
    "rebar, cold": (partial(g.rebar, temperature=0.2, eta=0.7), *ELBO),
    "relax": (partial(g.relax, control=lambda t: torch.tanh(t).flatten(2).sum(-1)), *ELBO),
    "exact": (g.exact, *ELBO),
    "sum and sample": (partial(g.sum_and_sample, top=5), *ELBO),
}
BERNOULLI = {"arm": (g.arm, *ELBO), "disarm": (g.disarm, *ELBO), "measure valued": (g.measure_valued, *ELBO)}
CATEGORICAL = {"arsm": (g.arsm, *ELBO)}

CASES = [
    *[("linear Gaussian", name, case) for name, case in (PATH | SCORE).items()],
    *[("mixture", name, case) for name, case in (PATH | SCORE).items()],
    *[("four Bernoullis", name, case) for name, case in (SCORE | DISCRETE | BERNOULLI).items()],
    *[("three categoricals", name, case) for name, case in (SCORE | DISCRETE | CATEGORICAL).items()],
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
