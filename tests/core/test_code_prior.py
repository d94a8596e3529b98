"""Priors of codes: sums over all codes, a chain by hand, and draws beside the probabilities that they are of."""

import itertools

import pytest
import torch
from torch.utils import _pytree as pytree

from jensen.core import keys
from jensen.core.models.autoregressive import codes, sampling
from jensen.core.models.autoregressive.codes import CodePrior
from jensen.core.models.quantised import CodeMap, Fsq, ResidualVq, Vq, two_maps

KEY = keys.key(0)
DOUBLE = torch.float64
MAPS = CodeMap((1,), 3), CodeMap((1, 2), 2, 2)  # a coarse code of three, and two positions with two levels of two each
PRIOR = codes.build(MAPS, features=8, layers=2, heads=2)
PLACES = [(0, 3), (3, 2), (5, 2), (3, 2), (5, 2)]  # the first symbol and how many, by hand
EVERY = torch.tensor(list(itertools.product(range(3), *[range(2)] * 4)))
CODES = EVERY[:, :1], EVERY[:, 1:].reshape(-1, 1, 2, 2)


def far(prior, key=KEY):
    """Parameters far from those of the start, where logits are nearly equal."""
    return pytree.tree_map(lambda t: t + 0.5 * keys.normal(key, t.shape, DOUBLE), prior.init(key, DOUBLE))


PARAMS = far(PRIOR)


class Unmasked(CodePrior):
    """The planted bug: every place has the symbols of all of them."""

    def _of_places(self, logits, place):
        return logits


class Shifted(CodePrior):
    """The planted bug: the alphabet of the place before."""

    def extend(self, params, x, memory, /):
        logits, after = super(CodePrior, self).extend(params, x, memory)
        return self._of_places(logits[:, None], after[0].length - 2)[:, 0], after


def total(prior):
    return prior.log_prob(PARAMS, prior.sequences(CODES)).exp().sum().item()


def test_probabilities_of_all_codes_sum_to_1():
    assert PRIOR.alphabets == PLACES
    assert (PRIOR.symbols, PRIOR.context) == (7, 5)
    assert total(PRIOR) == pytest.approx(1, abs=1e-12)
    assert PRIOR.log_prob(PARAMS, PRIOR.sequences(CODES)).std() > 0.1  # far from equal ones


def test_symbols_of_other_places_are_seen():
    """Unmasked, a part of the probability is of what is no code."""
    assert total(Unmasked(**vars(PRIOR))) < 0.9


@pytest.mark.parametrize("of", [PRIOR, codes.build([CodeMap((2, 3), 5)], 8, 1, 2)], ids=["two maps", "one"])
def test_codes_are_read_row_by_row_and_given_back(of):
    every = tuple(keys.bits(KEY, (4, *m.shape)) % m.size for m in of.maps)
    given = every if len(every) > 1 else every[0]
    x = of.sequences(given)
    back = of.codes(x)
    assert all(map(torch.equal, pytree.tree_leaves(given), pytree.tree_leaves(back)))
    if len(every) == 1:
        assert torch.equal(x, given.flatten(1))


def parts(prior):
    """Logits of each place by `begin` and `extend`, and those of the whole."""
    x = prior.sequences(CODES)
    logits, memory = prior.begin(PARAMS, len(x))
    found = [logits]
    for t in range(4):
        logits, memory = prior.extend(PARAMS, x[:, t : t + 1], memory)
        found.append(logits)
    return torch.stack(found, 1), prior.logits(PARAMS, x)


def test_reading_code_by_code_gives_the_logits_of_the_whole():
    found, whole = parts(PRIOR)
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-10)
    for place, (first, size) in enumerate(PLACES):
        assert whole[:, place].isfinite().all(0).nonzero()[:, 0].tolist() == list(range(first, first + size))
    wrong, _ = parts(Shifted(**vars(PRIOR)))
    assert not torch.equal(wrong.isfinite(), whole.isfinite())


