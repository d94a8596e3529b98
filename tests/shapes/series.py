"""Latent-variable models of series."""

from functools import partial

import torch

from jensen.core import keys
from jensen.core.models.latent import gp, longitudinal, ode
from jensen.core.models.latent.series import AtTimes, Series
from jensen.estimators.evidence import importance
from jensen.estimators.gradients import pathwise

KEY = keys.key(0)
X = Series(keys.uniform(KEY, (1, 5, 3))[0], keys.normal(KEY, (1, 5, 3, 2))[0], torch.ones(5, 3, dtype=torch.bool))


def latent_series():
    for model in (ode.build(2, 2, 1.0, 2), longitudinal.build(2, 2)):
        params = model.init(KEY, X)
        q, log_p = model.posterior(params, X), partial(model.log_joint, params, X)
        importance(log_p, q, KEY, 10), pathwise(log_p, q, q.noise(KEY, 4)), model.infer(params, X, KEY, 4)
        at_times = AtTimes(model, (0.1, 0.5, 0.9))
        at_times.log_joint(params, X.values.flatten(1), q.sample(q.noise(KEY, 4))), at_times.prior(params, 5)


def gaussian_processes():
    model = gp.build(2, 2, 1.0, 4)
    model.infer(model.init(KEY, X), X, KEY, 4)
