"""What is peculiar to each quantiser, by hand; what all have in common is in `jensen.laws.quantisers`."""

import math
from dataclasses import replace
from itertools import pairwise, product

import pytest
import safetensors.torch
import torch
from torch.func import grad

from jensen import laws
from jensen.core import keys, trees
from jensen.core.models.quantised import Fsq, GumbelVq, Lfq, Projected, ResidualVq, SoftVq, Vq, usage
from jensen.core.models.quantised.codebook import Codebook
from jensen.laws import instances

KEY = keys.key(8)
VECTORS = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [9.0, 9.0]])
BOOK = Codebook(VECTORS, torch.full((4,), 2.0), 2 * VECTORS)
Z = torch.tensor([[[0.5, -0.5], [3.0, 0.5]], [[0.0, 3.0], [5.0, 0.0]], [[1.0, 1.0], [2.5, 0.0]]])
CODES = torch.tensor([[0, 1], [2, 1], [0, 1]])  # by hand: the last code is nearest to nothing
SLOPE = torch.linspace(-1, 2, 12).reshape(3, 2, 2)


def test_vectors_go_to_their_nearest_codes():
    q = Vq(4, commitment=0.5).quantise({}, BOOK, Z, KEY)
    assert torch.equal(q.codes, CODES)
    torch.testing.assert_close(q.z, VECTORS[CODES])
    torch.testing.assert_close(q.terms["commitment"], 0.5 * torch.tensor([0.5 + 1.25, 1.0 + 1.0, 2.0 + 2.25]))
    torch.testing.assert_close(q.kl, torch.full((3,), 2 * math.log(4)))


def slopes(output):
    """The gradients of what a Vq gives in z and in each tensor of its state."""

    def f(z, book):
        q = Vq(4, commitment=0.5, decay=0.75).quantise({}, book, z, KEY)
        outputs = {"z": (q.z * SLOPE).sum(), "commitment": q.terms["commitment"].sum(), "kl": q.kl.sum()}
        state = sum(t.sum() for t in q.state)
        return {**outputs, "state": state}[output]

    z, book = grad(f, (0, 1))(Z, BOOK)
    return {"z": z, **book._asdict()}


def test_the_routing_table_of_gradients():
    """z has the reconstruction's, straight through, and the commitment's; the codebook has none of either."""
    nothing = {"z": torch.zeros_like(Z), **{name: torch.zeros_like(t) for name, t in BOOK._asdict().items()}}
    table = {"z": nothing | {"z": SLOPE}, "commitment": nothing | {"z": 2 * 0.5 * (Z - VECTORS[CODES])}, "kl": nothing}
    for output, expected in table.items():
        for name, slope in slopes(output).items():
            torch.testing.assert_close(slope, expected[name], msg=f"{output} in {name}")
    assert not slopes("state")["z"].any()


def test_the_objective_is_its_terms():
    reconstruction = torch.tensor([-3.0, -5.0, -4.0])
    terms = Vq(4).quantise({}, BOOK, Z, KEY).objective(reconstruction)
    torch.testing.assert_close(terms.kl, torch.full((3,), 2 * math.log(4)))
    torch.testing.assert_close(terms.penalty, 0.25 * torch.tensor([1.75, 2.0, 4.25]))
    laws.terms_sum(terms.objective, [terms.reconstruction, -terms.kl, -terms.penalty])
    with pytest.raises(ValueError, match=r"expected a reconstruction \(3,\), one per datum, got \(6,\)"):
        Vq(4).quantise({}, BOOK, Z, KEY).objective(torch.zeros(6))


def test_a_step_updates_and_resets_the_codebook():
    counts = torch.tensor([2.0, 2.0, 2.0, 1e-3])
    book = Codebook(VECTORS, counts, VECTORS * counts[:, None])
    moved = Vq(4, decay=0.75).quantise({}, book, Z, KEY).state
    torch.testing.assert_close(moved.counts, torch.tensor([2.0, 2.25, 1.75, 1.5]))  # 6 vectors, 4 codes: 1.5 each
    assert (moved.vectors[3] == Z).all(-1).any()
    torch.testing.assert_close(moved.sums[3], 1.5 * moved.vectors[3])
    kept = Vq(4, decay=0.75, least=0.0).quantise({}, book, Z, KEY).state
    torch.testing.assert_close(kept.vectors[3], VECTORS[3])


