"""Models of counts, of labels behind a bottleneck, and encoders that learn to learn."""

import torch

from jensen.core.models.latent import likelihoods, poisson
from tests.doors.door import KEY, also, door, only

S, N, D = 4, 5, 3
X = torch.linspace(-1, 1, 30).reshape(N, 6)
Z = torch.ones(S, N, D)
COUNTS = only(Z, Z.double(), Z[..., :2], Z[0, 0], Z.numpy(), Z.long(), "x", None)
POISSON = poisson.build(6, D)
RATES = POISSON.init(KEY, X)
GAUSSIAN = likelihoods.GAUSSIAN

ROWS = {
    "poisson.build": door(
        poisson.build, data=6, latent=D, encoder=only((4,), 4, (0,), ("4",)), decoder=only((), 4, (0,), ("4",)),
        activation=torch.tanh, likelihood=only(GAUSSIAN, "gaussian", type(GAUSSIAN), None),
    ),
    "poisson.PoissonVAE.init": door(POISSON.init, key=KEY, x=also(X, X.mean(0), X[:1], X[:, :4])),
    "poisson.PoissonVAE.posterior": door(
        POISSON.posterior, params=only(RATES, {}, 3, X), x=also(X, X.double(), X[:, :4])
    ),
    "poisson.PoissonVAE.prior": door(POISSON.prior, params=only(RATES, {}, 3, X), n=N),
    "poisson.PoissonVAE.likelihood": door(POISSON.likelihood, params=only(RATES, {}, 3), z=COUNTS),
    "poisson.PoissonVAE.log_prior": door(POISSON.log_prior, params=only(RATES, {}, 3), z=COUNTS),
    "poisson.PoissonVAE.log_joint": door(
        POISSON.log_joint, params=only(RATES, {}, 3), x=also(X, X[:4]), z=only(Z, *COUNTS.wrong[1:])
    ),
    "poisson.PoissonVAE.reconstruction": door(
        POISSON.reconstruction, params=only(RATES, {}, 3), x=also(X, X.double(), X[:, :4])
    ),
    "poisson.PoissonVAE.dictionary": door(POISSON.dictionary, params=only(RATES, {}, 3)),
    "poisson.PoissonVAE.independent": door(POISSON.independent, x=X),
}  # fmt: skip
