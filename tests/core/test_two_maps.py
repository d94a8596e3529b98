"""VQ-VAE-2: which network has which term's gradient, shapes of both maps, and each map's part in what is decoded."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.models.quantised import Fsq, GradientVq, ResidualVq, Vq, two_maps
from jensen.core.models.quantised.two_maps import Codes

KEY = keys.key(11)
X = keys.uniform(keys.key(12), (12, 64))
MODEL = two_maps.conv((1, 8, 8), (4,), (5,), 3, GradientVq(6), GradientVq(7), torch.tanh)
ENCODERS = {"bottom_encoder", "top_encoder"}
ABOVE = {"top_decoder", "join"}  # what conditions the bottom map on the top one
VECTORS = {"quantisers.top", "quantisers.bottom"}
ROUTES = {  # what each term of a step has a gradient in
    "reconstruction": ENCODERS | ABOVE | {"decoder"},
    "codebook/top": {"quantisers.top"},
    "codebook/bottom": {"quantisers.bottom"},
    "commitment/top": ENCODERS,
    "commitment/bottom": ENCODERS | ABOVE,
    "kl": set(),
}


def routes(model, params, state, term):
    """The networks and codebooks that a term has a gradient in."""

    def f(params):
        step = model.step(params, state, X, KEY)
        return (step.penalties[term] if term in step.penalties else getattr(step.terms, term)).sum()

    slopes = grad(f)(params)
    parts = {**slopes, **{f"quantisers.{name}": own for name, own in slopes["quantisers"].items()}}
    return {name for name, own in parts.items() if name != "quantisers" and any(t.any() for t in trees.leaves(own))}


@pytest.mark.parametrize("term", ROUTES)
def test_the_routing_table_of_gradients(term):
    """The bottom's commitment reaches the top's encoder, straight through the codes that the bottom is given."""
    assert routes(MODEL, *MODEL.init(KEY, X), term) == ROUTES[term]


def test_a_codebook_that_the_reconstruction_moves_is_seen():
    """The planted bug: vectors that are not detached where they replace z."""

    class Attached(GradientVq):
        def quantise(self, params, state, z, key, /):
            q = super().quantise(params, state, z, key)
            return q._replace(z=q.z + params["vectors"][q.codes] - params["vectors"][q.codes].detach())

    model = two_maps.conv((1, 8, 8), (4,), (5,), 3, Attached(6), GradientVq(7), torch.tanh)
    found = routes(model, *model.init(KEY, X), "reconstruction")
    assert found - ROUTES["reconstruction"] == {"quantisers.top"}


def test_the_bottom_map_is_conditioned_on_the_top_one():
    """Other top codes change the bottom ones of the same data; the other way round nothing changes."""
    params, state = MODEL.init(KEY, X)
    codes = MODEL.codes(params, state, X)

    def with_vectors(name, change):
        own = {name: {"vectors": change(params["quantisers"][name]["vectors"])}}
        return MODEL.codes({**params, "quantisers": {**params["quantisers"], **own}}, state, X)

    above = with_vectors("top", lambda vectors: -3 * vectors.roll(1, 0))
    assert not torch.equal(above.bottom, codes.bottom)
    below = with_vectors("bottom", lambda vectors: vectors.roll(1, 0))
    assert torch.equal(below.top, codes.top)
    assert torch.equal(below.bottom, (codes.bottom + 1) % 7)


@settings(max_examples=max(6, settings().max_examples // 8))
@given(
    channels=st.integers(1, 2), levels=st.integers(1, 2), above=st.integers(1, 2), tall=st.integers(1, 2),
    wide=st.integers(1, 3), n=st.integers(2, 3),
)  # fmt: skip
def test_maps_are_of_the_halved_sides(channels, levels, above, tall, wide, n):
    """Codes (n, h, w) with h = H / 2^levels below and H / 2^(levels + above) above, and a datum of every pixel back."""
    factor = 2 ** (levels + above)
    image = channels, factor * tall, factor * wide
    model = two_maps.conv(image, (2,) * levels, (2,) * above, 2, Fsq((3, 2)), ResidualVq(Vq(3, start="draw"), 2))
    x = keys.uniform(KEY, (n, model.data))
    params, state = model.init(KEY, x)
    codes = model.codes(params, state, x)
    assert codes.top.shape == (n, tall, wide)
    assert codes.bottom.shape == (n, tall << above, wide << above, 2)
    assert [of.shape for of in model.maps] == [tuple(own.shape[1:]) for own in codes]
    assert model.decode_codes(params, state, codes).shape == x.shape


def test_codes_of_one_map_are_refused_with_the_fix():
    params, state = MODEL.init(KEY, X)
    top, _ = MODEL.codes(params, state, X)
    with pytest.raises(
        TypeError, match=r"expected codes, those of two maps, got a tensor .*: pass Codes\(top, bottom\)"
    ):
        MODEL.decode_codes(params, state, top)
    with pytest.raises(ValueError, match=r"expected codes.bottom \(n, 4, 4\), got \(12, 2, 2\)"):
        MODEL.decode_codes(params, state, Codes(top, top))
    with pytest.raises(ValueError, match="expected above of fewer levels"):
        two_maps.conv((1, 8, 8), (4,), (5, 5, 5), 3, Vq(6), Vq(7))
