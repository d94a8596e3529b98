"""Bayesian models with named parameters."""

import torch

from jensen.core import keys
from jensen.core.models import bayes
from jensen.laws import bayesian

KEY = keys.key(0)


def posteriors():
    for known in bayesian.POSTERIORS.values():
        z = known.starts(KEY, 3)[:, None]
        assert known(z).shape == (3, 1)
        assert known.flat(z).shape == (3, 1, len(known.flat_names))
        assert known.unconstrained(known.constrained(z)).shape == z.shape
    bayes.check(known, KEY), known.prior().log_prob(known.prior().noise(KEY, 2)), known.minibatch(torch.arange(2))(z)


def regressions():
    x = keys.normal(KEY, (1, 5, 2))[0]
    bayes.exact_regression({"x": x, "y": x[:, 0]})
