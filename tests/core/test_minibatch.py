"""Minibatches of a conjugate regression: the whole data set's density, evidence and posterior are known."""

import pytest
import torch
from torch.distributions import MultivariateNormal
from torch.func import grad

from jensen.core import keys, minibatch
from jensen.core.distributions import DiagNormal
from jensen.estimators.gradients import pathwise

N, D = 12, 2
KEYS = keys.split(keys.key(5), 4)
INPUTS = keys.normal(KEYS[0], (N, D), torch.float64)
TARGETS = INPUTS @ torch.tensor([1.0, -2.0], dtype=torch.float64) + keys.normal(KEYS[1], (N,), torch.float64)
ZERO = torch.zeros(1, D, dtype=torch.float64)
PRIOR = DiagNormal(ZERO, ZERO)
Q = DiagNormal(ZERO + 0.3, ZERO - 1)


def likelihood(rows):
    """log N(y_i; x_i . z, 1) of some rows, (s, b)."""
    mean = lambda z: z[:, 0] @ INPUTS[rows].T  # noqa: E731
    return lambda z: torch.distributions.Normal(mean(z), 1.0).log_prob(TARGETS[rows])


def on(rows):
    return minibatch.log_joint(PRIOR.log_prob, likelihood(rows), N)


def test_the_whole_is_the_joint_density():
    """log p(z) + log p(y | z) = log p(y) + log p(z | y)."""
    z = keys.normal(KEYS[2], (5, 1, D), torch.float64)
    precision = torch.eye(D, dtype=torch.float64) + INPUTS.T @ INPUTS
    mean = torch.linalg.solve(precision, INPUTS.T @ TARGETS)
    covariance = torch.eye(N, dtype=torch.float64) + INPUTS @ INPUTS.T
    evidence = MultivariateNormal(torch.zeros(N, dtype=torch.float64), covariance).log_prob(TARGETS)
    posterior = MultivariateNormal(mean, precision_matrix=precision).log_prob(z)
    torch.testing.assert_close(on(slice(None))(z), evidence + posterior)


@pytest.mark.parametrize("size", [1, 3, 6, 12])
def test_batches_average_to_the_whole_in_value_and_gradient(size):
    """Over all batches of a partition; a scale of num_data / (batches) or of 1 would be far off."""
    noise = Q.noise(KEYS[3], 4)
    elbo = lambda loc, rows: pathwise(on(rows), Q._replace(loc=loc), noise)[0]  # noqa: E731
    parts = [slice(start, start + size) for start in range(0, N, size)]
    for f in (elbo, grad(elbo)):
        mean = torch.stack([f(Q.loc, part) for part in parts]).mean(0)
        torch.testing.assert_close(mean, f(Q.loc, slice(None)))


def test_wrong_shapes_raise():
    z = torch.zeros(3, 1, D, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"log_likelihood\(z\) \(s, b\), got \(3,\)"):
        minibatch.log_joint(PRIOR.log_prob, lambda z: likelihood(slice(None))(z).sum(1), N)(z)
    with pytest.raises(ValueError, match="give q one row"):
        minibatch.log_joint(lambda z: z.sum(-1), likelihood(slice(None)), N)(z.expand(3, 2, D))
    with pytest.raises(ValueError, match="num_data = 5 data, got 12"):
        minibatch.log_joint(PRIOR.log_prob, likelihood(slice(None)), 5)(z)
