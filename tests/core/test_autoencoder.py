"""Autoencoders of codes: the step by hand, its routing table of gradients, and what a quantiser cannot start from."""

import math

import pytest
import torch
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.models.quantised import Fsq, GradientVq, ResidualVq, Vq, autoencoder, usage
from jensen.core.models.quantised.coded import CodeMap

KEY = keys.key(9)
X = keys.uniform(keys.key(10), (20, 6), torch.float64)
LINEAR = autoencoder.mlp(6, (), 2, 3, Vq(4, commitment=0.5))


def test_a_step_is_the_quantisers_around_the_networks():
    params, book = LINEAR.init(KEY, X)
    encoder, decoder = params["encoder"]["0"], params["decoder"]["0"]
    z = (X @ encoder["weight"].T + encoder["bias"]).reshape(20, 2, 3)
    codes = torch.cdist(z, book.vectors).argmin(-1)
    own = book.vectors[codes]
    mean = torch.sigmoid(own.reshape(20, 6) @ decoder["weight"].T + decoder["bias"])
    step = LINEAR.step(params, book, X, KEY)
    assert torch.equal(step.codes, codes)
    torch.testing.assert_close(step.terms.reconstruction, -(X - mean).square().sum(1) - 3 * math.log(math.pi))
    torch.testing.assert_close(step.terms.kl, torch.full((20,), 2 * math.log(4), dtype=X.dtype))
    torch.testing.assert_close(step.penalties["commitment"], 0.5 * (z - own).square().sum((1, 2)))
    torch.testing.assert_close(step.terms.penalty, step.penalties["commitment"])
    assert torch.equal(LINEAR.codes(params, book, X), codes)
    torch.testing.assert_close(LINEAR.decode_codes(params, book, codes), mean)


def slopes(model, params, state, term):
    """The gradient of a term of a step in every parameter, by its network."""

    def f(params):
        step = model.step(params, state, X, KEY)
        return (step.terms.reconstruction if term == "reconstruction" else step.penalties[term]).sum()

    return grad(f)(params)


def test_the_routing_table_of_gradients():
    """The decoder has the reconstruction's gradient alone.

    The encoder has the one at the codes' vectors, straight through, and that of the commitment; vectors that follow a
    gradient have that of the codebook's term alone.
    """
    model = autoencoder.mlp(6, (), 2, 3, GradientVq(4))
    params, state = model.init(KEY, X)
    vectors = params["quantiser"]["vectors"]
    z = model.encode(params["encoder"], X)
    codes = torch.cdist(z, vectors).argmin(-1)
    of_z = grad(lambda v: model.observation({}, model.decode(params["decoder"], v)).log_prob(X).sum())(vectors[codes])
    pulls = {"reconstruction": of_z, "commitment": 0.25 * 2 * (z - vectors[codes]), "codebook": torch.zeros_like(z)}
    for term, pull in pulls.items():
        found = slopes(model, params, state, term)
        weight = torch.einsum("npd,ni->pdi", pull, X).reshape(6, 6)  # d z / d weight is x
        torch.testing.assert_close(found["encoder"]["0"]["weight"], weight)
        assert found["decoder"]["0"]["weight"].any() == (term == "reconstruction")
        own = 2 * (torch.nn.functional.one_hot(codes, 4).to(z.dtype)[..., None] * (vectors - z[:, :, None])).sum((0, 1))
        torch.testing.assert_close(found["quantiser"]["vectors"], own if term == "codebook" else 0 * own)


def test_a_moving_codebook_has_no_gradient_and_moves_to_its_data():
    params, book = LINEAR.init(KEY, X)
    moved = LINEAR.step(params, book, X, KEY).state
    z = LINEAR.encode(params["encoder"], X).reshape(-1, 3)
    own = torch.cdist(z, book.vectors).argmin(-1)
    for code in range(4):
        nearest = z[own == code]
        share = len(nearest) / (40 / 4)
        sums = 0.99 * book.sums[code] + 0.01 * share * nearest.mean(0)
        torch.testing.assert_close(moved.vectors[code], sums / (0.99 * book.shares[code] + 0.01 * share))


def test_maps_say_what_codes_there_are():
    assert LINEAR.maps == (CodeMap((2,), 4),)
    assert autoencoder.conv((1, 8, 12), (2, 3), 3, Fsq((4, 4, 2))).maps == (CodeMap((2, 3), 32),)
    (levels,) = autoencoder.mlp(6, (), 2, 3, ResidualVq(Vq(4), 5)).maps
    assert (levels, levels.shape) == (CodeMap((2,), 4, 5), (2, 5))
    assert levels.bits == 2 * 5 * 2


def test_codes_that_lie_far_apart_are_their_own_codes_again():
    """A decoder that inverts its encoder gives back data of the same codes."""
    params, book = LINEAR.init(KEY, X)
    eye = torch.eye(6, dtype=X.dtype)
    params = trees.map(torch.zeros_like, params)
    params["encoder"]["0"]["weight"], params["decoder"]["0"]["weight"] = 4 * eye, eye
    params["encoder"]["0"]["bias"] += -2  # z = 4 x - 2, the sigmoid's inverse to first order
    book = book._replace(vectors=torch.tensor([[-1.0, -1, -1], [1, 1, 1], [-1, 1, -1], [1, -1, 1]], dtype=X.dtype))
    codes = keys.bits(KEY, (9, 2)) % 4
    assert torch.equal(LINEAR.codes(params, book, LINEAR.decode_codes(params, book, codes)), codes)


def test_the_use_of_codes_is_followed_by_hand():
    of = CodeMap((2,), 3)
    use = usage.start(of)
    assert use.used(5) == 0
    for codes in ([[0, 0], [1, 0]], [[1, 1], [1, 1]]):
        use = usage.follow(use, of, torch.tensor(codes), 2)
    share = torch.tensor([0.5 * 0.5 * 0.75, 0.5 * 0.5 * 0.25 + 0.5, 0.0])
    torch.testing.assert_close(use.shares, share[None])
    p = share[:2] / share.sum()
    torch.testing.assert_close(use.perplexity, torch.exp(-(p * p.log()).sum()))
    assert use.since.tolist() == [[1, 0, usage.NEVER + 2]]
    assert (use.used(1).item(), use.used(2).item()) == pytest.approx((1 / 3, 2 / 3))
    levels = usage.follow(usage.start(CodeMap((1,), 2, 2)), CodeMap((1,), 2, 2), torch.tensor([[[0, 1]], [[1, 1]]]), 1)
    assert levels.shares.tolist() == [[0.5, 0.5], [0.0, 1.0]]
    assert levels.perplexity.item() == pytest.approx(1.5)


def test_more_codes_than_vectors_are_refused_with_the_fix():
    with pytest.raises(ValueError, match="expected size, at most the 40 vectors of z, got 41: pass more data"):
        autoencoder.mlp(6, (), 2, 3, Vq(41)).init(KEY, X)
    with pytest.raises(ValueError, match="expected x of 4 distinct vectors or more, one for each centre, got 2"):
        LINEAR.init(KEY, X[:1].expand(9, 6))
    assert autoencoder.mlp(6, (), 2, 3, Vq(41, start="draw")).init(KEY, X)[1].vectors.shape == (41, 3)
