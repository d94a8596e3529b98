"""Autoregressive models: sums over all sequences, Jacobians and hand-made tables as oracles."""

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from torch.func import grad, vmap
from torch.nn import functional as F
from torch.utils import _pytree as pytree

from jensen.core import keys, trees
from jensen.core.models.autoregressive import recurrent, transformer
from jensen.core.models.autoregressive.sequences import Autoregressive, memory_bytes
from jensen.core.nn.recurrent import CELLS

KEY = keys.key(0)
DOUBLE = torch.float64
SYMBOLS, LENGTH = 3, 4
MODELS = {
    "pre": transformer.build(SYMBOLS, 8, 2, 2, LENGTH),
    "post": transformer.build(SYMBOLS, 8, 2, 2, LENGTH, positions="sinusoidal", order="post", activation=F.relu),
    "learned": transformer.build(SYMBOLS, 8, 2, 2, LENGTH, positions="learned", norm="rms", tied=False),
    **{cell: recurrent.build(SYMBOLS, 8, 2, cell) for cell in CELLS},
}
EVERY = torch.tensor(list(itertools.product(range(SYMBOLS), repeat=LENGTH)))


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    """A model with parameters far from those of its start, where logits are nearly equal."""
    model = MODELS[request.param]
    return model, pytree.tree_map(lambda t: t + 0.5 * keys.normal(KEY, t.shape, DOUBLE), model.init(KEY, DOUBLE))


def test_probabilities_of_all_sequences_sum_to_1(case):
    model, params = case
    log_p = model.log_prob(params, EVERY)
    torch.testing.assert_close(log_p.logsumexp(0), torch.zeros((), dtype=DOUBLE), rtol=0, atol=1e-12)
    assert log_p.std() > 0.1  # far from equal ones


def test_a_symbol_changes_no_logit_up_to_its_own(case):
    model, params = case
    logits = model.logits(params, EVERY)
    for t in range(LENGTH):
        other = EVERY.clone()
        other[:, t] = (other[:, t] + 1) % SYMBOLS
        moved = (model.logits(params, other) - logits).abs().amax((0, 2))
        assert moved[: t + 1].max() == 0
        assert (moved[t + 1 :] > 0).all()


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("parts", [(1, 1, 1), (1, 2), (2, 1), (3,)])
def test_reading_in_parts_gives_the_logits_of_the_whole(case, parts, in_place):
    """With a memory that grows, and with one that is written in place."""
    model, params = case
    whole = model.logits(params, EVERY)
    logits, memory = model.begin(params, len(EVERY))
    memory = model.with_room(memory, LENGTH) if in_place else memory
    torch.testing.assert_close(logits, whole[:, 0], rtol=0, atol=1e-10)
    at = 0
    for part in EVERY[:, :-1].split(parts, 1):
        logits, memory = model.extend(params, part, memory)
        at += part.shape[1]
        torch.testing.assert_close(logits, whole[:, at], rtol=0, atol=1e-10)


def test_a_memory_may_be_gone_on_with_twice(case):
    """One that grows: the second way on does not see the first."""
    model, params = case
    _, memory = model.begin(params, len(EVERY))
    first = model.extend(params, EVERY[:, :2], memory)[0]
    second = model.extend(params, EVERY.flip(0)[:, :2], memory)[0]
    torch.testing.assert_close(second, first.flip(0))
    assert torch.equal(model.extend(params, EVERY[:, :2], memory)[0], first)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("name", MODELS)
def test_the_size_of_a_memory_is_the_formulas(name, dtype):
    """Keys and values of each layer and position, or the states of each layer."""
    model = MODELS[name]
    params, n, numbers = model.init(KEY, dtype), 5, {"lstm": 2}.get(name, 1)
    _, memory = model.begin(params, n)
    for t in range(1, LENGTH + 1):
        expected = 2 * 2 * n * t * 8 if name in ("pre", "post", "learned") else numbers * 2 * n * 8
        assert memory_bytes(memory) == expected * dtype.itemsize
        if t < LENGTH:
            _, memory = model.extend(params, EVERY[:n, :1], memory)


def test_equal_logits_have_the_perplexity_of_the_alphabet():
    model = transformer.build(SYMBOLS, 8, 1, 2, LENGTH, tied=False)
    params = model.init(KEY, DOUBLE)
    params["output"] = pytree.tree_map(torch.zeros_like, params["output"])
    torch.testing.assert_close(model.log_probs(params, EVERY), torch.full(EVERY.shape, -math.log(3), dtype=DOUBLE))


