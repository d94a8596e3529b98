"""The discriminator's density ratio, by normals whose total correlation is known."""

import math

import pytest
import torch
from torch.func import grad, vmap
from torch.nn import functional as F

from jensen import laws
from jensen.core import keys, objectives, trees
from jensen.core.distributions import DiagNormal
from jensen.core.nn import mlp

KEY, F64 = keys.key(31), torch.float64
RHO = 0.8
TC = -0.5 * math.log(1 - RHO**2)  # of two standard normals of that correlation


def aggregated(key, n):
    """z of n data, z | x ~ N(x, 0.3²) over x ~ N(0, Sigma - 0.3² I): together N(0, Sigma), (1, n, 2)."""
    data, noise = keys.split(key)
    sigma = torch.tensor([[1.0, RHO], [RHO, 1.0]], dtype=F64)
    x = keys.normal(data, (n, 2), F64) @ torch.linalg.cholesky(sigma - 0.3**2 * torch.eye(2, dtype=F64)).T
    q = DiagNormal(x, torch.full_like(x, math.log(0.3)))
    return q.sample(q.noise(noise, 1))


def log_ratio(coefficients, z):
    """a + b (z1² + z2²) + c z1 z2."""
    a, b, c = coefficients
    return a + b * z.square().sum(-1) + c * z.prod(-1)


TRUE = torch.tensor([TC, 0.5 - 0.5 / (1 - RHO**2), RHO / (1 - RHO**2)], dtype=F64)


def slopes(permuted, discrimination=objectives.discrimination, parts=40):
    """The gradient of the cross-entropy at the true ratio, of so many independent parts: (parts, 3)."""

    def slope(key):
        draw, order = keys.split(key)
        z = aggregated(draw, 500)
        return grad(lambda c: discrimination(log_ratio(c, z), log_ratio(c, permuted(order, z))).mean())(TRUE)

    return torch.stack([slope(key) for key in keys.split(KEY, parts)])


def is_zero(slopes):
    return bool((slopes.mean(0).abs() < 4.5 * slopes.std(0) / len(slopes) ** 0.5).all())


def test_the_true_log_ratio_is_where_the_cross_entropy_is_flat():
    assert is_zero(slopes(objectives.permuted))


@pytest.mark.parametrize(
    "wrong",
    [
        {"permuted": lambda key, z: z[:, keys.permutation(key, z.shape[1])]},
        {"permuted": lambda key, z: z},
        {"permuted": objectives.permuted, "discrimination": lambda p, q: objectives.discrimination(q, p)},
    ],
    ids=["one order for all dimensions", "no order", "swapped"],
)
def test_that_gate_can_fail(wrong):
    assert not is_zero(slopes(**wrong, parts=20))


def test_the_mean_log_ratio_is_the_total_correlation():
    z = aggregated(KEY, 100_000)
    laws.mean_is(log_ratio(TRUE, z)[0], TC)


def test_a_network_learns_the_total_correlation():
    """200 steps of 256 data: within 0.08 of 0.51 nats; the standard error of the mean is 0.01."""
    network = mlp.init(KEY, (2, 16, 16, 1))
    adam = torch.optim.Adam(trees.leaves(network), 1e-2)

    def logits(network, z):
        return mlp.apply(network, z, F.leaky_relu).squeeze(-1)

    def loss(network, z, key):
        return objectives.discrimination(logits(network, z), logits(network, objectives.permuted(key, z))).mean()

    for key in keys.split(KEY, 200):
        draw, order = keys.split(key)
        trees.set_grads(network, grad(loss)(network, aggregated(draw, 256).float(), order))
        adam.step()
    found = logits(network, aggregated(keys.fold_in(KEY, 1), 10_000).float()).mean()
    assert abs(found - TC) < 0.08


def test_permuting_keeps_each_dimension_and_is_a_function_of_its_key():
    z = keys.normal(KEY, (3, 40, 4))
    moved = objectives.permuted(KEY, z)
    assert torch.equal(moved.sort(1).values, z.sort(1).values)
    order = (moved[:, :, None] == z[:, None]).double().argmax(2)
    assert len({tuple(row) for row in order.transpose(1, 2).reshape(12, 40).tolist()}) == 12
    assert torch.equal(objectives.permuted(KEY, z), moved)
    assert not torch.equal(objectives.permuted(keys.key(32), z), moved)
    both = vmap(objectives.permuted)(torch.stack([KEY, keys.key(32)]), torch.stack([z, z]))
    assert torch.equal(both[1], objectives.permuted(keys.key(32), z))


def test_the_terms_are_the_formula():
    reconstruction, kl, tc = torch.tensor([-9.0, -7.0]), torch.tensor([3.0, 2.0]), torch.tensor([0.5, -0.25])
    terms = objectives.factor(reconstruction, kl, tc, 6.0, 0.5)
    torch.testing.assert_close(terms.objective, reconstruction - 0.5 * (kl + 6 * tc))
    laws.terms_sum(terms.objective, [terms.reconstruction, -terms.kl, -terms.penalty])
    laws.terms_sum(terms.kl, list(terms.parts.values()))
    assert objectives.discrimination(torch.zeros(2, 3), torch.zeros(2, 3)).tolist() == pytest.approx([math.log(2)] * 3)
    with pytest.raises(ValueError, match=r"alike, got \(2, 3\) and \(1, 3\): permute all samples"):
        objectives.discrimination(torch.zeros(2, 3), torch.zeros(1, 3))
