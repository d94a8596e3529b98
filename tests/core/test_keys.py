from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch.func import vmap
from torch.fx.experimental.proxy_tensor import make_fx

from jensen import laws
from jensen.core import keys
from jensen.laws import strategies

KEY = keys.key(12345678901234567)


def test_philox_gives_the_published_words():
    """Known answers of Philox4x32-10 from the generator's reference distribution (Random123)."""
    ones = 0xFFFFFFFF
    cases = [
        (0, (0, 0, 0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (-1, (ones, ones, ones, ones), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x299F31D0 << 32 | 0xA4093822),
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ]
    for seed, counters, expected in cases:
        assert keys.philox(seed, *counters) == expected
        tensors = keys.philox(torch.tensor(seed), *(torch.tensor(c) for c in counters))
        arrays = keys.philox(seed, *(np.array([c]) for c in counters))
        for words in (tensors, arrays):
            assert tuple(w.item() for w in words) == expected


@pytest.mark.law
@given(strategies.seeds, st.data())
def test_chunks_hold_the_draws_of_the_whole(key, data):
    s, n, d = (data.draw(st.integers(1, 6)) for _ in range(3))
    cut_s, cut_n = data.draw(st.integers(0, s)), data.draw(st.integers(0, n))
    for draw in (keys.normal, keys.uniform, keys.bits):
        whole = draw(key, (s, n, d))
        particles = [draw(key, (cut_s, n, d)), draw(keys.at(key, particle=cut_s), (s - cut_s, n, d))]
        laws.chunks_agree(whole, particles, 0)
        laws.chunks_agree(whole, [draw(key, (s, cut_n, d)), draw(keys.at(key, datum=cut_n), (s, n - cut_n, d))], 1)


def test_noise_has_the_distribution_it_claims():
    u = keys.uniform(KEY, (20, 100, 51)).double().numpy().ravel()
    z = keys.normal(KEY, (20, 100, 51)).double().numpy().ravel()
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert stats.kstest(z, "norm").pvalue > 1e-3
    pairs = z[: len(z) // 2 * 2].reshape(-1, 2)
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 4 / len(pairs) ** 0.5
    assert u.min() >= 0
    assert u.max() < 1


def test_uniform_stays_below_one_for_every_word():
    words = torch.tensor([0, 1, 2**31 - 1, 2**31, 2**32 - 1])
    for dtype in (torch.float32, torch.float64):
        u = keys.to_uniform(words, dtype)
        assert (u >= 0).all()
        assert (u < 1).all()


def test_split_fold_in_and_noise_never_share_words():
    derived = [KEY, *keys.split(KEY, 50), *keys.fold_in(KEY, torch.arange(50))]
    seeds = {int(k[0]) for k in derived}
    assert len(seeds) == len(derived)
    assert torch.equal(keys.split(KEY, 3), keys.split(KEY, 5)[:3])
    assert torch.equal(keys.fold_in(KEY, 7), keys.fold_in(KEY, torch.arange(9))[7])
    assert not torch.equal(keys.fold_in(KEY, 1), keys.fold_in(KEY, 1 + 2**32))


def test_offsets_travel_through_split_and_fold_in():
    moved = keys.at(KEY, particle=3, datum=2)
    whole = keys.normal(keys.fold_in(KEY, 1), (5, 4, 2))
    assert torch.equal(keys.normal(keys.fold_in(moved, 1), (2, 2, 2)), whole[3:, 2:])
    assert torch.equal(keys.split(moved)[1][1:], torch.tensor([3, 2]))


@pytest.mark.law
@given(strategies.seeds, st.integers(-(2**40), 2**40), st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_tensors_integers_and_arrays_draw_the_same(key, index, place, count):
    """vmap sees tensors; eager calls that are small, Python's integers and NumPy's arrays."""

    def draws(key):
        moved = keys.at(key, place, place)
        return (
            keys.split(moved, count), keys.fold_in(moved, index), keys.bits(moved, (count, 3, 5)),
            keys.uniform(moved, (count, 2), torch.float64), keys.normal(moved, (2, count, 3)), keys.normal(moved, (7,)),
        )  # fmt: skip

    for eager, mapped in zip(draws(key), vmap(draws)(key[None]), strict=True):
        assert torch.equal(eager, mapped[0])


def test_large_noise_continues_small_noise():
    """Across the size from which on tensors, not arrays, hold the words."""
    small, large = (keys.normal(KEY, (s, 1000, 5)) for s in (2, 40))
    assert keys.SMALL < 40 * 1000 * 2
    assert torch.equal(large[:2], small)
    assert torch.equal(keys.split(KEY, keys.FEW + 1)[: keys.FEW], keys.split(KEY, keys.FEW))


def test_tracing_records_operations_and_no_words():
    """A traced draw follows the key it is given, not the one that it was traced with."""
    draw = make_fx(lambda key: keys.normal(keys.split(key)[1], (2, 3, 5)))(KEY)
    other = keys.key(9)
    assert torch.equal(draw(other), keys.normal(keys.split(other)[1], (2, 3, 5)))


def test_vmap_draws_what_eager_draws():
    many = keys.split(KEY, 4)
    assert torch.equal(
        vmap(lambda k: keys.normal(k, (2, 3, 5)))(many), torch.stack([keys.normal(k, (2, 3, 5)) for k in many])
    )


def test_compiled_words_are_eager_ones_for_many_elements_particles_data_and_splits():
    """Where a compiler multiplied a small count by a constant of the generator in 32 bits, words changed."""

    def words(key, step):
        key = keys.fold_in(key, step)
        far = keys.at(key, 2**31, 2**31 - 3)
        return keys.bits(far, (40, 30, 50)), keys.split(key, 20), keys.fold_in(key, torch.arange(20))

    compiled = torch.compile(words, fullgraph=True)(KEY, torch.tensor(9))
    for ours, eager in zip(compiled, words(KEY, torch.tensor(9)), strict=True):
        assert torch.equal(ours, eager)


@pytest.mark.slow
def test_compiled_words_of_every_shape_are_eager_ones():
    def words(key, step):
        key = keys.fold_in(key, step)
        return (
            keys.bits(key, (50,)), keys.permutation(key, 100), keys.at(key, particle=torch.arange(9)),
            keys.uniform(key, (1, 3, 70)), keys.fold_in(key, 7), keys.bits(keys.at(key, 2**31, 2**31 - 3), (5, 6, 7)),
        )  # fmt: skip

    compiled = torch.compile(words, fullgraph=True)(KEY, torch.tensor(9))
    for ours, eager in zip(compiled, words(KEY, torch.tensor(9)), strict=True):
        assert torch.equal(ours, eager)


def test_at_takes_index_tensors():
    rows = keys.at(KEY, datum=torch.arange(4))
    alone = vmap(lambda k: keys.normal(k, (3, 1, 2)))(rows)
    assert torch.equal(alone[:, :, 0].movedim(0, 1), keys.normal(KEY, (3, 4, 2)))


@pytest.mark.parametrize("n", [1, 2, 1000])
def test_permutation_is_one(n):
    order = keys.permutation(KEY, n)
    assert torch.equal(order.sort().values, torch.arange(n))
    assert n < 1000 or not torch.equal(order, torch.arange(n))


def test_permutation_is_uniform_over_orders():
    counts = Counter(tuple(keys.permutation(k, 3).tolist()) for k in keys.split(KEY, 1200))
    assert len(counts) == 6
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize("wrong", [torch.tensor(3), torch.zeros(3), torch.zeros(2, 3, dtype=torch.int64)])
def test_what_is_no_key_raises(wrong):
    with pytest.raises(TypeError if wrong.is_floating_point() else ValueError, match=r"keys\.key\(seed\)"):
        keys.normal(wrong, (2, 3))


def test_a_seed_beyond_64_bits_raises():
    with pytest.raises(ValueError, match="64 bits"):
        keys.key(2**63)


def test_what_is_no_integer_raises():
    for call in (lambda: keys.key(1.5), lambda: keys.fold_in(KEY, 1.7), lambda: keys.at(KEY, particle=torch.ones(2))):
        with pytest.raises(TypeError, match="a whole number"):
            call()
    with pytest.raises(TypeError, match="expected dtype, a floating-point one"):
        keys.uniform(KEY, (2, 2), torch.int64)
