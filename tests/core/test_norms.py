"""Normalisation: torch's modules as oracles, in value, gradient and state."""

import math

import pytest
import torch
from torch import nn
from torch.func import grad, vmap

from jensen.core import keys, trees
from jensen.core.nn import batch_norm, dropout, group_norm, layer_norm, residual, rms_norm

KEY = keys.key(0)
DOUBLE = torch.float64


def affine(module, params):
    """A module of torch with these parameters, and params that are no ones and zeros."""
    drawn = {
        name: keys.normal(keys.fold_in(KEY, i), (p.numel(),), DOUBLE) for i, (name, p) in enumerate(params.items())
    }
    module = module.double()
    module.load_state_dict(drawn, strict=False)
    return module, {name: drawn[name].reshape(p.shape) for name, p in params.items()}


def agree(module, apply, params, x):
    """Values, and gradients in parameters and in x, of a loss that weighs every output by another number."""
    module.zero_grad()
    weights, leaf = keys.normal(KEY, x.shape, DOUBLE), x.clone().requires_grad_()
    expected = module(leaf)
    (expected * weights).sum().backward()
    torch.testing.assert_close(apply(params, x), expected.detach())
    by_params, by_x = grad(lambda p, x: (apply(p, x) * weights).sum(), (0, 1))(params, x)
    torch.testing.assert_close(by_x, leaf.grad)
    for name, gradient in by_params.items():
        torch.testing.assert_close(gradient.flatten(), getattr(module, name).grad)


@pytest.mark.parametrize(("sides", "module"), [(0, nn.BatchNorm1d), (1, nn.BatchNorm1d), (2, nn.BatchNorm2d)])
def test_batch_norm_is_torchs(sides, module):
    init, state = batch_norm.init(4, sides, DOUBLE)
    module, params = affine(module(4, eps=1e-3, momentum=0.2), init)
    for step in range(3):
        x = 3 + 2 * keys.normal(keys.fold_in(KEY, step), (5, 4, 3, 2)[: 2 + sides], DOUBLE)
        agree(module, lambda p, x: batch_norm.apply(p, state, x, True, 0.2, 1e-3)[0], params, x)  # noqa: B023
        _, state = batch_norm.apply(params, state, x, training=True, momentum=0.2)
        torch.testing.assert_close(state.mean.flatten(), module.running_mean)
        torch.testing.assert_close(state.variance.flatten(), module.running_var)
    agree(module.eval(), lambda p, x: batch_norm.apply(p, state, x, False, eps=1e-3)[0], params, x)
    assert batch_norm.apply(params, state, x, training=False)[1] is state


def test_batch_norm_trains_on_all_leading_axes_and_in_half_precision():
    params, state = batch_norm.init(3, 1, torch.bfloat16)
    x = keys.normal(KEY, (2, 4, 3, 5)) + 7
    y, after = batch_norm.apply(params, state, x.bfloat16(), training=True)
    assert (y.dtype, after.mean.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(y.float().mean((0, 1, 3)), torch.zeros(3), atol=2**-7, rtol=0)
    moments = x.bfloat16().float().transpose(1, 2).transpose(0, 1).flatten(1)
    torch.testing.assert_close(after.mean.flatten(), 0.1 * moments.mean(1))
    torch.testing.assert_close(after.variance.flatten(), 0.9 + 0.1 * moments.var(1))


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm_is_torchs(groups):
    for sides in (1, 2):
        module, params = affine(nn.GroupNorm(groups, 4), group_norm.init(4, sides, DOUBLE))
        x = keys.normal(KEY, (5, 4, 3, 2)[: 2 + sides], DOUBLE)
        agree(module, lambda p, x: group_norm.apply(p, x, groups), params, x)


@pytest.mark.parametrize(("module", "ours"), [(nn.LayerNorm, layer_norm), (nn.RMSNorm, rms_norm)])
def test_norms_of_vectors_are_torchs(module, ours):
    module, params = affine(module(4, eps=1e-5), ours.init(4, DOUBLE))
    agree(module, ours.apply, params, keys.normal(KEY, (2, 5, 4), DOUBLE))


def test_dropout_keeps_the_mean_and_belongs_to_its_datum():
    x = torch.ones(500, 40)
    y = dropout.apply(KEY, x, 0.3)
    assert set(y.unique().tolist()) == {0.0, (x / 0.7)[0, 0].item()}
    assert abs((y == 0).double().mean() - 0.3) < 4 * math.sqrt(0.3 * 0.7 / y.numel())
    assert torch.equal(y[200:], dropout.apply(keys.at(KEY, datum=200), x[200:], 0.3))
    assert dropout.apply(None, x, 0.3) is x
    assert torch.equal(dropout.apply(KEY, x, 0.0), x)
    each = vmap(dropout.apply, (0, None, None))(keys.split(KEY, 3), x, 0.3)
    assert torch.equal(each[1], dropout.apply(keys.split(KEY, 3)[1], x, 0.3))
    assert not torch.equal(each[0], each[1])


def test_residual_blocks_add_to_what_they_get():
    vectors, images = residual.init(KEY, 4, 6), residual.init_conv(KEY, 4, 4, (3, 5))
    for params, apply, x in (
        (vectors, residual.apply, keys.normal(KEY, (2, 5, 4))),
        (images, residual.apply_conv, keys.normal(KEY, (2, 4, 3, 5))),
    ):
        zero = {**params["layers"], "1": trees.map(torch.zeros_like, params["layers"]["1"])}
        assert torch.equal(apply({**params, "layers": zero}, x), x)
        assert not torch.allclose(apply(params, x), x)
    series = residual.init_conv(KEY, 4, 6, (3,))
    assert residual.apply_conv(series, keys.normal(KEY, (2, 4, 7)), groups=2).shape == (2, 6, 7)


def test_what_does_not_fit_raises_with_the_fix():
    params, state = batch_norm.init(4, 2)
    with pytest.raises(
        ValueError, match=r"expected x \(\.\.\., 4, height, width\), got \(2, 4\): channels come before"
    ):
        batch_norm.apply(params, state, torch.zeros(2, 4), training=True)
    with pytest.raises(ValueError, match="two values or more for each channel in training"):
        batch_norm.apply(params, state, torch.zeros(1, 4, 1, 1), training=True)
    assert batch_norm.apply(params, state, torch.zeros(1, 4, 1, 1), training=False)[0].shape == (1, 4, 1, 1)
    with pytest.raises(TypeError, match=r"expected state, a batch_norm\.Running, got .*: pass what init gave"):
        batch_norm.apply(params, params, torch.zeros(2, 4, 3, 3), training=True)
    with pytest.raises(ValueError, match="sides 0, 1 or 2, got 3"):
        group_norm.init(4, 3)
    with pytest.raises(ValueError, match="groups that divide 4 channels, got 3"):
        group_norm.apply(group_norm.init(4), torch.zeros(2, 4), groups=3)
    with pytest.raises(ValueError, match=r"expected x \(\.\.\., 4\), got \(2, 5\): channels come last"):
        layer_norm.apply(layer_norm.init(4), torch.zeros(2, 5))
    with pytest.raises(ValueError, match="expected kernel of odd sides, got 2"):
        residual.init_conv(KEY, 4, 4, 2)
    with pytest.raises(ValueError, match=r"expected rate in \[0, 1\), got 1.0"):
        dropout.apply(KEY, torch.zeros(2, 4), 1.0)
