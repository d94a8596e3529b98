"""Attention, its cache and positions: torch's module, the formulas and Jacobians as oracles."""

import math

import pytest
import torch
from torch import nn
from torch.func import grad, grad_and_value, hessian, jacrev
from torch.nn import functional as F

from jensen.core import keys, trees
from jensen.core.nn import attention, positions
from jensen.core.nn.transformer import Block

KEY = keys.key(0)
DOUBLE = torch.float64
LENGTH, FEATURES, HEADS = 6, 8, 2


def drawn(i, *shape):
    return keys.normal(keys.fold_in(KEY, i), (1, *shape), DOUBLE)[0]


@pytest.fixture(scope="module")
def params():
    params = attention.init(KEY, FEATURES, dtype=DOUBLE)
    for i, layer in enumerate(params.values()):
        layer["bias"] = drawn(i, len(layer["bias"]))
    return params


X = drawn(9, 3, LENGTH, FEATURES)


def module_of(params):
    module = nn.MultiheadAttention(FEATURES, HEADS, batch_first=True, dtype=DOUBLE)
    names = {"in_proj_weight": params["inputs"]["weight"], "in_proj_bias": params["inputs"]["bias"]}
    names |= {"out_proj.weight": params["output"]["weight"], "out_proj.bias": params["output"]["bias"]}
    module.load_state_dict(names)
    return module


def test_values_and_gradients_are_torchs(params):
    module, x = module_of(params), X.clone().requires_grad_()
    future = nn.Transformer.generate_square_subsequent_mask(LENGTH, dtype=DOUBLE)
    expected = module(x, x, x, attn_mask=future, need_weights=False)[0]
    torch.testing.assert_close(attention.apply(params, X, HEADS), expected.detach())
    weights = drawn(2, *X.shape)
    (expected * weights).sum().backward()
    by_params, by_x = grad(lambda p, x: (attention.apply(p, x, HEADS) * weights).sum(), (0, 1))(params, X)
    torch.testing.assert_close(by_x, x.grad)
    torch.testing.assert_close(by_params["inputs"]["weight"], module.in_proj_weight.grad)
    torch.testing.assert_close(by_params["output"]["bias"], module.out_proj.bias.grad)


def test_attention_both_ways_is_torchs_without_a_mask(params):
    module = module_of(params)
    expected = module(X, X, X, need_weights=False)[0].detach()
    torch.testing.assert_close(attention.bidirectional(params, X, HEADS), expected)
    assert (attention.apply(params, X, HEADS) - expected).abs().max() > 0.01  # what a mask would do
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(attention.bidirectional(params, X[:, order], HEADS), expected[:, order])


def test_attention_both_ways_has_second_and_forward_derivatives(params):
    """The Hessian by forward over reverse mode, as the score of a density along a flow has it, is symmetric."""
    curvature = hessian(lambda x: attention.bidirectional(params, x[None], HEADS).square().sum())(X[0, :3])
    flat = curvature.reshape(3 * FEATURES, 3 * FEATURES)
    torch.testing.assert_close(flat, flat.T)
    assert flat.norm() > 1


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("parts", [(1,) * LENGTH, (4, 1, 1), (2, 3, 1)])
def test_a_cache_gives_what_the_whole_gives(params, rotary, parts):
    """Prefilled, and then one position or several at a time."""
    cache, every = None, []
    for part in X.split(parts, 1):
        y, cache = attention.extend(params, part, cache, HEADS, rotary)
        every.append(y)
    torch.testing.assert_close(torch.cat(every, 1), attention.apply(params, X, HEADS, rotary), rtol=0, atol=1e-12)
    assert cache.length == LENGTH


