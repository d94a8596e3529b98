"""Convolution and pooling: sizes, receptive fields, shifts, and torch's modules as oracles."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import grad
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.nn import conv, pooling
from jensen.core.nn.windows import Window, along, input_size, output_size, receptive_field

KEY = keys.key(0)
WINDOWS = st.builds(Window, st.integers(1, 4), st.integers(1, 3), st.integers(0, 1), st.integers(1, 2))
LAYERS = st.lists(WINDOWS, max_size=3)


def convolved(x, layers):
    """A 1-d convolution of positive weights for each layer, so that no path cancels another."""
    for i, window in enumerate(layers):
        params = conv.init(keys.fold_in(KEY, i), 1, 1, (window.kernel,), dtype=torch.float64)
        params = {**params, "weight": params["weight"].abs() + 0.1}
        x = conv.apply(params, x, window.stride, window.padding, window.dilation)
    return x


def outputs(size, layers):
    """How many outputs there are, 0 where nothing is left."""
    try:
        return output_size(size, layers)
    except ValueError:
        return 0


@given(st.integers(1, 12), LAYERS)
def test_output_sizes_are_those_of_convolutions_and_nothing_left_is_refused(size, layers):
    x = torch.ones(1, size, dtype=torch.float64)
    if outputs(size, layers):
        assert convolved(x, layers).shape == (1, outputs(size, layers))
    else:
        with pytest.raises(ValueError, match="nothing is left"):
            convolved(x, layers)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2))
def test_output_sizes_are_those_of_pooling(height, width, kernel, stride, padding):
    sides = tuple(outputs(side, (Window(kernel, stride, padding),)) for side in (height, width))
    for pool in (pooling.max_pool, pooling.mean_pool):
        if all(sides) and 2 * padding <= kernel:
            torch.testing.assert_close(pool(torch.ones(height, width), kernel, stride, padding), torch.ones(sides))
        else:
            with pytest.raises(ValueError, match=r"nothing is left|would lie outside"):
                pool(torch.ones(height, width), kernel, stride, padding)


@given(st.integers(1, 5), LAYERS)
def test_input_sizes_are_the_fewest_and_what_transposed_convolutions_make(size, layers):
    layers = [replace(window, kernel=window.kernel + 2) for window in layers]  # more than their padding covers
    found, x = input_size(size, layers), torch.ones(1, size)
    assert outputs(found, layers) == size
    assert outputs(found - 1, layers) < size
    for window in reversed(layers):
        params = conv.init_transposed(KEY, 1, 1, (window.kernel,))
        x = conv.apply_transposed(params, x, window.stride, window.padding, window.dilation)
    assert x.shape == (1, found)


@given(LAYERS)
def test_receptive_fields_are_the_extent_of_the_jacobian(layers):
    field = receptive_field(layers)
    middle = 2 * field + sum(window.padding for window in layers)
    x = torch.ones(1, input_size(2 * middle + 1, layers), dtype=torch.float64)
    places = grad(lambda x: convolved(x, layers)[0, middle])(x)[0].nonzero().squeeze(-1)
    assert places[-1] - places[0] + 1 == field


def test_three_layers_of_three_see_seven():
    assert receptive_field((Window(3),) * 3) == 7
    assert receptive_field((Window(3), Window(2, stride=2), Window(3))) == 8
    assert receptive_field(()) == 1


@pytest.mark.parametrize("kernel", [(3,), (3, 5), 3])
def test_convolutions_are_torchs(kernel):
    axes = 1 if kernel == (3,) else 2
    x, options = keys.normal(KEY, (2, 5, 4, *(9, 8)[:axes])), {"stride": 2, "padding": 2, "dilation": 2, "groups": 2}
    flat = x.reshape(10, *x.shape[2:])
    for init, apply, named in (
        (conv.init, conv.apply, (F.conv1d, F.conv2d)),
        (conv.init_transposed, conv.apply_transposed, (F.conv_transpose1d, F.conv_transpose2d)),
    ):
        params = init(KEY, 4, 6, kernel, groups=2)
        expected = named[axes - 1](flat, *params.values(), **options)
        torch.testing.assert_close(apply(params, x, **options).flatten(0, 1), expected)


@pytest.mark.parametrize("kernel", [(3,), (2, 3)])
def test_pooling_is_torchs(kernel):
    axes = len(kernel)
    x, sides = keys.normal(KEY, (2, 5, *(9, 8)[:axes])), {"kernel_size": kernel, "stride": kernel, "padding": 1}
    largest, mean = ((F.max_pool1d, F.avg_pool1d), (F.max_pool2d, F.avg_pool2d))[axes - 1]
    torch.testing.assert_close(pooling.max_pool(x, kernel, padding=1), largest(x, **sides))
    torch.testing.assert_close(pooling.mean_pool(x, kernel, padding=1), mean(x, **sides, count_include_pad=False))
    torch.testing.assert_close(pooling.mean_pool(torch.ones(9, 8), 3, padding=1), torch.ones(3, 3))


@given(st.integers(-2, 2), st.integers(-2, 2), st.sampled_from([1, 2]))
def test_convolution_is_equivariant_to_shifts(down, right, stride):
    """A shift of the image by whole strides shifts what is away from the edges, whose padding is seen there alone."""
    params, x = conv.init(KEY, 2, 3, 3, dtype=torch.float64), keys.normal(KEY, (1, 2, 12, 12), torch.float64)
    shifted = torch.roll(x, (down * stride, right * stride), (-2, -1))
    out, moved = (conv.apply(params, image, stride, padding=1) for image in (x, shifted))
    inside = slice(3, out.shape[-1] - 3)
    expected = torch.roll(out, (down, right), (-2, -1))
    torch.testing.assert_close(moved[..., inside, inside], expected[..., inside, inside])


@given(st.integers(0, 2), st.integers(0, 2))
def test_max_pooling_does_not_see_shifts_within_a_window(down, right):
    peaks, x = keys.uniform(KEY, (4, 4)), torch.zeros(12, 12)
    x[down::3, right::3] = peaks
    assert torch.equal(pooling.max_pool(x, 3), peaks)
    torch.testing.assert_close(pooling.mean_pool(x, 3), peaks / 9)


def test_what_does_not_fit_raises_with_the_fix():
    image, series = conv.init(KEY, 2, 4, 3), conv.init(KEY, 2, 4, (3,))
    with pytest.raises(
        ValueError, match=r"expected x \(\.\.\., 2, height, width\), got \(3, 8, 8\): channels come bef"
    ):
        conv.apply(image, torch.zeros(3, 8, 8))
    with pytest.raises(
        ValueError, match=r"expected x \(\.\.\., 2, length\), got \(8, 1\): channels come before length"
    ):
        conv.apply(series, torch.zeros(8, 1))
    with pytest.raises(
        ValueError, match=r"expected x of a size of 3 or more for Window\(kernel=3.*got 2: nothing is left"
    ):
        conv.apply(image, torch.zeros(2, 8, 2))
    with pytest.raises(ValueError, match="expected stride of 2 whole numbers"):
        conv.apply(image, torch.zeros(2, 8, 8), stride=(1,))
    with pytest.raises(ValueError, match="expected kernel of one or two sides"):
        conv.init(KEY, 2, 4, (3, 3, 3))
    with pytest.raises(ValueError, match="expected groups that divide 3 inputs and 4 outputs, got 2"):
        conv.init(KEY, 3, 4, 3, groups=2)
    with pytest.raises(ValueError, match="expected padding that leaves an input"):
        conv.apply_transposed(conv.init_transposed(KEY, 2, 4, 3), torch.zeros(2, 1, 1), padding=2)
    with pytest.raises(ValueError, match="half the kernel's 2 at most, got 2"):
        pooling.max_pool(torch.zeros(4, 4), 2, padding=2)
    assert along(2, (3, 5), 2) == (Window(3, 2), Window(5, 2))