def test_levels_of_residuals_are_coded_one_after_the_other():
    z = keys.normal(KEY, (40, 3, 2), torch.float64)
    quantiser = ResidualVq(Vq(5), 4)
    _, books = quantiser.init(KEY, z)
    q = quantiser.quantise({}, books, z, KEY)
    rest, commitment, pull = z, 0.0, 0.0
    for level, book in enumerate(books):
        nearest = torch.cdist(rest, book.vectors).argmin(-1)
        assert torch.equal(q.codes[..., level], nearest)
        rest = rest - book.vectors[nearest]
        commitment, pull = commitment + 0.25 * rest.square().sum((1, 2)), pull + 2 * 0.25 * rest
    torch.testing.assert_close(q.terms["commitment"], commitment)
    commitments = grad(lambda z: quantiser.quantise({}, books, z, KEY).terms["commitment"].sum())
    torch.testing.assert_close(commitments(z), pull)
    slope = torch.linspace(-1, 2, z.numel(), dtype=z.dtype).reshape(z.shape)
    assert torch.equal(grad(lambda z: (quantiser.quantise({}, books, z, KEY).z * slope).sum())(z), slope)  # and once
    errors = [(z - quantiser.decode({}, books, q.codes[..., :depth])).square().mean().item() for depth in range(1, 5)]
    assert all(more < 0.7 * fewer for fewer, more in pairwise(errors))


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


def soft(temperature, z=None, size=6):
    z = keys.normal(KEY, (9, 2, 3), torch.float64) if z is None else z
    quantiser = SoftVq(size, temperature)
    params, state = quantiser.init(KEY, z)
    return quantiser.quantise(params, state, z, KEY).z, quantiser, params, z


def test_soft_quantisation_tends_to_the_nearest_vectors_and_to_their_mean():
    gaps = []
    for temperature in (1.0, 0.1, 0.01, 1e-4):
        means, quantiser, params, z = soft(temperature)
        gaps.append((means - quantiser.decode(params, {}, quantiser.encode(params, {}, z))).abs().max().item())
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-6 < gaps[0]
    means, _, params, z = soft(1e9)
    torch.testing.assert_close(means, params["vectors"].mean(0).expand_as(z), rtol=1e-6, atol=1e-6)


def test_drawn_codes_have_the_mean_and_the_kl_of_their_masses():
    z = keys.normal(KEY, (2, 2, 3), torch.float64)
    quantiser = GumbelVq(4, 0.5)
    params, _ = quantiser.init(KEY, z)
    p = torch.softmax(-(z[..., None, :] - params["vectors"]).square().sum(-1), -1)
    drawn = torch.stack(
        [
            quantiser.quantise(
                params,
                {},
                z,
                key,
            ).z
            for key in keys.split(KEY, 800)
        ]
    )
    laws.mean_is(drawn, p @ params["vectors"])
    q = quantiser.quantise(params, {}, z, KEY)
    torch.testing.assert_close(q.kl, (p * (p * 4).log()).sum((1, 2)))
    torch.testing.assert_close(q.z, quantiser.decode(params, {}, q.codes))


def test_drawn_codes_have_the_gradient_of_the_relaxed_ones():
    z = keys.normal(KEY, (2, 2, 3), torch.float64)
    params, _ = GumbelVq(4).init(KEY, z)

    def relaxed(z, vectors, temperature):
        logits = -(z[..., None, :] - vectors).square().sum(-1)
        gumbel = -torch.log(-torch.log1p(-keys.uniform(KEY, (1, 2, 2, 4), z.dtype)[0]))
        return torch.softmax((logits + gumbel) / temperature, -1) @ params["vectors"]

    for temperature in (2.0, torch.tensor(0.3)):
        quantiser = replace(GumbelVq(4), temperature=temperature)
        found = grad(lambda z, quantiser=quantiser: quantiser.quantise(params, {}, z, KEY).z.sin().sum())(z)
        weight = quantiser.quantise(params, {}, z, KEY).z.cos()
        exact = grad(lambda z, t=temperature, w=weight: (relaxed(z, params["vectors"], t) * w).sum())(z)
        torch.testing.assert_close(found, exact)


def test_projections_are_linear_maps_around_a_quantiser():
    z = keys.normal(KEY, (5, 2, 7))
    quantiser = Projected(Fsq((4, 5)), 2)
    params, state = quantiser.init(KEY, z)
    down, up = params["down"], params["up"]
    inner = Fsq((4, 5)).quantise({}, {}, z @ down["weight"].T + down["bias"], KEY)
    q = quantiser.quantise(params, state, z, KEY)
    assert torch.equal(q.codes, inner.codes)
    torch.testing.assert_close(q.z, inner.z @ up["weight"].T + up["bias"])


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


def test_a_temperature_is_annealed_in_compiled_code():
    z = keys.normal(KEY, (3, 2, 2))
    params, _ = SoftVq(3).init(KEY, z)

    def means(z, temperature):
        return replace(SoftVq(3), temperature=temperature).quantise(params, {}, z, KEY).z

    torch._dynamo.reset()
    step = torch.compile(means, fullgraph=True, backend="eager")
    with torch.compiler.set_stance("default"):
        step(z, torch.tensor(1.0))
    with torch.compiler.set_stance("fail_on_recompile"):
        torch.testing.assert_close(step(z, torch.tensor(0.2)), means(z, torch.tensor(0.2)))
