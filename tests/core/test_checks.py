"""Each check refuses in one line what it is for, and lets the rest pass under every transform and in compiled code."""

import math

import numpy as np
import pytest
import torch
from torch.func import grad, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from jensen.core import checks, keys
from jensen.core.distributions import DiagNormal

KEY = keys.key(1)
X = torch.zeros(5, 784)

REFUSED = [
    (lambda: checks.check_tensor("x", np.zeros((2, 3)), "n d"), TypeError,
     "expected x (n, d), a tensor, got a NumPy array (2, 3) of float64: convert it with torch.as_tensor(x)"),
    (lambda: checks.check_tensor("x", [1.0], "n"), TypeError,
     "expected x (n,), a tensor, got a list: convert it with torch.as_tensor(x)"),
    (lambda: checks.check_tensor("x", "x", "n"), TypeError, "expected x (n,), a tensor, got 'x': pass a tensor"),
    (lambda: checks.check_tensor("x", X[0], "n 784", "add a batch axis with x[None]"), ValueError,
     "expected x (n, 784), got (784,): add a batch axis with x[None]"),
    (lambda: checks.check_tensor("x", X, "n 64"), ValueError, "expected x (n, 64), got (5, 784)"),
    (lambda: checks.check_tensor("x", X, "... 3 784"), ValueError, "expected x (..., 3, 784), got (5, 784)"),
    (lambda: checks.check_tensor("x", X[0, 0], "n *event"), ValueError, "expected x (n, *event), got ()"),
    (lambda: checks.check_floating("x", X.bool(), "n d"), TypeError,
     "expected x in floating point, got torch.bool: convert it with x.float()"),
    (lambda: checks.check_dtype("x", X.double(), X, "the parameters"), TypeError,
     "expected x in torch.float32, as the parameters have it, got torch.float64: convert it with x.to(torch.float32)"),
    (lambda: checks.check_key(3), TypeError,
     "expected key, an int64 tensor (3,), got 3: make one with keys.key(seed)"),
    (lambda: checks.check_key(torch.zeros(3)), TypeError,
     "expected key, an int64 tensor (3,), got torch.float32: make one with keys.key(seed)"),
    (lambda: checks.check_key(keys.split(KEY)), ValueError,
     "expected key, an int64 tensor (3,), got (2, 3): make one with keys.key(seed), and map over several with "
     "torch.func.vmap"),
    (lambda: checks.check_count("s", 0), ValueError, "expected s, a whole number >= 1, got 0: pass 1 or more"),
    (lambda: checks.check_count("s", True), TypeError, "expected s, a whole number >= 1, got True: pass an int"),
    (lambda: checks.check_count("s", 2.0), TypeError, "expected s, a whole number >= 1, got 2.0: pass an int"),
    (lambda: checks.check_count("s", KEY), TypeError,
     "expected s, a whole number >= 1, got a tensor (3,) of torch.int64: a key comes before it"),
    (lambda: checks.check_number("decay", 1, "[0, 1)", "no step would count"), ValueError,
     "expected decay in [0, 1), got 1: no step would count"),
    (lambda: checks.check_number("decay", math.nan, "[0, 1]"), ValueError,
     "expected decay in [0, 1], got nan: pass one in this interval"),
    (lambda: checks.check_number("decay", "a", "[0, 1)"), TypeError,
     "expected decay, a number in [0, 1), got 'a': pass a float"),
    (lambda: checks.check_number("rate", math.inf), ValueError,
     "expected rate in (-inf, inf), got inf: pass one in this interval"),
    (lambda: checks.check_function("baseline", "vimco", "baselines.vimco"), TypeError,
     "expected baseline, a function such as baselines.vimco, got 'vimco': pass baselines.vimco"),
    (lambda: checks.check_function("f", torch.nn.Linear, "torch.tanh"), TypeError,
     "expected f, a function such as torch.tanh, got the class Linear: pass torch.tanh"),
    (lambda: checks.check_sizes("hidden", 6), TypeError,
     "expected hidden, a tuple of whole numbers >= 1, got 6: pass a tuple"),
    (lambda: checks.check_sizes("hidden", (6, 0)), ValueError,
     "expected hidden[1], a whole number >= 1, got 0: pass 1 or more"),
    (lambda: checks.check_sizes("image", (8, 8), length=3), ValueError,
     "expected image of 3 whole numbers, got (8, 8): pass one for each"),
    (lambda: checks.check_distribution("q", DiagNormal), TypeError,
     "expected q, a distribution, got the class DiagNormal: pass a value such as DiagNormal(loc, log_scale)"),
    (lambda: checks.check_choice("side", "top", ("left", "right")), ValueError,
     "expected side \"left\" or \"right\", got 'top': choose one of them"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "line"), REFUSED, ids=[line[:40] for _, _, line in REFUSED])
def test_what_does_not_fit_is_refused_in_one_line(call, error, line):
    with pytest.raises(error) as refused:
        call()
    assert str(refused.value) == line


def test_whole_numbers_of_numpy_are_ints():
    for count in (3, np.int64(3), np.uint8(3)):
        found = checks.check_count("s", count)
        assert found == 3
        assert type(found) is int
        assert checks.check_sizes("hidden", [count, 2]) == (3, 2)
    assert checks.check_number("rate", np.float32(0.5), "(0, 1)") == 0.5


def everything(x):
    checks.check_floating("x", x, "n *event")
    checks.check_tensor("x", x, "... 3")
    checks.check_dtype("x", x, x, "the parameters")
    checks.check_key(KEY)
    checks.check_number("rate", 0.5, "[0, 1)")
    checks.check_distribution("q", DiagNormal(x, x))
    checks.check_sizes("shape", x.shape)
    checks.check_function("f", x.detach, "torch.tanh")
    checks.check_choice("side", "left", ("left", "right"))
    return (x * checks.check_count("s", 2)).sum()


def test_checks_work_under_every_transform():
    x = torch.ones(4, 2, 3)
    assert vmap(grad(everything))(x).eq(2).all()
    assert torch.compile(everything, backend="eager", fullgraph=True)(x) == 48
    assert torch.compile(everything, backend="eager", fullgraph=True, dynamic=True)(x) == 48
    assert make_fx(everything, tracing_mode="symbolic")(x)(x) == 48
