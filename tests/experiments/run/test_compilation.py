"""What the shell compiles is what it would run: the bias, moved behind its product, is the same bias."""

import torch
from torch.func import grad
from torch.nn import functional as F

from jensen.core import keys
from jensen.experiments.run.bias_last import BiasLast, aten
from jensen.experiments.run.compilation import compiled

KEY = keys.key(9)
X, WEIGHT, BIAS = (keys.normal(k, shape) for k, shape in zip(keys.split(KEY, 3), ((6, 5), (4, 5), (1, 4)), strict=True))


def loss(weight, bias):
    return torch.tanh(F.linear(X, weight, bias)).square().sum()


def test_a_compiled_layer_and_its_gradient_are_the_eager_ones():
    slopes = grad(loss, (0, 1))
    expected = loss(WEIGHT, BIAS[0]), *slopes(WEIGHT, BIAS[0])
    found = compiled(lambda w, b: (loss(w, b), *slopes(w, b)))(WEIGHT, BIAS[0])
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_biases_leave_addmm_and_what_is_no_bias_stays():
    graph = torch.fx.Graph()
    matrix, x, w = (graph.placeholder(name) for name in ("matrix", "x", "w"))
    bias = graph.placeholder("bias")
    for node, value in ((bias, BIAS[0]), (matrix, X @ WEIGHT.T)):
        node.meta["val"] = value
    moved = graph.call_function(aten.addmm.default, (bias, x, w))
    kept = graph.call_function(aten.addmm.default, (matrix, x, w))
    scaled = graph.call_function(aten.addmm.default, (bias, x, w), {"beta": 2})
    graph.output((moved, kept, scaled))
    before = torch.fx.GraphModule({}, graph)(X @ WEIGHT.T, X, WEIGHT.T, BIAS[0])
    BiasLast()(graph)
    assert len(graph.find_nodes(op="call_function", target=aten.addmm.default)) == 2
    after = torch.fx.GraphModule({}, graph)(X @ WEIGHT.T, X, WEIGHT.T, BIAS[0])
    for a, b in zip(after, before, strict=True):
        torch.testing.assert_close(a, b)
