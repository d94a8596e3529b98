"""Distributions, those of the laws too."""

import torch

from jensen.core import keys
from jensen.core.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    ContinuousBernoulli,
    DiagNormal,
    Dirichlet,
    FullNormal,
    Gamma,
)
from jensen.laws import families

KEY = keys.key(0)
ONES, ZEROS = torch.ones(2, 3), torch.zeros(2, 3)


def with_closed_forms():
    normal = DiagNormal(ZEROS, ZEROS)
    for q in (
        Bernoulli(ZEROS), ContinuousBernoulli(ZEROS), Categorical(torch.zeros(2, 3, 4)), normal, Gamma(ONES, ONES),
        Beta(ONES, ONES), Dirichlet(ONES), FullNormal.from_diagonal(normal),
    ):  # fmt: skip
        z = q.sample(q.noise(keys.split(KEY)[0], 6))
        q.log_prob(z), q.entropy(), q.kl(q), q.mean()


def with_their_capabilities():
    for q in families.FAMILIES.values():
        z = q.sample(q.noise(keys.split(KEY)[0], 6))
        q.log_prob(z)
        for name in {"entropy", "mean", "bijection", "log_masses", "support", "normal", "full"} & {*dir(q)}:
            getattr(q, name)()
        for name in {"kl", "kl_per_dimension"} & {*dir(q)}:
            getattr(q, name)(q)
        if hasattr(q, "cdf"):
            q.quantile(q.cdf(z))
        for name in {"characteristic", "log_mgf"} & {*dir(q)}:
            getattr(q, name)(z)
        if hasattr(q, "tempered"):
            q.tempered(0.9), q.tempered(torch.ones(len(q[0])))
        if hasattr(q, "strata"):
            q.strata(q.noise(KEY, 6))


def full_normals():
    full = FullNormal.from_diagonal(DiagNormal(torch.zeros(5, 3), torch.zeros(5, 3)))
    full.marginal([0, 2]), full.condition(1, torch.zeros(5, 1)).condition_number()


def categoricals():
    chosen = torch.zeros(4, 5, 2, dtype=torch.uint8)
    Categorical(torch.zeros(5, 2, 3)).log_prob(chosen)
