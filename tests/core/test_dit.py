"""The diffusion transformer: torch's modules, permutations and Jacobians as oracles."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, jvp, vmap
from torch.nn import functional as F

from jensen.core import keys, trees
from jensen.core.models.transport import diffusion, dit, fields, flow_matching, noise_levels

KEY = keys.key(0)
DOUBLE = torch.float64
WIDTH, HEADS = 8, 2
IMAGE = dit.image((2, 4, 6), 2, WIDTH, 2, HEADS)
VECTOR = dit.vector(6, 3, WIDTH, 1, HEADS)


def drawn(i, *shape):
    return keys.normal(keys.fold_in(KEY, i), (1, *shape), DOUBLE)[0]


def moved(field):
    """Parameters of which none is at its start, where much is 0."""
    params = field.init(KEY, DOUBLE)
    moves = iter(range(1000))
    return trees.map(lambda t: t + 0.3 * drawn(next(moves), *t.shape), params)


X, T = drawn(50, 5, VECTOR.data), torch.linspace(0, 1, 5, dtype=DOUBLE)
PARAMS = moved(VECTOR)


@pytest.mark.parametrize("field", [IMAGE, VECTOR])
def test_it_starts_at_0_and_its_blocks_as_identities(field):
    params, x = field.init(KEY, DOUBLE), drawn(3, 4, field.data)
    assert isinstance(field, fields.Field)
    assert (field(params, x, T[:4]) == 0).all()
    h = drawn(4, 4, field.tokens.count, WIDTH)
    assert torch.equal(field._applied(params["blocks"]["0"], h, drawn(5, 4, WIDTH)), h)
    slope = grad(lambda p: (field(p, x, T[:4]) - x).square().sum())(params)
    assert slope["tokens"]["outputs"]["weight"].abs().max() > 0


def test_a_block_is_torchs_with_its_norms_scales_and_shifts():
    """Of one condition adaLN is a layer norm of that weight and bias."""
    params = moved(VECTOR)["blocks"]["0"]
    h, c = drawn(6, 4, 3, WIDTH), drawn(7, WIDTH)
    shift, scale, gate, later_shift, later_scale, later_gate = F.linear(c, **params["modulation"]).chunk(6)
    module = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, dtype=DOUBLE)
    mine = params["attention"]
    weights = {"in_proj_weight": mine["inputs"]["weight"], "in_proj_bias": mine["inputs"]["bias"]}
    weights |= {"out_proj.weight": mine["output"]["weight"], "out_proj.bias": mine["output"]["bias"]}
    norm, rest = nn.LayerNorm(WIDTH, dtype=DOUBLE), nn.Linear(WIDTH, 4 * WIDTH, dtype=DOUBLE)
    back = nn.Linear(4 * WIDTH, WIDTH, dtype=DOUBLE)
    first = functional_call(norm, {"weight": 1 + scale, "bias": shift}, h)
    h_after = h + gate * functional_call(module, weights, (first,) * 3, {"need_weights": False})[0]
    second = functional_call(norm, {"weight": 1 + later_scale, "bias": later_shift}, h_after)
    hidden = F.gelu(functional_call(rest, params["hidden"], second))
    expected = h_after + later_gate * functional_call(back, params["output"], hidden)
    found = VECTOR._applied(params, h, c.expand(4, WIDTH))
    torch.testing.assert_close(found, expected)
    swapped = {**params, "modulation": trees.map(lambda t: t.roll(WIDTH, 0), params["modulation"])}  # a planted bug
    assert (VECTOR._applied(swapped, h, c.expand(4, WIDTH)) - expected).abs().max() > 0.1


def test_a_token_is_a_rectangle_of_all_channels():
    x, of = torch.arange(48.0).reshape(2, 4, 6), IMAGE.tokens
    patches = of.cut(x.flatten()[None])[0]
    assert patches.shape == (of.count, of.coordinates) == (6, 8)
    assert torch.equal(patches[4], x[:, 2:4, 2:4].flatten())
    assert torch.equal(of.joined(patches[None])[0], x.flatten())


def test_tokens_are_told_apart_by_their_positions_alone():
    params, x, of = moved(IMAGE), drawn(8, 5, IMAGE.data), IMAGE.tokens
    order = torch.tensor([2, 5, 4, 1, 0, 3])

    def turned(x):
        return of.joined(of.cut(x)[:, order])

    assert (IMAGE(params, turned(x), T) - turned(IMAGE(params, x, T))).abs().max() > 0.1
    lost = {**params, "positions": torch.zeros_like(params["positions"])}
    torch.testing.assert_close(IMAGE(lost, turned(x), T), turned(IMAGE(lost, x, T)))


def test_views_of_a_vector_may_be_those_of_any_other_order():
    """Its layers see all coordinates: another order of these is another order of their columns and rows."""
    order, layers = torch.tensor([2, 0, 4, 5, 3, 1]), PARAMS["tokens"]
    inputs = {**layers["inputs"], "weight": layers["inputs"]["weight"][:, order]}
    outputs = {name: t[order] for name, t in layers["outputs"].items()}
    other = {**PARAMS, "tokens": {"inputs": inputs, "outputs": outputs}}
    torch.testing.assert_close(VECTOR(other, X[:, order], T), VECTOR(PARAMS, X, T)[:, order])


def test_every_coordinate_sees_all_of_its_datum_and_the_time_and_no_other_datum():
    by_x, by_t = jacrev(lambda x, t: VECTOR(PARAMS, x, t), (0, 1))(X, T)
    sizes = by_x.abs().sum((1, 3))
    assert (sizes.diagonal() > 0).all()
    assert (sizes - sizes.diagonal().diag()).abs().max() == 0
    assert (by_x.diagonal(dim1=0, dim2=2) != 0).all()
    assert (by_t.diagonal(dim1=0, dim2=2) != 0).all()
    torch.testing.assert_close(VECTOR(PARAMS, X[2:3], T[2:3]), VECTOR(PARAMS, X, T)[2:3])
    many = VECTOR(PARAMS, torch.stack([X, 2 * X]), T)
    torch.testing.assert_close(many[1], VECTOR(PARAMS, 2 * X, T))


def test_transforms_agree():
    def total(params, x, t):
        return VECTOR(params, x[None], t[None]).sum()

    each = vmap(grad(total), (None, 0, 0))(PARAMS, X, T)
    whole = grad(lambda p: VECTOR(p, X, T).sum())(PARAMS)
    for one, own in zip(trees.leaves(whole), trees.leaves(each), strict=True):
        torch.testing.assert_close(own.sum(0), one)
    push = jvp(lambda x: VECTOR(PARAMS, x, T), (X,), (torch.ones_like(X),))[1]
    step = 1e-6
    torch.testing.assert_close(
        push, (VECTOR(PARAMS, X + step, T) - VECTOR(PARAMS, X - step, T)) / (2 * step), rtol=1e-6, atol=1e-7
    )
    compiled = torch.compile(grad(lambda p: VECTOR(p, X, T).sum()), fullgraph=True, backend="eager")(PARAMS)
    for one, own in zip(trees.leaves(whole), trees.leaves(compiled), strict=True):
        torch.testing.assert_close(own, one)


def test_it_is_a_field_of_noise_and_of_velocities():
    model = diffusion.build(VECTOR, noise_levels.linear(4))
    assert model.bound(PARAMS, X, KEY).elbo.isfinite().all()
    assert flow_matching.build(VECTOR).log_prob(PARAMS, X, 2).isfinite().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dit.image((1, 8, 8), 3), "expected patch that divides the sides 8 and 8, got 3"),
        (lambda: dit.image((8, 8), 2), r"expected shape"),
        (lambda: dit.vector(6, 0), "expected tokens, a whole number >= 1, got 0"),
        (lambda: dit.vector(6, 3, 10, 1, 4), "expected heads that divide the width 10, got 4"),
        (lambda: VECTOR(PARAMS, X[:, :5], T), r"expected x \(..., 6\), got \(5, 5\)"),
        (lambda: VECTOR({}, X, T), "tokens"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((KeyError, TypeError, ValueError), match=message):
        call()
