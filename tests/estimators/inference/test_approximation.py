"""What an approximation is judged by: draws that are independent, however many, and resampled in no order."""

import torch

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.estimators.inference.approximation import CHUNK, judge

KEY = keys.key(6)
Q = DiagNormal(torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64))


def test_more_draws_than_a_chunk_are_new_ones():
    samples = 2 * CHUNK + 10
    found = judge(Q.log_prob, Q, KEY, samples)
    assert len(found.z.unique()) == samples
    assert torch.equal(found.z[: CHUNK // 2], judge(Q.log_prob, Q, KEY, CHUNK // 2).z)


def test_a_draw_that_is_taken_again_and_again_is_not_next_to_itself():
    """Neighbours are the same draw as often as any two, the sum of squared shares: none tells of another's place."""
    found = judge(lambda z: Q.log_prob(z) + 1.5 * z[..., 0], Q, KEY, 200)
    drawn = found.draws(KEY, 4000).flatten()
    same = (drawn[1:] == drawn[:-1]).double()
    expected = (2 * found.weights.log_weights[:, 0].double()).exp().sum()
    assert (same.mean() - expected).abs() < 4 * same.std() / len(same) ** 0.5
    in_order = drawn.sort().values
    assert (in_order[1:] == in_order[:-1]).double().mean() > expected + 0.5
