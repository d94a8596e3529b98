"""Laplace's approximations: of a log density, and of a trained network."""

import torch

from jensen.core import keys
from jensen.core.nn import linear
from jensen.estimators.inference import curvature, laplace, network_laplace
from tests.doors.chains import LOG_P
from tests.doors.door import KEY, also, door, only

PARAMETERS, LIKELIHOOD = linear.init(KEY, 3, 2), curvature.Gaussian()
X, Y = keys.normal(KEY, (4, 3)), keys.normal(KEY, (4, 2))
NETWORK = {
    "network": linear.apply,
    "parameters": only(PARAMETERS, {}, X, None, {"weight": 3}, {"weight": X.long()}),
}
OF = {"likelihood": only(LIKELIHOOD, curvature.Gaussian, "gaussian", None), "curvature": "full"}
DATA = also(X, X[:0], X[:, :2])
RESPONSES = also(Y, Y[:3], Y[:, :1])
GROUPS = only(("weight", "bias"), "weight", ("other",), ("weight", "weight"), 3, None)
ONLY = only(("weight",), "weight", ("other",), 3, None)
PRECISION = also(1.0, 0.0, -1.0)
EMPTY = network_laplace.init(linear.apply, PARAMETERS, X, LIKELIHOOD, "full")
STATE = network_laplace.update(EMPTY, X, Y)[0]

ROWS = {
    "laplace.fit": door(
        laplace.fit, key=KEY, log_p=LOG_P.value, start=also(torch.ones(2, 2), torch.ones(0, 2)), covariance="diagonal",
        samples=also(9, 1),
    ),
    "curvature.Gaussian": door(curvature.Gaussian, sigma=also(0.1, 0.0, -1.0)),
    "network_laplace.init": door(network_laplace.init, **NETWORK, x=DATA, **OF, only=ONLY),
    "network_laplace.update": door(
        network_laplace.update, state=only(EMPTY, LIKELIHOOD, None), x=DATA, y=RESPONSES
    ),
    "network_laplace.finish": door(
        network_laplace.finish, state=only(STATE, EMPTY, X, None), prior_precision=PRECISION, groups=GROUPS,
        noise=True, steps=also(3, -1), tolerance=also(0.1, -0.1),
    ),
    "network_laplace.fit": door(
        network_laplace.fit, **NETWORK, x=DATA, y=RESPONSES, **OF, prior_precision=PRECISION, only=ONLY,
        groups=only((), "weight", 3), noise=True,
    ),
}  # fmt: skip
