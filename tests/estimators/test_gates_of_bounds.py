"""Gradients of the bounds between the ELBO and IWAE: exact ones by quadrature over both samples, formulas by hand."""

import math
from functools import partial

import pytest
import torch

from jensen import laws
from jensen.core import bounds, trees
from jensen.core.divergences import generators
from jensen.estimators import gradients as g
from jensen.laws import gates
from tests.estimators.test_gates import flat

GATE, KEY = gates.linear_gaussian(), gates.KEY


def mean_weight(log_w):
    return torch.logsumexp(log_w, 0) - math.log(len(log_w))


def tvo(log_w):
    """Left, at beta = 0 and 1/2."""
    half = torch.softmax(log_w / 2, 0)
    return (log_w.mean(0) + (half * log_w).sum(0)) / 2


def hellinger(log_w):
    """E (sqrt u - 1)^2 / 2 with a mean u of 1."""
    return mean_weight(log_w) - 1 + torch.exp(log_w / 2 - mean_weight(log_w) / 2).mean(0)


CASES = {
    "Tvo": (bounds.Tvo((0.0, 0.5, 1.0)), tvo),
    "Ciwae": (bounds.Ciwae(0.3), lambda log_w: 0.3 * log_w.mean(0) + 0.7 * mean_weight(log_w)),
    "Csiszar": (bounds.Csiszar(generators.hellinger), hellinger),
    "Cubo": (bounds.Cubo(1.5), lambda log_w: (torch.logsumexp(1.5 * log_w, 0) - math.log(len(log_w))) / 1.5),
}


@pytest.mark.parametrize("estimator", [g.pathwise, g.dreg], ids=["pathwise", "dreg"])
@pytest.mark.parametrize("name", CASES)
def test_gradients_have_the_exact_mean(name, estimator):
    bound, formula = CASES[name]
    estimate = partial(estimator, bound=bound)
    laws.mean_is_exact(lambda key, reps: flat(GATE.draws(estimate, 2, reps, key)), flat(GATE.exact(formula, 2), 0), KEY)


def test_piwae_gives_the_model_iwae_and_the_posterior_the_groups():
    """With m = 2 groups of k = 1, the posterior follows the ELBO and the model IWAE of both samples."""
    theta, phi = (GATE.exact(f, 2)[part] for f, part in ((mean_weight, "theta"), (lambda w: w.mean(0), "phi")))

    def gradient(params, key):
        def value(params):
            q = GATE.posterior(params["phi"])
            z = q.sample(q.noise(key, 2))
            fixed = z.detach()
            log_w_theta = GATE.log_joint(params["theta"], fixed) - trees.stop(q).log_prob(fixed)
            log_w_phi = GATE.log_joint(trees.stop(params["theta"]), z) - q.log_prob(z)
            return bounds.piwae(log_w_theta, log_w_phi, 2, 1).sum()

        return torch.func.grad(value)(params)

    draws = torch.func.vmap(gradient, in_dims=(None, 0))(GATE.params, gates.keys.split(gates.KEY, 20_000))
    for part, exact in (("theta", theta), ("phi", phi)):
        for name in exact:
            laws.mean_is(draws[part][name], exact[name])
    other = GATE.exact(mean_weight, 2)["phi"]["loc"]
    with pytest.raises(AssertionError, match="standard errors off"):
        laws.mean_is(draws["phi"]["loc"], other, errors=10)
