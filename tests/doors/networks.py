"""Layers, networks of layers, and classifiers."""

import torch
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.models import classifier
from jensen.core.nn import (
    batch_norm,
    conv,
    convnet,
    dropout,
    group_norm,
    initial,
    layer_norm,
    linear,
    mlp,
    pooling,
    residual,
    rms_norm,
    windows,
)
from tests.doors.door import KEY, Free, also, door, only
from tests.doors.foundations import DTYPE

S, N, D = 4, 5, 3
X = (keys.uniform(KEY, (N, 64)) < 0.5).float()
Z = torch.zeros(S, N, D)
DENSE = linear.init(KEY, 8, 2)
LAYERS = mlp.init(KEY, (8, 4, 2))
CONV, BACK = conv.init(KEY, 2, 3, 4), conv.init_transposed(KEY, 2, 3, 4)
BLOCK, CONV_BLOCK = residual.init(KEY, 8, 4), residual.init_conv(KEY, 2, 3)
(SCALED, RUNNING), GROUPED = batch_norm.init(2, 2), group_norm.init(2, 2)
NORM, RMS = layer_norm.init(8), rms_norm.init(8)
STACK = only((windows.Window(3), windows.Window(2, 2)), 3, windows.Window(3), (3, 2))
EXTENT = only(2, -1, 2.5, True, "3", (2,), (2, 0), (2, 2, 2), KEY)
PADDING = only(1, -1, 0.5, "1", (1,), (1, -1))
POOL = only(2, -1, 2.5, True, "3", (2, 0), (2, 2, 2), KEY)
IMAGE = (1, 8, 8)
ENCODER, DECODER = convnet.init_encoder(KEY, IMAGE, (2,), 6), convnet.init_decoder(KEY, 3, (2,), IMAGE)
CLASSIFIER, CLASSES = classifier.conv(IMAGE, (2,), (6,), 3), torch.zeros(N, dtype=torch.int64)
CLASSIFIER_PARAMS = CLASSIFIER.init(KEY)

