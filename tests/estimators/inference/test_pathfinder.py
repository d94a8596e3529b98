"""Pathfinder: exact on a normal, both modes by several paths, secant equations, and refusals."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.core.distributions import FullNormal
from jensen.estimators.inference import pathfinder

F64 = torch.float64
D = 4
A = keys.normal(keys.key(3), (1, D, D), F64)[0] * torch.tensor([0.1, 1.0, 1.0, 5.0], dtype=F64)
EXACT = FullNormal.from_covariance(torch.arange(D, dtype=F64)[None], (A @ A.T)[None])
LOG_Z = 3.7


def log_p(z):
    return EXACT.log_prob(z) + LOG_Z


def two_modes(z):
    """Standard normals at -5 and 5 in each of two dimensions, of masses 1 and 3."""
    near = [-0.5 * (z - 5 * side).square().sum(-1) - math.log(2 * math.pi) for side in (-1, 1)]
    return torch.logaddexp(near[0], near[1] + math.log(3))


def test_a_normal_is_found():
    found, trace = pathfinder.fit(keys.key(0), log_p, torch.zeros(1, D, dtype=F64))
    assert trace.converged
    torch.testing.assert_close(found.elbo.item(), LOG_Z, rtol=0, atol=1e-8)
    torch.testing.assert_close(found.q.loc, EXACT.loc, rtol=0, atol=1e-6)
    short, _ = pathfinder.fit(keys.key(0), log_p, torch.zeros(1, D, dtype=F64), memory=1)  # too few steps to know
    assert short.elbo < LOG_Z - 0.01
    torch.testing.assert_close(found.evidence.log_p.item(), LOG_Z, rtol=0, atol=1e-8)


def test_the_estimate_maps_the_last_fall_to_the_last_step_and_is_definite():
    state = pathfinder.init(log_p, torch.zeros(D, dtype=F64))
    for i in range(9):
        before = state
        state, _ = pathfinder.update(state, log_p, memory=3)
        if i < D:  # then it is there
            torch.testing.assert_close(state.steps[-1], state.z - before.z)
            torch.testing.assert_close(state.falls[-1], before.slope - state.slope)
        covariance = state.covariance()
        torch.testing.assert_close(covariance @ state.falls[-1], state.steps[-1], rtol=1e-8, atol=1e-12)
        assert torch.linalg.eigvalsh(covariance).min() > 0
    assert len(state.steps) == 3


def test_the_diagonal_is_that_of_a_dense_update():
    """BFGS of the matrix diag(1 / diagonal) times y' diagonal y / y' s, for a step s and a fall y."""
    before = pathfinder.init(log_p, torch.zeros(D, dtype=F64))
    for _ in range(3):
        after, _ = pathfinder.update(before, log_p)
        s, y = after.steps[-1], after.falls[-1]
        dense = torch.diag(1 / before.diagonal) * ((y * before.diagonal) @ y / (y @ s))
        moved = dense @ s
        dense = dense - torch.outer(moved, moved) / (s @ moved) + torch.outer(y, y) / (y @ s)
        torch.testing.assert_close(after.diagonal, 1 / dense.diagonal(), rtol=1e-8, atol=0)
        before = after


def root(z):
    return -torch.sqrt(1 + z.square()).sum(-1)


def test_no_step_loses_where_the_secants_root_is_far_beyond_the_mode():
    state = pathfinder.init(root, torch.tensor([3.0], dtype=F64))
    far = pathfinder.init(root, torch.tensor([2.0], dtype=F64))
    change = (state.slope - far.slope).item()  # of a step of 1
    assert root(state.z + state.slope / change) < state.log_p
    for _ in range(8):
        before = state.log_p
        state, _ = pathfinder.update(state, root)
        assert state.log_p >= before
    assert state.z.abs() < 1e-6


def test_normals_are_about_the_point_one_step_ahead():
    start = torch.tensor([[1.0]], dtype=F64)
    states = [pathfinder.init(root, start[0])]
    states.append(pathfinder.update(states[0], root)[0])
    found, _ = pathfinder.fit(keys.key(0), root, start, steps=1)
    ahead = torch.stack([state.z + state.covariance() @ state.slope for state in states])
    points = torch.stack([state.z for state in states])
    assert (found.q.loc - ahead).abs().min() < 1e-12 < (found.q.loc - points).abs().min()


def test_several_paths_find_both_modes_and_their_evidence_and_one_path_does_not():
    starts = torch.tensor([[-4.0, -6.0], [6.0, 3.0], [4.0, 7.0]], dtype=F64)
    found, trace = pathfinder.fit(keys.key(0), two_modes, starts)
    assert trace.objective.shape == (3,)
    assert (found.evidence.log_p[0] - math.log(4)).abs() < 4.5 * found.evidence.standard_error[0] + 1e-6
    left = (found.draws(keys.key(1), 4000)[:, 0, 0] < 0).double().mean()
    assert (left - 0.25).abs() < 0.03
    alone, _ = pathfinder.fit(keys.key(0), two_modes, starts[:1])
    assert (alone.evidence.log_p[0] - math.log(4)).abs() > 1  # of a path to the smaller mode: log 1


def test_refusals():
    start = torch.zeros(2, D, dtype=F64)
    with pytest.raises(ValueError, match="finite at every start"):
        pathfinder.fit(keys.key(0), lambda z: z.sum(-1).sqrt(), start)
    with pytest.raises(TypeError, match=r"pathfinder\.init\(log_p, start\)"):
        pathfinder.update(None, log_p)
    with pytest.raises(ValueError, match="draws"):
        pathfinder.fit(keys.key(0), log_p, start, draws=1)
    with pytest.raises(ValueError, match="expected start"):
        pathfinder.fit(keys.key(0), log_p, start[:0])
