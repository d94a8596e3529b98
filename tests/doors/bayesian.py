"""Bayesian models, their supports, and posteriors."""

import torch

from jensen.core.models import bayes
from jensen.core.models.bayes import densities
from jensen.estimators.inference import bayes_by_backprop
from tests.doors.door import KEY, also, door, only

N, P = 5, 2
X, Y = torch.arange(10.0).reshape(N, P).sin(), torch.arange(5.0).cos()
DATA = {"x": X, "y": Y}
WRONG_DATA = (
    Y,
    {"x": X},
    {"x": X, "y": Y[1:]},
    {"x": X, "y": Y.long()},
    {"x": X, "y": Y.double()},
    {"x": X, "y": Y / 0},
    {"x": X[:, :1], "y": Y},
    {"x": X, "y": Y.numpy()},
)
GIVEN = only(DATA, *WRONG_DATA)
MODEL = bayes.linear_regression(P)
POSTERIOR = bayes.condition(MODEL, DATA)
THETA = {"weights": torch.ones(P)}
Z = torch.zeros(3, 1, P)
OF_Z = only(Z, Z[..., :1], Z[0], Z.long(), Z.numpy(), "z", None)
OF_VECTORS = only(Z, Z[..., :1], Z.long(), Z.numpy(), "z", None)
OF_THETA = only(THETA, {}, 3, {"weights": torch.ones(3)}, {"weights": torch.ones(P).long()}, {"weights": Y[:2] / 0})
NETWORK = bayes.condition(bayes.bayesian_network(P, 2), DATA)
OF_NETWORK, STATE = only(NETWORK, POSTERIOR, MODEL, None), bayes_by_backprop.init(NETWORK, KEY)
SCALE, COUNT = also(2.0, 0.0, -1.0), also(3, 0)
SIZES = only(3, -1, 2.5, "3", True, None)
AXES = only("n", 3, None)


def log_prior(theta):
    return densities.normal(theta["a"])


ROWS = {
    "bayes.real": door(bayes.real, shape=SIZES),
    "bayes.positive": door(bayes.positive, shape=SIZES),
    "bayes.above": door(bayes.above, low=1.0, shape=SIZES),
    "bayes.unit_interval": door(bayes.unit_interval, shape=SIZES),
    "bayes.between": door(bayes.between, low=1.0, high=2.0, shape=SIZES),
    "bayes.simplex": door(bayes.simplex, shape=SIZES),
    "bayes.ordered": door(bayes.ordered, shape=SIZES),
    "bayes.correlation_cholesky": door(bayes.correlation_cholesky, k=3),
    "bayes.positive_definite": door(bayes.positive_definite, k=3),
    "bayes.Column": door(
        bayes.Column, kind=only("index", "integer", 3, None), axes=AXES, size=SIZES, rows=only(2, -1, 2.5, "2")
    ),
    "bayes.Model": door(
        bayes.Model,
        support=only({"a": bayes.real()}, {}, {"a": "real"}, {"a": bayes.simplex(1)}, {"a": bayes.real(0)}, None),
        log_prior=log_prior,
        log_likelihood=only(None, "normal", 3),
    ),
    "bayes.condition": door(
        bayes.condition, model=only(MODEL, None, bayes.Model, "linear"), data=GIVEN, num_data=also(7, 4)
    ),
    "bayes.check": door(bayes.check, posterior=only(POSTERIOR, MODEL, None, "linear"), key=KEY),
    "bayes.Posterior": door(POSTERIOR, z=OF_Z),
    "bayes.Posterior.terms": door(POSTERIOR.terms, z=OF_Z),
    "bayes.Posterior.log_prior": door(POSTERIOR.log_prior, z=OF_Z),
    "bayes.Posterior.log_likelihood": door(POSTERIOR.log_likelihood, z=OF_Z),
    "bayes.Posterior.minibatch": door(
        POSTERIOR.minibatch,
        index=also(torch.tensor([0, 3]), torch.tensor([5]), torch.tensor([-1]), torch.tensor([], dtype=torch.long)),
    ),
    "bayes.Posterior.simulated": door(POSTERIOR.simulated, key=KEY, theta=OF_THETA),
    "bayes.Posterior.starts": door(POSTERIOR.starts, key=KEY, n=COUNT),
    "bayes.Posterior.constrained": door(POSTERIOR.constrained, z=OF_VECTORS),
    "bayes.Posterior.unconstrained": door(POSTERIOR.unconstrained, theta=OF_THETA),
    "bayes.Posterior.reported": door(POSTERIOR.reported, z=OF_VECTORS),
    "bayes.Posterior.flat": door(POSTERIOR.flat, z=OF_VECTORS),
    "bayes.Prior": door(POSTERIOR.prior().noise, key=KEY, s=COUNT),
    "bayes.exact_regression": door(
        bayes.exact_regression,
        data=only(DATA, Y, {"x": X}, {"x": X, "y": Y[1:]}, {"x": X[0], "y": Y}),
        sigma=SCALE,
        scale=SCALE,
    ),
    "bayes.linear_regression": door(bayes.linear_regression, p=COUNT, sigma=SCALE, scale=SCALE),
    "bayes.noisy_regression": door(bayes.noisy_regression, p=COUNT, scale=SCALE, noise=SCALE),
    "bayes.robust_regression": door(bayes.robust_regression, p=COUNT, scale=SCALE, noise=SCALE),
    "bayes.logistic_regression": door(bayes.logistic_regression, p=COUNT, scale=SCALE),
    "bayes.horseshoe_regression": door(bayes.horseshoe_regression, p=COUNT, scale=SCALE),
    "bayes.hierarchical_regression": door(bayes.hierarchical_regression, groups=COUNT, centred=True),
    "bayes.eight_schools": door(bayes.eight_schools, schools=COUNT, centred=True),
    "bayes.gaussian_mixture": door(
        bayes.gaussian_mixture, k=also(3, 1), d=also(2, 0), spread=SCALE, concentration=SCALE
    ),
    "bayes.autoregression": door(bayes.autoregression, lags=COUNT),
    "bayes.stochastic_volatility": door(bayes.stochastic_volatility, length=COUNT),
    "bayes.gaussian_process": door(bayes.gaussian_process, p=COUNT),
    "bayes.item_response": door(bayes.item_response, persons=COUNT, items=COUNT),
    "bayes_by_backprop.init": door(bayes_by_backprop.init, posterior=OF_NETWORK, key=KEY),
    "bayes_by_backprop.elbo": door(
        bayes_by_backprop.elbo, q=only(STATE.q, STATE, None, 3), posterior=OF_NETWORK, key=KEY, s=COUNT
    ),
    "bayes_by_backprop.update": door(
        bayes_by_backprop.update,
        state=only(STATE, STATE.q, None),
        posterior=OF_NETWORK,
        key=KEY,
        step_size=0.1,
        s=COUNT,
    ),
    "bayes_by_backprop.fit": door(
        bayes_by_backprop.fit, key=KEY, posterior=OF_NETWORK, steps=also(2, 0), step_size=0.1, s=COUNT
    ),
    "bayes.bayesian_network": door(bayes.bayesian_network, p=COUNT, hidden=COUNT),
}