def test_finer_codes_are_given_coarser_ones_and_not_the_other_way_round():
    """Another code of the finer map moves no logit of the coarser one; another of the coarser, all of the finer."""
    x = PRIOR.sequences(CODES)
    logits = PRIOR.logits(PARAMS, x)
    last = x.clone()
    last[:, 4] = 5 + (last[:, 4] - 4) % 2
    assert torch.equal(PRIOR.logits(PARAMS, last), logits)
    coarse = x.clone()
    coarse[:, 0] = (coarse[:, 0] + 1) % 3
    moved = (PRIOR.logits(PARAMS, coarse) - logits).nan_to_num().abs().amax((0, 2))
    assert moved[0] == 0
    assert (moved[1:] > 0).all()


def test_draws_have_the_frequencies_of_their_probabilities():
    """Pearson's statistic of 2,000 draws over the 48 codes: mean 47, deviation 9.7; above 90 once in 6,000."""
    top, rest = PRIOR.sample(PARAMS, KEY, 2000)
    place = top[:, 0] * 16 + (rest.flatten(1) * torch.tensor([8, 4, 2, 1])).sum(1)
    expected = 2000 * PRIOR.log_prob(PARAMS, PRIOR.sequences(CODES)).exp()
    counts = torch.bincount(place, minlength=48)
    assert ((counts - expected).square() / expected).sum() < 90
    assert torch.equal(PRIOR.sample(PARAMS, keys.at(KEY, datum=7), 1)[1][0], rest[7])


def test_a_prompt_is_the_coarse_map_that_is_known():
    """p(bottom | top) is drawn from as well: the rest after the top's codes."""
    top = torch.tensor([[2], [0]])
    drawn = sampling.draw(PRIOR, PARAMS, KEY, 2, 4, prompt=top)
    again = PRIOR.codes(torch.cat([top, drawn], 1))
    assert torch.equal(again[0], top)
    assert again[1].max() <= 1


def test_a_prior_of_a_model_with_two_maps_makes_data():
    x = keys.uniform(KEY, (12, 64))
    model = two_maps.conv((1, 8, 8), (2,), (2,), 2, Fsq((3, 4)), ResidualVq(Vq(3), 2))
    params, state = model.init(KEY, x)
    prior = codes.build(model.maps, 8, 1, 2)
    assert prior.context == 4 + 16 * 2
    assert prior.sequences(model.codes(params, state, x)).max() < prior.symbols == 12 + 2 * 3
    drawn = prior.sample(prior.init(KEY), KEY, 5, sampling.Choice(temperature=0.5))
    assert model.decode_codes(params, state, drawn).shape == (5, 64)


LABELLED = codes.build(MAPS, 8, 2, 2, classes=4)
OF_LABELLED = far(LABELLED)
LABELS = torch.arange(4).repeat_interleave(48)
ALL = LABELLED.sequences(tuple(part.repeat(4, *[1] * (part.ndim - 1)) for part in CODES), LABELS)


def test_with_labels_probabilities_sum_to_1_over_both_and_over_the_codes_of_each():
    assert LABELLED.alphabets == [(0, 4), *[(first + 4, size) for first, size in PLACES]]
    joint = LABELLED.log_prob(OF_LABELLED, ALL)
    assert joint.exp().sum().item() == pytest.approx(1, abs=1e-12)
    given = LABELLED.log_prob_of_codes(OF_LABELLED, ALL)
    torch.testing.assert_close(given.exp().unflatten(0, (4, 48)).sum(1), torch.ones(4, dtype=DOUBLE))
    marginal = joint.unflatten(0, (4, 48)).logsumexp(1)
    torch.testing.assert_close(joint, given + marginal[LABELS])
    assert torch.equal(PRIOR.log_prob_of_codes(PARAMS, EVERY_SYMBOL), PRIOR.log_prob(PARAMS, EVERY_SYMBOL))
    back = LABELLED.codes(ALL)
    assert torch.equal(back[1][:48], CODES[1])


