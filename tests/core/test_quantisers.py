"""What quantisers have in common beside their laws: objectives, saved states, half precision, projections, usage."""

import math

import pytest
import safetensors.torch
import torch

from jensen import laws
from jensen.core import keys, trees
from jensen.core.models.quantised import NAMES, Fsq, Lfq, Projected, ResidualVq, Vq, parse, usage
from jensen.core.models.quantised.codebook import Codebook
from jensen.laws import instances

KEY = keys.key(8)
VECTORS = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [9.0, 9.0]])
BOOK = Codebook(VECTORS, torch.full((4,), 2.0), 2 * VECTORS)
Z = torch.tensor([[[0.5, -0.5], [3.0, 0.5]], [[0.0, 3.0], [5.0, 0.0]], [[1.0, 1.0], [2.5, 0.0]]])
CODES = torch.tensor([[0, 1], [2, 1], [0, 1]])  # by hand: the last code is nearest to nothing
SLOPE = torch.linspace(-1, 2, 12).reshape(3, 2, 2)


def test_the_objective_is_its_terms():
    reconstruction = torch.tensor([-3.0, -5.0, -4.0])
    terms = Vq(4).quantise({}, BOOK, Z, KEY).objective(reconstruction)
    torch.testing.assert_close(terms.kl, torch.full((3,), 2 * math.log(4)))
    torch.testing.assert_close(terms.penalty, 0.25 * torch.tensor([1.75, 2.0, 4.25]))
    laws.terms_sum(terms.objective, [terms.reconstruction, -terms.kl, -terms.penalty])
    with pytest.raises(ValueError, match=r"expected a reconstruction \(3,\), one per datum, got \(6,\)"):
        Vq(4).quantise({}, BOOK, Z, KEY).objective(torch.zeros(6))


def test_projections_are_linear_maps_around_a_quantiser():
    z = keys.normal(KEY, (5, 2, 7))
    quantiser = Projected(Fsq((4, 5)), 2)
    params, state = quantiser.init(KEY, z)
    down, up = params["down"], params["up"]
    inner = Fsq((4, 5)).quantise({}, {}, z @ down["weight"].T + down["bias"], KEY)
    q = quantiser.quantise(params, state, z, KEY)
    assert torch.equal(q.codes, inner.codes)
    torch.testing.assert_close(q.z, inner.z @ up["weight"].T + up["bias"])


def test_quantisers_have_names():
    assert parse("fsq(8, 5, 5)") == Fsq((8, 5, 5))
    assert parse("vq(512, path=rotation)") == Vq(512, path="rotation")
    assert parse("residual-vq(16, 4)") == ResidualVq(Vq(16), 4)
    assert parse("lfq(9, diversity=1)") == Lfq(9, diversity=1)
    assert "fsq(levels...)" in NAMES
    with pytest.raises(ValueError, match=r"unknown quantiser 'fsqq' \(the nearest is 'fsq'\)"):
        parse("fsqq(8)")


def test_perplexity_and_use_by_hand():
    assert usage.perplexity(CODES, 4).item() == pytest.approx(
        math.exp(-sum(p * math.log(p) for p in (2 / 6, 3 / 6, 1 / 6)))
    )
    assert usage.perplexity(torch.arange(8), 8).item() == pytest.approx(8)
    assert usage.perplexity(torch.zeros(5, dtype=torch.int64), 8).item() == 1
    assert usage.used(CODES, 4).item() == 0.75


@pytest.mark.parametrize("name", instances.QUANTISERS)
def test_a_step_from_a_saved_state_is_bitwise_the_same(name):
    quantiser, z = instances.QUANTISERS[name], instances.EXAMPLES[name]
    start = quantiser.init(KEY, z)
    stored = {path: t.clone() for path, t in trees.paths(start).items()}
    loaded = trees.from_paths(safetensors.torch.load(safetensors.torch.save(stored)), start)
    steps = [quantiser.quantise(params, state, z, KEY) for params, state in (start, loaded)]
    for one, other in zip(*map(trees.leaves, steps), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", instances.QUANTISERS)
def test_half_precision_is_quantised_in_single(name, dtype):
    """The codes and terms of z in half precision are those of the same z in single, and vectors are of z's type."""
    quantiser, z = instances.QUANTISERS[name], 30 * instances.EXAMPLES[name].to(dtype)
    params, state = quantiser.init(KEY, z.float())
    if name == "Projected":  # linear layers are of the type of z
        params = trees.map(lambda t: t.to(dtype), params)
        assert quantiser.quantise(params, state, z, KEY).z.dtype == dtype
        return
    half, single = (quantiser.quantise(params, state, each, KEY) for each in (z, z.float()))
    assert torch.equal(half.codes, single.codes)
    assert torch.equal(half.codes, quantiser.encode(params, state, z)) or name == "GumbelVq"
    assert torch.equal(half.z, single.z.to(dtype))
    for term in single.terms:
        torch.testing.assert_close(half.terms[term], single.terms[term], rtol=1e-5, atol=1e-5)
