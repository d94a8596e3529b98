"""Categorical targets as class indices: values, gradients, what is outside the range, and memory."""

import math
from pathlib import Path

import pytest
import torch
from torch.func import grad, vmap
from torch.nn import functional as F

from jensen.core import keys, ops
from jensen.core.distributions import Categorical, LinearCategorical
from tests.bench.memory import peak
from tests.core.test_transforms import DEVICE

PATHS = pytest.mark.parametrize("path", ["reference", "triton"])
WORDS = 50_000


def noise(seed, *shape):
    return keys.normal(keys.key(seed, DEVICE), shape, torch.float64)


def classes(seed, k, *shape):
    return (keys.uniform(keys.key(seed, DEVICE), shape) * k).long()


@PATHS
@pytest.mark.parametrize("shape", [(), (3,), (4, 3), (2, 4, 3)], ids=str)
def test_an_index_is_its_one_hot(path, shape):
    """Against logits (4, 3, 5): fewer batch axes than theirs, as many, and more."""
    x, logits, upstream = classes(1, 5, *shape), noise(2, 4, 3, 5), noise(3, 2, 4, 3)
    choice = F.one_hot(x, 5).double()
    with ops.use(path):
        for f in (ops.categorical_log_prob, lambda x, a: vmap(ops.categorical_log_prob, (None, 0))(x, a[None])[0]):
            found = [
                (f(target, logits), grad(lambda a, t=target, f=f: (f(t, a) * upstream).sum())(logits))
                for target in (x, choice)
            ]
            torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


@PATHS
def test_the_gradient_is_one_hot_less_softmax(path):
    x, logits = classes(1, 5, 3), noise(2, 3, 5)
    with ops.use(path):
        slope = grad(lambda a: ops.categorical_log_prob(x, a).sum())(logits)
    torch.testing.assert_close(slope, F.one_hot(x, 5) - torch.softmax(logits, -1))


@PATHS
def test_vmap_over_indices_is_a_loop(path):
    x, h, weight, bias = classes(1, 7, 4, 3), noise(2, 4, 2, 3, 6), noise(3, 7, 6), noise(4, 7)
    logits = h @ weight.T + bias
    upstream = noise(5, 2, 3)

    def gradient(x, a):
        return grad(lambda a: (ops.categorical_log_prob(x, a) * upstream).sum())(a)

    def linear(x, h):
        return grad(lambda w: (ops.linear_categorical_log_prob(x, h, w, bias) * upstream).sum())(weight)

    with ops.use(path):
        for f, over in ((ops.categorical_log_prob, logits), (gradient, logits), (linear, h)):
            looped = torch.stack([f(*each) for each in zip(x, over, strict=True)])
            torch.testing.assert_close(vmap(f)(x, over), looped, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("wrong", [-100, -1, 5, 2**40])
def test_an_index_out_of_range_raises_where_it_can_be_read(wrong):
    x, logits = torch.tensor([0, wrong, 4]), torch.zeros(3, 5)
    layer = torch.zeros(2, 3, 6), torch.zeros(5, 6), torch.zeros(5)
    calls = [
        lambda: ops.categorical_log_prob(x, logits),
        lambda: grad(lambda a: ops.categorical_log_prob(x, a).sum())(logits),
        lambda: ops.linear_categorical_log_prob(x, *layer),
        lambda: LinearCategorical(*layer).log_prob(x),
        lambda: Categorical(logits[None]).log_prob(x[None]),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=rf"class indices in \[0, 5\), got {wrong}: leave such data out"):
            call()


@PATHS
def test_an_index_out_of_range_is_impossible_where_it_cannot_be_read(path):
    x, logits = torch.tensor([[0, -100, 4, 5]], device=DEVICE), noise(1, 4, 5)
    upstream = torch.tensor([1.0, 2.0, 3.0, 4.0], device=DEVICE, dtype=torch.float64)

    def both(x, a):
        slope = grad(lambda a: (torch.where(x.isfinite(), ops.categorical_log_prob(x, a), 0) * upstream).sum())(a)
        return ops.categorical_log_prob(x, a), slope

    with ops.use(path):
        found = vmap(both, (0, None))(x, logits)
        torch._dynamo.reset()
        compiled = torch.compile(lambda: both(x[0], logits), backend="aot_eager", fullgraph=True)()
    inside = torch.tensor([True, False, True, False], device=DEVICE)
    for value, slope in ((found[0][0], found[1][0]), compiled):
        assert (value == -math.inf).tolist() == (~inside).tolist()
        assert (slope[~inside] == 0).all()
        expected = upstream[:, None] * (F.one_hot(x[0].clamp(0, 4), 5) - torch.softmax(logits, -1))
        torch.testing.assert_close(slope[inside], expected[inside])


@pytest.mark.parametrize("x", [torch.zeros(5).long(), torch.zeros(3, 5).long(), torch.zeros(2, 1).long()], ids=str)
def test_indices_of_other_data_raise(x):
    with pytest.raises(ValueError, match=r"expected x, class indices \(\.\.\., 2, 3\) for logits \(2, 3, 5\)"):
        ops.categorical_log_prob(x, torch.zeros(2, 3, 5))
    with pytest.raises(ValueError, match="expected x"):
        ops.linear_categorical_log_prob(x, torch.zeros(2, 3, 6), torch.zeros(5, 6), torch.zeros(5))


def test_distributions_take_indices_as_one_hot():
    logits, h, weight, bias = noise(1, 3, 2, 5), noise(2, 4, 3, 6), noise(3, 5, 6), noise(4, 5)
    pairs = [(Categorical(logits), (4, 3, 2)), (Categorical(logits), (3, 2))]
    pairs += [(LinearCategorical(h, weight, bias), (3,)), (LinearCategorical(h[0], weight, bias), (3,))]
    pairs += [(LinearCategorical(h[0], weight, bias), (4, 3)), (LinearCategorical(h, weight, bias), (4, 3))]
    for q, shape in pairs:
        z = classes(5, 5, *shape)
        torch.testing.assert_close(q.log_prob(z), q.log_prob(F.one_hot(z, 5).double()))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads peaks of memory as Linux writes them")
def test_a_vocabulary_is_not_expanded():
    """2 samples of 500 words: one-hot targets are 95 MiB, logits 191."""
    x, h = classes(1, WORDS, 500).cpu(), noise(2, 2, 500, 4).float().cpu()
    weight, bias = noise(3, WORDS, 4).float().cpu(), torch.zeros(WORDS)
    slopes = grad(lambda *layer: ops.linear_categorical_log_prob(x, *layer).sum(), (0, 1, 2))
    assert peak(lambda: slopes(h, weight, bias)) < 48  # MiB