ROWS = {
    "initial.xavier": door(initial.xavier, key=KEY, shape=only((2, 3), (2,), 3), dtype=DTYPE),
    "initial.he": door(initial.he, key=KEY, shape=only((2, 3), (2,), 3), dtype=DTYPE),
    "initial.Normal": door(initial.Normal(0.1), key=KEY, shape=only((2, 3), (2,), 3), dtype=DTYPE),
    "initial.initialiser": door(initial.initialiser, activation=F.relu),
    "initial.fans": door(initial.fans, shape=only((2, 3), (2,), 3)),
    "linear.init": door(linear.init, key=KEY, inputs=8, outputs=2, weight=initial.xavier, dtype=DTYPE),
    "linear.apply": door(linear.apply, params=only(DENSE, {}, 3, {"wieght": 3}), x=Free(X[:, :8])),
    "linear.apply of a datum of another size": door(
        linear.apply, params=only(DENSE), x=only(X[:, :8], X, X[:, :8].double()),
    ),
    "mlp.init": door(
        mlp.init, key=KEY, sizes=only((8, 4, 2), (8,), (8, 0), (8, 2.5), 3), weight=initial.xavier, dtype=DTYPE
    ),
    "mlp.apply": door(mlp.apply, params=only(LAYERS, {}, 3, {"one": 3}), x=Free(X[:, :8]), activation=torch.tanh),
    "mlp.features": door(mlp.features, params=only(LAYERS, {}, 3), x=Free(X[:, :8]), activation=torch.tanh),
    "mlp.last": door(mlp.last, params=only(LAYERS, {}, 3)),
    "windows.output_size": door(windows.output_size, size=also(9, 0, 2), layers=STACK),
    "windows.input_size": door(windows.input_size, size=4, layers=STACK),
    "windows.receptive_field": door(windows.receptive_field, layers=STACK),
    "windows.axes_of": door(windows.axes_of, kernel=only((3, 5), (), (3, 3, 3))),
    "windows.along": door(windows.along, axes=2, kernel=EXTENT, stride=EXTENT, padding=PADDING, dilation=EXTENT),
    "conv.init": door(
        conv.init, key=KEY, inputs=2, outputs=4, kernel=also(4, (3, 3, 3), (0, 1)), groups=also(2, 3),
        weight=initial.he, dtype=DTYPE,
    ),
    "conv.apply": door(
        conv.apply, params=only(CONV, {}, 3), x=Free(torch.zeros(N, 2, 8, 8)), stride=EXTENT, padding=PADDING,
        dilation=EXTENT, groups=only(1, 0, 2, "1"),
    ),
    "conv.init_transposed": door(
        conv.init_transposed, key=KEY, inputs=2, outputs=4, kernel=also(4, (3, 3, 3), (0, 1)), groups=also(2, 3),
        weight=initial.he, dtype=DTYPE,
    ),
    "conv.apply_transposed": door(
        conv.apply_transposed, params=only(BACK, {}, 3), x=Free(torch.zeros(N, 2, 4, 4)), stride=EXTENT,
        padding=only(1, -1, 0.5, 9), dilation=EXTENT, groups=only(1, 0, 3, "1"),
    ),
    "pooling.max_pool": door(
        pooling.max_pool, x=Free(torch.zeros(N, 8, 8)), kernel=POOL, stride=EXTENT, padding=only(1, -1, 2, 0.5),
    ),
    "pooling.mean_pool": door(
        pooling.mean_pool, x=Free(torch.zeros(N, 8, 8)), kernel=POOL, stride=EXTENT, padding=only(1, -1, 2, 0.5),
    ),
    "batch_norm.init": door(batch_norm.init, channels=2, sides=also(2, 3), dtype=DTYPE),
    "batch_norm.apply": door(
        batch_norm.apply, params=only(SCALED, {}, 3), state=only(RUNNING, SCALED, None),
        x=Free(torch.zeros(N, 2, 8, 8)), training=True, momentum=also(0.1, 1.5), eps=1e-5,
    ),
    "batch_norm.apply of a single value": door(
        batch_norm.apply, params=only(SCALED), state=only(RUNNING),
        x=only(torch.zeros(N, 2, 1, 1), torch.zeros(1, 2, 1, 1), torch.zeros(N, 3, 1, 1), torch.zeros(N, 2).double()),
        training=True,
    ),
    "layer_norm.init": door(layer_norm.init, features=8, dtype=DTYPE),
    "layer_norm.apply": door(layer_norm.apply, params=only(NORM, {}, 3), x=Free(X[:, :8]), eps=1e-5),
    "rms_norm.init": door(rms_norm.init, features=8, dtype=DTYPE),
    "rms_norm.apply": door(rms_norm.apply, params=only(RMS, {}, 3, NORM), x=Free(X[:, :8]), eps=1e-5),
    "group_norm.init": door(group_norm.init, channels=2, sides=also(2, 3), dtype=DTYPE),
    "group_norm.apply": door(
        group_norm.apply, params=only(GROUPED, {}, 3), x=Free(torch.zeros(N, 2, 8, 8)), groups=also(2, 3), eps=1e-5,
    ),
    "dropout.apply": door(
        dropout.apply, key=only(KEY, 7, torch.zeros(3), keys.split(KEY)), x=Free(X), rate=also(0.5, 1.0, -0.1),
    ),
    "residual.init": door(residual.init, key=KEY, features=8, hidden=4, weight=initial.he, dtype=DTYPE),
    "residual.apply": door(residual.apply, params=only(BLOCK, {}, 3), x=Free(X[:, :8]), activation=F.relu),
    "residual.init_conv": door(
        residual.init_conv, key=KEY, inputs=2, outputs=3, kernel=only((3, 5), 2, (3, 3, 3), "3", 0),
        weight=initial.he, dtype=DTYPE,
    ),
    "residual.apply_conv": door(
        residual.apply_conv, params=only(CONV_BLOCK, {}, 3), x=Free(torch.zeros(N, 2, 8, 8)), groups=also(1, 2),
        activation=F.relu,
    ),
    "convnet.init_encoder": door(
        convnet.init_encoder, key=KEY, image=only(IMAGE, (8, 8), (1, 8, 7), 64), channels=only((2,), (), 2, (0,)),
        outputs=6,
        weight=initial.he, dtype=DTYPE,
    ),
    "convnet.encode": door(
        convnet.encode, params=only(ENCODER, {}, 3), x=Free(X), image=only(IMAGE, (8, 8), 64), activation=F.relu
    ),
    "convnet.init_decoder": door(
        convnet.init_decoder, key=KEY, inputs=3, channels=only((2,), (), 2, (0,)),
        image=only(IMAGE, (8, 8), (1, 8, 7), 64),
        weight=initial.he, dtype=DTYPE,
    ),
    "convnet.decode": door(
        convnet.decode, params=only(DECODER, {}, 3), z=Free(Z), image=only(IMAGE, (8, 8), 64), activation=F.relu
    ),
    "convnet.smallest": door(convnet.smallest, image=only(IMAGE, (8, 8), (1, 8, 7), 64), channels=only((2,), (), 2)),
    "classifier.mlp": door(
        classifier.mlp, data=64, hidden=only((6,), 6, (0,), ("6",)), classes=also(3, 1), activation=F.relu,
    ),
    "classifier.conv": door(
        classifier.conv, image=only(IMAGE, (8, 8), 64), channels=only((2,), 2, (0,), (2, 2, 2, 2)),
        hidden=only((6,), 6, (0,)), classes=also(3, 1), activation=F.relu,
    ),
    "classifier.Classifier.init": door(CLASSIFIER.init, key=KEY, dtype=DTYPE),
    "classifier.Classifier.logits": door(
        CLASSIFIER.logits, params=only(CLASSIFIER_PARAMS, {}, 3), x=also(X, X[:, :60]),
    ),
    "classifier.Classifier.features": door(
        CLASSIFIER.features, params=only(CLASSIFIER_PARAMS, {}, 3), x=also(X, X[:, :60]),
    ),
    "classifier.Classifier.log_prob": door(
        CLASSIFIER.log_prob, params=only(CLASSIFIER_PARAMS, {}, 3), x=also(X, X[:, :60]),
        labels=also(CLASSES, CLASSES + 3, CLASSES - 1, CLASSES[1:]),
    ),
    "classifier.Classifier.loss": door(
        CLASSIFIER.loss, params=only(CLASSIFIER_PARAMS, {}, 3), x=also(X, X[:, :60]),
        labels=also(CLASSES, CLASSES + 3, CLASSES - 1, CLASSES[1:]),
    ),
    "classifier.Classifier.correct": door(
        CLASSIFIER.correct, params=only(CLASSIFIER_PARAMS, {}, 3), x=also(X, X[:, :60]),
        labels=also(CLASSES, CLASSES + 3, CLASSES - 1, CLASSES[1:]),
    ),
}  # fmt: skip
