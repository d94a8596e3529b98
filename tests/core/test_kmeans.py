from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from torch.func import vmap

from jensen.core import keys
from jensen.core.models.quantised import kmeans

KEY = keys.key(6)
X = keys.normal(KEY, (60, 3), torch.float64)


@given(st.integers(0, 10_000), st.integers(1, 8), st.floats(1e-3, 1e3))
@settings(max_examples=25)
def test_the_inertia_never_rises(seed, size, scale):
    key = keys.key(seed)
    x = scale * (keys.normal(key, (20, 2), torch.float64) + 5)
    centres = kmeans.start(keys.fold_in(key, 1), x, size)
    inertias = [kmeans.inertia(x, kmeans.fit(x, centres, i)).item() for i in range(6)]
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in pairwise(inertias))


@pytest.mark.parametrize("size", [1, 5, 20])
def test_from_the_same_start_it_ends_where_scikit_learn_does(size):
    start = kmeans.start(KEY, X, size)
    theirs = KMeans(size, init=start.numpy(), n_init=1, max_iter=100, tol=0, algorithm="lloyd").fit(X.numpy())
    ours = kmeans.inertia(X, kmeans.fit(X, start, 100)).item()
    assert ours == pytest.approx(theirs.inertia_, rel=1e-6)


def test_starts_are_distinct_vectors_of_a_key_and_spread_as_squared_distances():
    start = kmeans.start(KEY, X, 12)
    assert torch.equal(start, kmeans.start(KEY, X, 12))
    assert len({tuple(row) for row in start.tolist()}) == 12
    assert all((row == X).all(-1).any() for row in start)
    line = torch.tensor([[0.0], [1.0], [3.0]])  # from 0 the next is 1 with probability 1 / 10, and 3 with 9 / 10
    pairs = vmap(lambda key: kmeans.start(key, line, 2)[:, 0])(keys.split(KEY, 600))
    second = pairs[pairs[:, 0] == 0][:, 1]
    share = (second == 1).double().mean().item()
    assert abs(share - 0.1) < 4 * (0.09 / len(second)) ** 0.5
    assert len(second) == pytest.approx(200, abs=4 * (600 * 2 / 9) ** 0.5)


def test_a_centre_without_vectors_stays():
    centres = torch.tensor([[0.0, 0.0, 0.0], [99.0, 99.0, 99.0]], dtype=torch.float64)
    fitted = kmeans.fit(X, centres, 3)
    torch.testing.assert_close(fitted[0], X.mean(0))
    assert torch.equal(fitted[1], centres[1])


def test_more_centres_than_vectors_are_refused():
    with pytest.raises(ValueError, match="expected x of 61 vectors or more, one for each centre, got 60: pass more"):
        kmeans.start(KEY, X, 61)