@pytest.mark.parametrize("rotary", [False, True])
def test_slots_hold_sequences_at_positions_of_their_own(params, rotary):
    """Each sequence goes on from a length of its own, beside places that hold something else."""
    lengths, room = torch.tensor([1, 3, 4]), LENGTH + 1
    tables = [drawn(11 + i, 3, HEADS, room, FEATURES // HEADS) for i in range(2)]
    for row, n in enumerate(lengths):
        cache = attention.extend(params, X[row : row + 1, :n], None, HEADS, rotary)[1]
        for table, known in zip(tables, (cache.keys, cache.values), strict=True):
            table[row, :, :n] = known[0]
    slots = attention.Slots(*tables, lengths)
    whole = attention.apply(params, X, HEADS, rotary)
    for step in range(2):
        at = lengths + step
        y, slots = attention.extend(params, X[torch.arange(3), at][:, None], slots, HEADS, rotary)
        torch.testing.assert_close(y[:, 0], whole[torch.arange(3), at], rtol=0, atol=1e-12)
    assert torch.equal(slots.length, lengths + 2)


def test_a_mask_that_counts_from_the_first_key_is_seen(params):
    """What torch's `is_causal` would do with a cache: later queries would see the first keys alone."""
    _, cache = attention.extend(params, X[:, :3], None, HEADS)
    right = attention.extend(params, X[:, 3:], cache, HEADS)[0]
    q, k, v = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in F.linear(X, **params["inputs"]).chunk(3, -1))
    wrong = F.scaled_dot_product_attention(q[:, :, 3:], k, v, is_causal=True).transpose(1, 2).flatten(2)
    assert (F.linear(wrong, **params["output"]) - right).abs().max() > 0.1


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of torch's attention under vmap
@pytest.mark.parametrize("rotary", [False, True])
def test_no_position_depends_on_a_later_one(params, rotary):
    jacobian = jacrev(lambda x: attention.apply(params, x[None], HEADS, rotary)[0])(X[0])
    sizes = jacobian.abs().sum((1, 3))
    assert sizes.triu(1).max() == 0
    assert sizes.tril().gt(0).sum() == LENGTH * (LENGTH + 1) / 2


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of torch's attention under vmap
@pytest.mark.parametrize("bug", ["a mask off by one", "a mask after the softmax"])
def test_a_jacobian_sees_what_a_wrong_mask_lets_through(params, bug, monkeypatch):
    def wrong(q, k, v, **_):
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        sees = torch.ones_like(scores, dtype=torch.bool).tril(int(bug == "a mask off by one"))
        if bug == "a mask off by one":
            return scores.masked_fill(~sees, -torch.inf).softmax(-1) @ v
        return (scores.softmax(-1) * sees) @ v

    monkeypatch.setattr(F, "scaled_dot_product_attention", wrong)
    sizes = jacrev(lambda x: attention.apply(params, x[None], HEADS)[0])(X[0]).abs().sum((1, 3))
    assert sizes.triu(1).max() > 1e-3


def test_rotated_products_depend_on_distance_alone():
    q, k = drawn(4, 1, 8), drawn(5, 1, 8)

    def product(i, j):
        return (positions.rotated(q, i) * positions.rotated(k, j)).sum()

    torch.testing.assert_close(product(3, 1), product(1003, 1001))
    assert (product(3, 1) - product(3, 2)).abs() > 1e-3
    torch.testing.assert_close(positions.rotated(q).norm(), q.norm())
    rows = positions.rotated(drawn(6, 5, 8))
    torch.testing.assert_close(positions.rotated(drawn(6, 5, 8)[2:], 2), rows[2:])


def test_positions_of_each_sequences_own_are_those_of_one_alone():
    first = torch.tensor([0, 2, 7])
    for row, n in enumerate(first.tolist()):
        for of in (positions.placed, positions.rotated):
            x = drawn(6, 3, 5, 8)
            torch.testing.assert_close(of(x, first)[row], of(x[row], n))


def test_sines_are_the_papers():
    table = positions.placed(torch.ones(4, 5, dtype=DOUBLE), first=7) - 1
    for t in range(4):
        for i in range(5):
            angle = (7 + t) / 10_000 ** ((i - i % 2) / 5)
            assert table[t, i].item() == pytest.approx(math.cos(angle) if i % 2 else math.sin(angle), abs=1e-12)


@pytest.mark.parametrize("order", ["pre", "post"])
def test_a_block_is_torchs(order):
    block = Block(FEATURES, HEADS, 16, order, activation=F.relu)
    params = block.init(KEY, dtype=DOUBLE)
    module = nn.TransformerEncoderLayer(
        FEATURES, HEADS, 16, dropout=0.0, batch_first=True, norm_first=order == "pre", dtype=DOUBLE
    )
    module.self_attn = module_of(params["attention"])
    ours = {"linear1": "hidden", "linear2": "output"}
    for theirs, name in ours.items():
        getattr(module, theirs).load_state_dict(params[name])
    future = nn.Transformer.generate_square_subsequent_mask(LENGTH, dtype=DOUBLE)
    module.train()  # evaluation takes another path through the same layer
    torch.testing.assert_close(block.apply(params, X), module(X, src_mask=future, is_causal=True).detach())


def test_the_lectures_block_is_torchs_of_512_features_and_8_heads():
    """Post-norm, ReLU, 2,048 hidden units: values, and gradients of all parameters, in float64."""
    block = Block(512, 8, 2048, "post", activation=F.relu)
    params = block.init(KEY, dtype=DOUBLE)
    module = nn.TransformerEncoderLayer(512, 8, 2048, dropout=0.0, batch_first=True, dtype=DOUBLE)
    ours = {
        "self_attn.in_proj_": params["attention"]["inputs"], "self_attn.out_proj.": params["attention"]["output"],
        "linear1.": params["hidden"], "linear2.": params["output"],
        "norm1.": params["norms"]["attention"], "norm2.": params["norms"]["perceptron"],
    }  # fmt: skip
    module.load_state_dict({f"{theirs}{name}": t for theirs, layer in ours.items() for name, t in layer.items()})
    x, weights = drawn(0, 2, LENGTH, 512), drawn(1, 2, LENGTH, 512)
    future = nn.Transformer.generate_square_subsequent_mask(LENGTH, dtype=DOUBLE)
    expected = module(positions.placed(x), src_mask=future, is_causal=True)
    slopes, y = grad_and_value(lambda p: (block.apply(p, positions.placed(x)) * weights).sum())(params)
    torch.testing.assert_close(y, (expected * weights).sum().detach())
    torch.testing.assert_close(block.apply(params, positions.placed(x)), expected.detach())
    (expected * weights).sum().backward()
    names = dict(module.named_parameters())
    for theirs, layer in zip(ours, ("attention", "attention", "hidden", "output", "norms", "norms"), strict=True):
        part = slopes[layer]
        if layer == "attention":
            part = part["inputs" if "in_proj" in theirs else "output"]
        if layer == "norms":
            part = part["attention" if theirs == "norm1." else "perceptron"]
        for name, slope in part.items():
            torch.testing.assert_close(slope, names[f"{theirs}{name}"].grad)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_drops_its_share_of_what_is_added(rate):
    """To 4.5 standard errors: an attention and a perceptron of ones alone add what is kept, 1 / (1 - rate) each."""
    block = Block(8, 2, 16, rate=rate)
    params = trees.map(torch.zeros_like, block.init(KEY, dtype=DOUBLE))
    for layer in (params["attention"]["output"], params["output"]):
        layer["bias"] = torch.ones(8, dtype=DOUBLE)
    added = block.apply(params, torch.zeros(500, 10, 8, dtype=DOUBLE), KEY) * (1 - rate)
    count = 2 * added.numel()
    assert set(added.round(decimals=9).unique().tolist()) == {0.0, 1.0, 2.0}
    kept = added.sum().item() / count
    assert abs(kept - (1 - rate)) < 4.5 * math.sqrt(rate * (1 - rate) / count)
    both = (added == 2).double().mean().item()  # independent of each other
    assert abs(both - (1 - rate) ** 2) < 4.5 * math.sqrt((1 - rate) ** 2 / added.numel())


def test_dropout_is_keyed_and_has_the_mean_of_none():
    block = Block(FEATURES, HEADS, 16, rate=0.3)
    params = block.init(KEY, dtype=DOUBLE)
    assert torch.equal(block.apply(params, X, KEY), block.apply(params, X, KEY))
    assert not torch.equal(block.apply(params, X, KEY), block.apply(params, X, keys.fold_in(KEY, 1)))
    assert torch.equal(block.apply(params, X), Block(FEATURES, HEADS, 16).apply(params, X, KEY))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: attention.apply(p, X, 3), "expected heads that divide the 8 features, got 3"),
        (lambda p: attention.bidirectional(p, X, 3), "expected heads that divide the 8 features, got 3"),
        (lambda p: attention.apply(p, X.long(), 2), "expected x in floating point"),
        (lambda p: attention.apply(p, X, 8, rotary=True), r"expected x \(..., t, e\) of an even e, got 1"),
        (lambda p: Block(8, 3, 16), "expected heads that divide the 8 features, got 3"),
        (lambda p: Block(8, 2, 16, "middle"), 'expected order "pre" or "post"'),
        (lambda p: Block(8, 2, 16, rate=1.0), r"expected rate in \[0, 1\), got 1.0"),
    ],
)
def test_refusals(params, call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(params)
