"""Draws of sequences: exact probabilities of all sequences, and the filters' definitions, as oracles."""

import itertools
import math

import pytest
import torch
from scipy import stats
from torch.utils import _pytree as pytree

from jensen.core import keys
from jensen.core.models.autoregressive import recurrent, sampling, transformer
from jensen.core.models.autoregressive.sampling import Choice

KEY = keys.key(0)
DOUBLE = torch.float64
SYMBOLS, LENGTH = 3, 3
EVERY = torch.tensor(list(itertools.product(range(SYMBOLS), repeat=LENGTH)))
MODELS = {
    "transformer": transformer.build(SYMBOLS, 8, 1, 2, LENGTH + 1),
    "gru": recurrent.build(SYMBOLS, 8, 1, "gru"),
}


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    model = MODELS[request.param]
    return model, pytree.tree_map(lambda t: t + keys.normal(KEY, t.shape, DOUBLE), model.init(KEY, DOUBLE))


def p_value(drawn, p):
    """Of a chi-square test of sequences against probabilities of all 27, rare ones together."""
    counts = torch.bincount((drawn * torch.tensor([9, 3, 1])).sum(1), minlength=27).double()
    expected = len(drawn) * p
    rare = expected < 10
    groups = [torch.cat([t[~rare], t[rare].sum()[None]]) for t in (counts, expected)]
    return stats.chisquare(*groups).pvalue


def test_draws_have_the_models_probabilities(case):
    """At level 1e-4, which draws at a temperature of 0.9 fail."""
    model, params = case
    p = model.log_prob(params, EVERY).exp()
    assert p_value(sampling.draw(model, params, KEY, 20_000, LENGTH), p) > 1e-4
    assert p_value(sampling.draw(model, params, KEY, 20_000, LENGTH, choice=Choice(temperature=0.9)), p) < 1e-4


def test_a_sequence_alone_is_that_in_a_batch(case):
    model, params = case
    prompt = torch.tensor([[0], [2], [1]])
    together = sampling.draw(model, params, KEY, 3, LENGTH, prompt)
    for i in range(3):
        alone = sampling.draw(model, params, keys.at(KEY, datum=i), 1, LENGTH, prompt[i : i + 1])
        assert torch.equal(alone[0], together[i])
    assert not torch.equal(together, sampling.draw(model, params, keys.fold_in(KEY, 1), 3, LENGTH, prompt))


def test_how_much_noise_is_drawn_at_once_changes_no_symbol(case, monkeypatch):
    model, params = case
    together = sampling.draw(model, params, KEY, 5, LENGTH)
    for some in (1, 2 * 5 * SYMBOLS):
        monkeypatch.setattr(sampling, "NOISE", some)
        assert torch.equal(sampling.draw(model, params, KEY, 5, LENGTH), together)


def test_a_prompt_is_gone_on_with_as_if_it_had_been_drawn(case):
    """The noise is of a symbol's place in the sequence, wherever the prompt ends."""
    model, params = case
    whole = sampling.draw(model, params, KEY, 4, LENGTH)
    assert torch.equal(sampling.draw(model, params, KEY, 4, LENGTH - 1, whole[:, :1]), whole[:, 1:])


def test_temperature_0_is_the_likeliest_symbol_at_each_step(case):
    model, params = case
    x = sampling.draw(model, params, KEY, 2, LENGTH, choice=Choice(temperature=0.0))
    assert torch.equal(model.logits(params, x).argmax(-1), x)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_filters_are_their_definitions(temperature):
    logits = keys.normal(KEY, (200, 7), DOUBLE)
    p = (logits / temperature).softmax(-1)

    def left(**settings):
        return Choice(temperature, **settings)(logits) > -math.inf

    assert (left(top_k=3).sum(-1) == 3).all()
    assert (p.where(left(top_k=3), 2.0).amin(-1) >= p.where(~left(top_k=3), 0.0).amax(-1)).all()
    nucleus = left(nucleus=0.6)
    mass = p.where(nucleus, 0.0).sum(-1)
    assert (mass >= 0.6).all()
    assert (mass - p.where(nucleus, 2.0).amin(-1) < 0.6).all()  # without the rarest it would be less
    assert torch.equal(left(min_p=0.3), p >= 0.3 * p.amax(-1, keepdim=True))
    both = left(top_k=3, min_p=0.3)
    assert torch.equal(both, left(top_k=3) & left(min_p=0.3))
    torch.testing.assert_close(Choice(temperature)(logits).softmax(-1), p)


def test_extremes_leave_the_likeliest():
    logits = keys.normal(KEY, (50, 7), DOUBLE)
    for choice in (Choice(top_k=1), Choice(nucleus=1e-9), Choice(min_p=1.0), Choice(temperature=0.0)):
        kept = choice(logits) > -math.inf
        assert torch.equal(kept.int().argmax(-1), logits.argmax(-1))
        assert (kept.sum(-1) == 1).all()
    assert (Choice(top_k=99, nucleus=1.0, min_p=0.0)(logits) > -math.inf).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, p: sampling.draw(m, p, KEY, 1, 5), "at most 4 symbols together, the context, got 0 and 5"),
        (lambda m, p: sampling.draw(m, p, KEY, 2, 1, torch.tensor([[0]])), r"expected prompt \(2, p\), one row per"),
        (lambda m, p: sampling.draw(m, p, KEY, 1, 1, torch.tensor([[9]])), "expected prompt of symbols from 0 to 2"),
        (lambda m, p: sampling.draw(m, p, KEY, 1, 1, torch.zeros(1, 0, dtype=torch.long)), "the text is empty"),
        (lambda m, p: Choice(temperature=-1.0), r"expected temperature in \[0, inf\), got -1.0"),
        (lambda m, p: Choice(top_k=0), "expected top_k, a whole number >= 1, got 0"),
        (lambda m, p: Choice(nucleus=0.0), r"expected nucleus in \(0, 1\], got 0.0"),
        (lambda m, p: Choice(min_p=1.5), r"expected min_p in \[0, 1\], got 1.5"),
    ],
)
def test_refusals(call, message):
    model = MODELS["transformer"]
    with pytest.raises((TypeError, ValueError), match=message):
        call(model, model.init(KEY))
