from itertools import product

import pytest
import torch
from torch.func import grad

from jensen.core import keys
from jensen.core.models.quantised import Fsq, Lfq

KEY = keys.key(8)
LEVELS = (2, 3, 4, 5, 8)


def test_finite_scalars_have_as_many_values_as_levels_equally_spaced():
    """Of even levels too: tanh(z) (L - 1) / 2 rounded to whole numbers has L - 1 values."""
    z = torch.linspace(-8, 8, 2001, dtype=torch.float64)[:, None]
    for level in LEVELS:
        quantiser = Fsq((level,))
        values = quantiser.quantise({}, {}, z, KEY).z.unique()
        torch.testing.assert_close(values, torch.linspace(-1, 1, level, dtype=torch.float64))
        assert quantiser.encode({}, {}, z).unique().tolist() == list(range(level))
    assert len((1.5 * torch.tanh(z)).round().unique()) == 3


def test_codes_of_finite_scalars_are_one_to_one():
    quantiser = Fsq(LEVELS)
    codes = torch.arange(quantiser.size)
    values = quantiser.decode({}, {}, codes)
    grid = product(*(torch.linspace(-1, 1, level).tolist() for level in reversed(LEVELS)))
    torch.testing.assert_close(values, torch.tensor([digits[::-1] for digits in grid]))  # the lowest digit first
    assert torch.equal(quantiser.encode({}, {}, torch.atanh(0.999 * values)), codes)
    torch.testing.assert_close(quantiser.quantise({}, {}, torch.atanh(0.999 * values), KEY).z, values)


def test_the_gradient_of_a_rounding_is_that_of_tanh():
    z = keys.normal(KEY, (6, 2, 3), torch.float64)
    found = grad(lambda z: Fsq((4, 5, 2)).quantise({}, {}, z, KEY).z.sum())(z)
    torch.testing.assert_close(found, 1 - torch.tanh(z).square())


def test_lookup_free_codes_are_sign_bits():
    z = torch.tensor([[-0.5, 2.0, 0.1], [3.0, -1.0, -2.0], [0.0, 0.0, 1e-9]])
    q = Lfq(3).quantise({}, {}, z, KEY)
    assert q.codes.tolist() == [0b110, 0b001, 0b100]
    assert torch.equal(q.z, torch.tensor([[-1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, -1.0, 1.0]]))
    assert Lfq(3).decode({}, {}, torch.arange(8)).unique(dim=0).shape == (8, 3)


@pytest.mark.parametrize("groups", [1, 2])
def test_entropies_of_lookup_free_codes_are_those_of_all_codes(groups):
    z = keys.normal(KEY, (7, 2, 4), torch.float64)
    quantiser = Lfq(4, commitment=0.5, entropy=0.3, diversity=0.7, temperature=1.7, groups=groups)
    signs = torch.tensor(list(product((-1.0, 1.0), repeat=4 // groups)), dtype=z.dtype)

    def masses(part):
        return torch.softmax(-(part[..., None, :] - signs).square().sum(-1) / 1.7, -1)

    def entropy(p):
        return -(p * p.log()).sum(-1)

    def diversity(z):
        """The entropy of the mean over all 14 vectors, of each group, for a datum's 2 positions."""
        return 2 * sum(entropy(masses(part).mean((0, 1))) for part in z.chunk(groups, -1))

    terms = quantiser.quantise({}, {}, z, KEY).terms
    each = sum(entropy(masses(part)) for part in z.chunk(groups, -1))
    torch.testing.assert_close(terms["entropy"], 0.3 * each.sum(1))
    torch.testing.assert_close(terms["diversity"].mean(), -0.7 * diversity(z))
    torch.testing.assert_close(terms["commitment"], 0.5 * (z - z.sign()).square().sum((1, 2)))
    found = grad(lambda z: quantiser.quantise({}, {}, z, KEY).terms["diversity"].mean())(z)
    torch.testing.assert_close(found, grad(lambda z: -0.7 * diversity(z))(z))
