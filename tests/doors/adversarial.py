"""Generators, critics, what keeps these smooth, and what they say of a distance."""

import torch
from torch.nn import functional as F

from jensen.core.models.adversarial import duality, gan
from jensen.core.models.adversarial.smoothness import R1R2, Clipped, GradientPenalty, Spectral
from tests.doors.door import KEY, also, door, only

N, D = 3, 2
MODEL = gan.mlp(D, 2, (4,), smooth=Spectral(), bounded=True)
PARAMS, STATE = MODEL.init(KEY)
OURS = only(PARAMS, {}, {"generator": PARAMS["generator"]}, 3)
X = torch.zeros(N, D)
ROWS_OF_X = only(X, X[:, :1], X[0], X.long(), X.numpy(), X + 2, "x", None)


def critic(x):
    return x.sum(-1)


ROWS = {
    "gan.mlp": door(
        gan.mlp,
        data=D,
        latent=2,
        hidden=only((4,), 4, (0,), ("4",)),
        game="relativistic",
        smooth=only(R1R2(), R1R2, "r1-r2", 1.0, None),
        activation=F.relu,
        critic=only((4,), 4, (0,), ("4",)),
        critic_activation=only(F.silu, "silu", 3),
        bounded=True,
    ),
    "gan.sample": door(MODEL.sample, params=OURS, key=KEY, n=N),
    "gan.value": door(MODEL.value, params=OURS, state=only(STATE), x=ROWS_OF_X),
    "gan.critic_loss": door(MODEL.critic_loss, params=OURS, state=only(STATE), x=ROWS_OF_X, key=KEY),
    "gan.generator_loss": door(MODEL.generator_loss, params=OURS, state=only(STATE), x=ROWS_OF_X, key=KEY),
    "smoothness.GradientPenalty": door(GradientPenalty, weight=also(10.0, 0.0, -1.0)),
    "smoothness.R1R2": door(R1R2, weight=also(1.0, 0.0, -1.0)),
    "smoothness.Clipped": door(Clipped, limit=also(0.01, 0.0, -1.0)),
    "duality.difference": door(duality.difference, value=critic, x=X, y=also(X, X[:, :1])),
    "duality.steepest": door(duality.steepest, value=critic, x=X),
    "duality.lower_bound": door(duality.lower_bound, value=critic, x=X, y=also(X, X[:, :1])),
}
