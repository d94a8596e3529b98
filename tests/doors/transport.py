"""Fields, diffusions and flows along a velocity."""

import torch
from torch.nn import functional as F

from jensen.core.models.transport import (
    diffusion,
    energies,
    fields,
    flow_matching,
    langevin,
    noise_levels,
    score_matching,
)
from tests.doors.door import KEY, also, door, only

N, D = 3, 2
FIELD, LEVELS = fields.mlp(D, (4,)), noise_levels.linear(5)
DIFFUSION, FLOW = diffusion.build(FIELD, LEVELS), flow_matching.build(FIELD)
PARAMS = FIELD.init(KEY)
X = torch.zeros(N, D)
ROWS_OF_X = only(X, X[:, :1], X[0], X.long(), X.numpy(), "x", None)
ROWS_OF_ANY_X = only(X, X[0], X.long(), X.numpy(), "x", None)
STEPS = also(2, 9)


def height(x):
    return 0.5 * x.square().sum(-1)


ROWS = {
    "fields.mlp": door(fields.mlp, data=D, hidden=only((4,), 4, (0,), ("4",)), activation=F.silu, outputs=1),
    "noise_levels.linear": door(noise_levels.linear, steps=also(5, 1), first=also(0.1, 0.5), last=also(0.2, 1.0)),
    "noise_levels.cosine": door(noise_levels.cosine, steps=also(5, 1), offset=also(0.1, 1.0)),
    "diffusion.build": door(
        diffusion.build, field=only(FIELD, 3, fields.Mlp), levels=only(LEVELS, 5, noise_levels.Linear), variance="large"
    ),
    "diffusion.loss": door(DIFFUSION.loss, params=only(PARAMS, {}, 3), x=ROWS_OF_X, key=KEY),
    "diffusion.bound": door(DIFFUSION.bound, params=only(PARAMS, {}, 3), x=ROWS_OF_X, key=KEY),
    "diffusion.sample": door(DIFFUSION.sample, params=only(PARAMS, {}, 3), key=KEY, n=N),
    "diffusion.implicit": door(DIFFUSION.implicit, params=only(PARAMS, {}, 3), key=KEY, n=N, steps=STEPS, eta=0.5),
    "flow_matching.build": door(flow_matching.build, field=only(FIELD, 3, fields.Mlp)),
    "flow_matching.loss": door(FLOW.loss, params=only(PARAMS, {}, 3), x=ROWS_OF_X, key=KEY),
    "flow_matching.transported": door(
        FLOW.transported, params=only(PARAMS, {}, 3), x=ROWS_OF_X, steps=2, method="euler"
    ),
    "flow_matching.sample": door(FLOW.sample, params=only(PARAMS, {}, 3), key=KEY, n=N, steps=2, method="rk4"),
    "flow_matching.log_prob": door(FLOW.log_prob, params=only(PARAMS, {}, 3), x=ROWS_OF_X, steps=2),
    "score_matching.implicit": door(score_matching.implicit, score=torch.neg, x=ROWS_OF_ANY_X),
    "score_matching.sliced": door(score_matching.sliced, score=torch.neg, x=ROWS_OF_ANY_X, key=KEY, probes=2),
    "score_matching.denoising": door(score_matching.denoising, score=torch.neg, x=ROWS_OF_ANY_X, key=KEY, scale=0.5),
    "energies.score": door(energies.score, energy=height),
    "energies.mlp": door(energies.mlp, data=D, hidden=only((4,), 4, (0,), ("4",)), activation=F.silu),
    "langevin.unadjusted": door(
        langevin.unadjusted, score=torch.neg, x=ROWS_OF_ANY_X, key=KEY, steps=2, step=only(0.1, 0.0, "1", None)
    ),
    "langevin.adjusted": door(
        langevin.adjusted, energy=height, x=ROWS_OF_ANY_X, key=KEY, steps=2, step=only(0.1, 0.0, "1", None)
    ),
    "flow_matching.straightness": door(FLOW.straightness, params=only(PARAMS, {}, 3), x=ROWS_OF_X, steps=2),
}