def test_a_tied_embedding_has_the_gradient_of_both_uses():
    model = transformer.build(SYMBOLS, 8, 1, 2, LENGTH)
    untied = transformer.build(SYMBOLS, 8, 1, 2, LENGTH, tied=False)
    params = model.init(KEY, DOUBLE)
    apart = {**params, "output": {"weight": params["embedding"], "bias": torch.zeros(SYMBOLS, dtype=DOUBLE)}}
    tied = grad(lambda p: model.log_prob(p, EVERY).sum())(params)["embedding"]
    both = grad(lambda p: untied.log_prob(p, EVERY).sum())(apart)
    torch.testing.assert_close(tied, both["embedding"] + both["output"]["weight"])
    assert min(both["embedding"].abs().max(), both["output"]["weight"].abs().max()) > 1e-3


def test_a_tied_embedding_is_one_leaf_and_is_updated_once():
    """Listed twice, which torch warns of, its decay would be squared."""
    model = transformer.build(SYMBOLS, 8, 1, 2, LENGTH)
    params = model.init(KEY, DOUBLE)
    leaves = trees.leaves(params)
    assert len({leaf.data_ptr() for leaf in leaves}) == len(leaves)
    before = params["embedding"].clone()

    def decayed(leaves):
        adam = torch.optim.AdamW(leaves, lr=0.1, weight_decay=0.5)
        for leaf in leaves:
            leaf.grad = torch.zeros_like(leaf)
        adam.step()

    decayed(leaves)
    torch.testing.assert_close(params["embedding"], 0.95 * before)
    twice = before.clone()
    with pytest.warns(UserWarning, match="duplicate parameters"):
        decayed([twice, twice])
    torch.testing.assert_close(twice, 0.95**2 * before)


@dataclass(frozen=True)
class Pairs(Autoregressive):
    """A table of log p(symbol | the one before), whose last row is of the first."""

    symbols: int

    def init(self, key, dtype=torch.float32, /):
        embedding = torch.eye(self.symbols + 1, dtype=dtype)
        table = keys.normal(key, (self.symbols + 1, self.symbols), dtype).log_softmax(-1)
        return {"embedding": embedding[:-1], "start": embedding[-1], "table": table}

    def read(self, params, inputs, memory, key=None, /):
        return inputs, memory

    def output(self, params, features, /):
        return features @ params["table"]

    def check_params(self, params):
        assert set(params) == {"embedding", "start", "table"}


def test_targets_are_the_symbols_after_what_is_read():
    """A table of pairs by hand; without the shift each symbol would be scored by itself."""
    model = Pairs(SYMBOLS)
    params = model.init(KEY, DOUBLE)
    table, before = params["table"], torch.cat([torch.full((len(EVERY), 1), SYMBOLS), EVERY[:, :-1]], 1)
    torch.testing.assert_close(model.log_probs(params, EVERY), table[before, EVERY], rtol=0, atol=1e-14)
    assert (model.log_probs(params, EVERY) - table[EVERY, EVERY]).abs().max() > 0.1
    torch.testing.assert_close(model.log_prob(params, EVERY).logsumexp(0), torch.zeros((), dtype=DOUBLE))


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of torch's attention under vmap
@pytest.mark.parametrize("name", ["post", "lstm"])
def test_gradients_of_each_datum(name):
    """vmap(grad) over data and their keys is a loop over them."""
    model = {"post": transformer.build(SYMBOLS, 8, 1, 2, LENGTH, order="post", rate=0.2)}.get(
        name, recurrent.build(SYMBOLS, 8, 1, "lstm", rate=0.2)
    )
    params = model.init(KEY, DOUBLE)
    each = grad(lambda p, x, key: model.log_prob(p, x[None], key)[0])
    some, per = EVERY[::40], keys.split(KEY, 3)
    together = vmap(each, (None, 0, 0))(params, some, per)
    for i in range(3):
        for all_, one in zip(
            pytree.tree_leaves(together), pytree.tree_leaves(each(params, some[i], per[i])), strict=True
        ):
            torch.testing.assert_close(all_[i], one)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 0, dtype=torch.long), "expected x .* of a symbol or more, got none"),
        (torch.tensor([[0, 3]]), "expected x of symbols from 0 to 2, got from 0 to 3"),
        (torch.tensor([[0, -1]]), "expected x of symbols from 0 to 2, got from -1 to 0"),
        (torch.zeros(2, 5, dtype=torch.long), "expected x of 4 symbols, the context, or fewer, got 5"),
        (torch.zeros(2, 3), "expected x, whole numbers, got torch.float32"),
        (torch.zeros(3, dtype=torch.long), r"expected x \(n, t\), got \(3,\): one sequence is x\[None\]"),
    ],
)
def test_refusals(x, message):
    model = MODELS["pre"]
    with pytest.raises((TypeError, ValueError), match=message):
        model.logits(model.init(KEY), x)
