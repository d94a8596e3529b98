"""What an approximation is judged by: draws that are independent, however many, and resampled in no order."""

import math

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


def test_an_evidence_has_no_error_where_its_weights_may_have_no_variance():
    """The log of a half-normal scale, whose lower tail is exponential, by Laplace's normal; the evidence is 1."""
    q = DiagNormal(torch.zeros(1, 1, dtype=torch.float64), torch.full((1, 1), -0.5 * math.log(2), dtype=torch.float64))

    def log_p(z):
        return (z - 0.5 * (2 * z).exp()).sum(-1) + 0.5 * math.log(2 / math.pi)

    every = [judge(log_p, q, key, 1000) for key in keys.split(KEY, 150)]
    off = torch.stack([found.evidence.log_p[0].abs() for found in every])
    error = torch.stack([(1 / found.evidence.ess[0] - 1 / 1000).sqrt() for found in every])
    wrong, light = off > 4.5 * error, torch.stack([found.weights.k_hat[0] <= 0.5 for found in every])
    known = torch.stack([found.evidence.standard_error[0].isfinite() for found in every])
    assert (wrong & light).sum() > 4 * (wrong & known).sum(), (wrong & light).sum()  # by k-hat without its error
    assert (wrong & known).sum() <= 2
    assert all("may have no variance" in found.verdict() for found, has in zip(every, known, strict=True) if not has)
    near = [found for found in every if "may be unreliable" in found.verdict()]
    assert near
    assert not any(found.reliable for found in near)
    assert not any(found.weights.verdict().startswith("weights are unreliable") for found in near)
