"""Values can be looked at, under grad too, but not in a batch of vmap, nor while compiling or tracing."""

import torch
from torch.func import grad, jvp, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from jensen.core.concrete import is_concrete


def test_values_are_known_but_in_a_batch_or_a_graph():
    seen = []

    def look(x):
        seen.append(is_concrete(x))
        return (x * x).sum()

    x = torch.ones(3)
    look(x), grad(look)(x), grad(lambda t: grad(look)(t).sum())(x), jvp(look, (x,), (x,))
    assert seen == [True] * 4
    vmap(look)(x), vmap(grad(look))(x), grad(lambda t: vmap(look)(t).sum())(x)
    vmap(lambda t: jvp(look, (t,), (t,)))(x)
    assert seen[4:] == [False] * 4
    torch.compile(look, backend="eager", fullgraph=True)(x)
    make_fx(look)(x)
    assert seen[8:] == [False] * 2
