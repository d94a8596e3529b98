"""Density models: flows that are normalising, and pixels one after another."""

import torch

from jensen.core.flows import Affine, RationalQuadratic
from jensen.core.models.autoregressive import made, pixel_cnn
from jensen.core.models.transport import normalising
from jensen.core.nn import linear, masking
from tests.doors.door import KEY, also, door, only

N, D = 5, 4
FLOW, MADE = normalising.build(D, couplings=2, hidden=(3,)), made.build(D, 3, (4,))
X, LEVELS = torch.randn(N, D, generator=torch.Generator().manual_seed(0)), torch.zeros(N, D, dtype=torch.int64)
OF_FLOW, OF_MADE, LAYER = FLOW.init(KEY, X), MADE.init(KEY, LEVELS), linear.init(KEY, D, 3)
ROWS_OF_X = only(X, X[:, :1], X[0], X.long(), X.numpy(), "x", None)
ROWS_OF_LEVELS = only(
    LEVELS, LEVELS + 3, LEVELS - 1, LEVELS[:, :1], LEVELS[0], X, LEVELS > 0, LEVELS.numpy(), "x", None
)
HIDDEN = only((4,), 4, (0,), ("4",), ())

ROWS = {
    "normalising.build": door(
        normalising.build,
        data=also(D, 1),
        transform=only(RationalQuadratic(4, 2.0), Affine, "affine", None),
        couplings=also(2, 3),
        hidden=HIDDEN,
    ),
    "normalising.init": door(FLOW.init, key=KEY, x=ROWS_OF_X),
    "normalising.distribution": door(FLOW.distribution, params=only(OF_FLOW, {}, 3), n=N),
    "normalising.log_prob": door(FLOW.log_prob, params=only(OF_FLOW, {}, 3), x=ROWS_OF_X),
    "normalising.sample": door(FLOW.sample, params=only(OF_FLOW, {}, 3), key=KEY, n=N),
    "made.build": door(made.build, pixels=D, levels=also(3, 1), hidden=HIDDEN),
    "made.init": door(MADE.init, key=KEY, x=ROWS_OF_LEVELS),
    "made.logits": door(MADE.logits, params=only(OF_MADE, {}, 3), x=ROWS_OF_LEVELS),
    "made.log_prob": door(MADE.log_prob, params=only(OF_MADE, {}, 3), x=ROWS_OF_LEVELS),
    "made.sample": door(MADE.sample, params=only(OF_MADE, {}, 3), key=KEY, n=N),
    "pixel_cnn.build": door(
        pixel_cnn.build,
        image=only((2, 2), 2, (2,), (0, 2), (1, 2, 2), "22"),
        levels=also(3, 1),
        features=4,
        layers=1,
        kernel=also(3, 2),
        first=also(3, 1, 4),
    ),
    "masking.perceptron": door(masking.perceptron, inputs=D, hidden=only((4,), 4, (0,), ("4",)), each=2),
    "masking.before": door(masking.before, kernel=also(3, 2), centre=True),
    "masking.masked": door(
        masking.masked,
        params=only(LAYER, {}, 3),
        mask=only(torch.ones(3, D, dtype=torch.bool), torch.ones(2, D, dtype=torch.bool), LAYER["weight"], "x", None),
    ),
}
