import math

import numpy as np
import pytest
import torch
from torch.func import grad, vmap
from torch.nn import functional as F

from jensen.core import keys, trees
from jensen.core.nn import (
    batch_norm,
    conv,
    convnet,
    dropout,
    initial,
    linear,
    mlp,
    pooling,
    residual,
    rms_norm,
)

KEY = keys.key(0)


def test_mlp_is_numpys():
    params = mlp.init(KEY, (4, 5, 3), dtype=torch.float64)
    x = keys.normal(KEY, (2, 6, 4), torch.float64)
    w, b = ([params[i][name].numpy() for i in "01"] for name in ("weight", "bias"))
    expected = np.tanh(x.numpy() @ w[0].T + b[0]) @ w[1].T + b[1]
    np.testing.assert_allclose(mlp.apply(params, x), expected, rtol=1e-12)


@pytest.mark.parametrize("activation", [F.relu, F.sigmoid, torch.tanh, F.leaky_relu, F.gelu])
def test_activations_change_the_network(activation):
    params, x = mlp.init(KEY, (4, 5, 3)), keys.normal(KEY, (6, 4))
    hidden = activation(linear.apply(params["0"], x))
    torch.testing.assert_close(mlp.apply(params, x, activation), linear.apply(params["1"], hidden))


def test_xavier_and_he_have_their_variances():
    for draw, variance in ((initial.xavier, 2 / (300 + 200)), (initial.he, 2 / 300)):
        weight = draw(KEY, (200, 300))
        assert abs(weight.var().item() / variance - 1) < 0.02
        assert abs(weight.mean().item()) < 4 * math.sqrt(variance / weight.numel())
    assert initial.xavier(KEY, (200, 300)).abs().max() <= math.sqrt(6 / 500)
    assert initial.fans((8, 3, 5, 5)) == (75, 200)
    torch.testing.assert_close(initial.Normal(0.03)(KEY, (200, 300)), initial.he(KEY, (200, 300)) * 0.03 * 150**0.5)


def test_layers_of_one_network_differ():
    params = mlp.init(KEY, (4, 4, 4))
    assert not torch.equal(params["0"]["weight"], params["1"]["weight"])


def test_conv_is_a_sum_over_windows():
    params, x = conv.init(KEY, 2, 3, 3, dtype=torch.float64), keys.normal(KEY, (2, 5, 2, 6, 6), torch.float64)
    out = conv.apply(params, x, stride=2, padding=1)
    assert out.shape == (2, 5, 3, 3, 3)
    padded = F.pad(x, (1, 1, 1, 1))[1, 4, :, 2:5, 4:7]
    expected = (params["weight"][2] * padded).sum() + params["bias"][2]
    torch.testing.assert_close(out[1, 4, 2, 1, 2], expected)


def test_the_transposed_convolution_is_the_transpose():
    """<conv x, y> = <x, conv^T y> for the same weight and no bias."""
    params = conv.init(KEY, 2, 3, 4, dtype=torch.float64)
    x, y = keys.normal(KEY, (1, 2, 8, 8), torch.float64), keys.normal(KEY, (1, 3, 4, 4), torch.float64)
    back = conv.apply_transposed({**params, "bias": torch.zeros(2).double()}, y, stride=2, padding=1)
    forth = conv.apply(params, x, stride=2, padding=1)
    torch.testing.assert_close((forth * y).sum(), (x * back).sum())


@pytest.mark.parametrize("image", [(1, 8, 8), (1, 28, 28), (3, 8, 16)])
def test_convnets_mirror_each_other(image):
    size = math.prod(image)
    encoder, decoder = convnet.init_encoder(KEY, image, (4, 6), 10), convnet.init_decoder(KEY, 5, (6, 4), image)
    x, z = keys.normal(KEY, (3, size)), keys.normal(KEY, (2, 3, 5))
    assert convnet.encode(encoder, x, image).shape == (3, 10)
    assert convnet.decode(decoder, z, image).shape == (2, 3, size)
    alone = convnet.decode(decoder, z[1:, 2:], image)
    torch.testing.assert_close(convnet.decode(decoder, z, image)[1:, 2:], alone)
    each = vmap(grad(lambda p, z: convnet.decode(p, z, image).square().sum()), (None, 0))(decoder, z)
    assert each["bias"].shape == (2, size)


def test_a_network_of_every_layer_compiles_and_maps():
    """Differentiated, mapped over batches, and in one graph; the state too."""

    def loss(params, state, x, key):
        h = conv.apply(params["conv"], x, stride=2, padding=1)
        h, state = batch_norm.apply(params["batch"], state, h, training=True)
        h = pooling.mean_pool(residual.apply_conv(params["block"], pooling.max_pool(h, 2, 1)), (3, 2), padding=1)
        h = dropout.apply(key, rms_norm.apply(params["rms"], h.flatten(-3)), 0.2)
        return residual.apply(params["vectors"], h).square().sum(), state

    batch, state = batch_norm.init(3, 2)
    params = {
        "conv": conv.init(KEY, 2, 3, 3), "batch": batch, "block": residual.init_conv(KEY, 3, 4),
        "rms": rms_norm.init(16), "vectors": residual.init(KEY, 16, 5),
    }  # fmt: skip
    x, each, slopes = keys.normal(KEY, (3, 2, 2, 9, 8)), keys.split(KEY, 3), grad(loss, has_aux=True)
    found = vmap(slopes, (None, None, 0, 0))(params, state, x, each)
    compiled = torch.compile(slopes, fullgraph=True, backend="aot_eager")
    for i, apply in enumerate((slopes, slopes, compiled)):
        alone = apply(params, state, x[i], each[i])
        torch.testing.assert_close(trees.map(lambda t: t[i], found), alone, atol=1e-4, rtol=1e-4)  # noqa: B023


def test_what_does_not_fit_raises_with_the_fix():
    params = linear.init(KEY, 4, 3)
    with pytest.raises(ValueError, match=r"expected x \(\.\.\., 4\), got \(2, 5\)"):
        linear.apply(params, torch.zeros(2, 5))
    with pytest.raises(KeyError, match="unknown 'wieght'"):
        linear.apply({"wieght": params["weight"], "bias": params["bias"]}, torch.zeros(2, 4))
    with pytest.raises(KeyError, match="missing '0'"):
        mlp.apply({"1": params}, torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"expected sizes \(inputs, \.\.\., outputs\)"):
        mlp.init(KEY, (4,))
    with pytest.raises(ValueError, match="divisible by 2 per level"):
        convnet.init_encoder(KEY, (1, 28, 28), (8, 8, 8), 4)
    with pytest.raises(ValueError, match="flatten the images"):
        convnet.encode(convnet.init_encoder(KEY, (1, 8, 8), (4,), 2), torch.zeros(2, 8, 8), (1, 8, 8))