EVERY_SYMBOL = PRIOR.sequences(CODES)


def test_labels_of_codes_are_by_bayes_rule_whatever_label_they_came_with():
    joint = LABELLED.log_prob(OF_LABELLED, ALL).unflatten(0, (4, 48))
    expected = (joint - joint.logsumexp(0)).T
    found = LABELLED.log_prob_of_labels(OF_LABELLED, ALL)
    torch.testing.assert_close(found, expected.repeat(4, 1))
    conditional = (
        LABELLED.log_prob_of_codes(OF_LABELLED, ALL).unflatten(0, (4, 48)).T
    )  # without p(label), a planted bug
    assert (conditional.log_softmax(-1) - expected).abs().max() > 1e-3


def test_draws_of_a_label_have_the_frequencies_of_their_probabilities_given_it():
    """Pearson's statistic as above, of class 2 alone; and other classes have others."""
    top, rest = LABELLED.sample(OF_LABELLED, KEY, 2000, labels=torch.full((2000,), 2))
    place = top[:, 0] * 16 + (rest.flatten(1) * torch.tensor([8, 4, 2, 1])).sum(1)
    counts = torch.bincount(place, minlength=48)
    each = 2000 * LABELLED.log_prob_of_codes(OF_LABELLED, ALL).exp().unflatten(0, (4, 48))
    statistics = ((counts - each).square() / each).sum(1)
    assert statistics[2] < 90
    assert statistics[[0, 1, 3]].min() > 120
    free = LABELLED.sample(OF_LABELLED, KEY, 5)  # whose labels are drawn
    assert free[1].shape == (5, 1, 2, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: codes.build(()), "expected maps, one or more"),
        (lambda: codes.build(MAPS, classes=1), "expected classes of 2 or more, or 0 for no label, got 1"),
        (lambda: LABELLED.sequences(CODES), "expected labels of 4 classes, got None: pass one for each datum"),
        (lambda: LABELLED.sequences(CODES, LABELS), r"expected labels \(48,\), got"),
        (lambda: LABELLED.sequences(CODES, LABELS[:48] + 4), "expected labels from 0 to 3, got from 4 to 4"),
        (lambda: PRIOR.sequences(CODES, LABELS[:48]), "expected labels None of a prior without classes"),
        (lambda: PRIOR.log_prob_of_labels(PARAMS, EVERY_SYMBOL), "expected a prior with classes, got one without"),
        (lambda: LABELLED.sample(OF_LABELLED, KEY, 3, labels=LABELS[:2]), r"expected labels \(3,\), got"),
        (lambda: codes.build((3,)), "expected maps, a CodeMap, got"),
        (lambda: codes.build(MAPS, 8, 1, 3), "expected heads that divide the 8 features, got 3"),
        (lambda: codes.build((CodeMap((2,), 1),)), "expected symbols of the maps, a whole number >= 2, got 1"),
        (lambda: PRIOR.sequences(CODES[0]), "expected codes of 2 maps, got 1: pass those of the prior's model"),
        (lambda: PRIOR.sequences(CODES[::-1]), r"expected codes \(n, 1\)"),
        (lambda: PRIOR.sequences((CODES[0] + 1, CODES[1])), "expected codes from 0 to size - 1 = 2, got 3"),
        (lambda: PRIOR.sequences((CODES[0] - 1, CODES[1])), "expected codes from 0 to size - 1 = 2, got -1"),
        (lambda: PRIOR.codes(EVERY[:, :4]), r"expected x \(n, 5\), a symbol for each place, got \(48, 4\)"),
        (lambda: PRIOR.codes(EVERY.float()), "expected x, whole numbers, got torch.float32"),
        (lambda: PRIOR.log_prob(PARAMS, EVERY + 6), "expected x of symbols from 0 to 6, got from 6 to 8"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
