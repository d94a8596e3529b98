"""Laws of exponential families: everything follows from the log partition, and the parameters come back.

Each is tried on a member q of the family, in float64.
"""

import torch
from torch import Tensor
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.contracts import ClosedForm, Distribution
from jensen.core.distributions import Categorical, Gamma
from jensen.core.exponential import (
    CategoricalFamily,
    ExponentialFamily,
    GammaFamily,
    Natural,
    bregman,
    covariance,
    inner,
    log_prob,
    maximum_likelihood,
    mean_parameters,
    natural_gradient,
)
from jensen.laws._law import Subject, law, spoiled
from jensen.laws.assertions import mean_is_exact

KEY = keys.key(23)
GAMMA = Gamma(*torch.tensor([[[1.5, 2.3], [3.0, 1.2]], [[0.7, 1.4], [2.0, 0.9]]], dtype=torch.float64))
CHOICE = Categorical(torch.tensor([[[0.3, -0.2, 1.0]], [[0.5, 0.0, -0.4]]], dtype=torch.float64))
OBSERVATIONS = 2000  # in which every choice comes


def of(**methods) -> list[Subject]:
    return [Subject(spoiled(GammaFamily(), **methods), GAMMA)]


def neighbour(family: ExponentialFamily, q: Distribution) -> Distribution:
    """The member halfway to that of the next datum, with what is known unchanged."""
    return family.from_natural(trees.map(lambda t: (t + t.roll(1, 0)) / 2, family.natural(q)))


def rows(family: ExponentialFamily, statistics: Natural) -> Tensor:
    """All statistics of a datum in a line, (..., m), as `covariance` has them."""
    return torch.cat([statistics[name][..., None].flatten(-axes - 1) for name, axes in family.axes.items()], -1)


def _of_rates(family: GammaFamily, q: Gamma) -> Natural:
    return {"log": q.concentration - 1, "z": q.rate}


@law("exponential family", planted=lambda: [*of(natural=_of_rates), *of(log_partition=lambda f, eta: _halved(eta))])
def its_density_is_that_of_the_distribution(family: ExponentialFamily, q: Distribution) -> None:
    """log q(z) = eta . T(z) - A(eta) + log h(z) at the samples of q, (s, n)."""
    z = q.sample(q.noise(KEY, 5))
    torch.testing.assert_close(log_prob(family, family.natural(q), z), q.log_prob(z), rtol=1e-9, atol=1e-9)


def _halved(eta: Natural) -> Tensor:
    return 0.5 * GammaFamily().log_partition(eta)


@law(
    "exponential family",
    planted=lambda: [
        *of(from_natural=lambda f, eta: Gamma(eta["log"], -eta["z"])),
        *of(from_mean=lambda f, mean: Gamma(mean["z"].square(), mean["z"])),
    ],
)
def parameters_come_back(family: ExponentialFamily, q: Distribution) -> None:
    """from_natural(natural(q)) and from_mean(E T) have the densities of q, and its mean parameters."""
    z, eta = q.sample(q.noise(KEY, 5)), family.natural(q)
    mean = mean_parameters(family, eta)
    for again in (family.from_natural(eta), family.from_mean(mean)):
        torch.testing.assert_close(again.log_prob(z), q.log_prob(z), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(mean_parameters(family, family.natural(again)), mean, rtol=1e-9, atol=1e-9)


@law("exponential family", planted=lambda: of(statistics=lambda f, z: {"log": z.log(), "z": z.square()}))
def the_slope_of_the_partition_is_the_mean(family: ExponentialFamily, q: Distribution) -> None:
    """grad A(eta) = E T(z), by samples of q."""
    mean = rows(family, mean_parameters(family, family.natural(q)))
    mean_is_exact(lambda key, s: rows(family, family.statistics(q.sample(q.noise(key, s)))), mean, KEY)


@law(
    "exponential family",
    planted=lambda: [
        *of(log_partition=lambda f, eta: GammaFamily.log_partition(f, eta) + 0.1 * eta["z"].square().sum(-1)),
        *of(log_partition=lambda f, eta: -GammaFamily.log_partition(f, eta)),
    ],
)
def the_curvature_of_the_partition_is_the_covariance(family: ExponentialFamily, q: Distribution) -> None:
    """The Hessian of A is symmetric, positive semi-definite, and E (T - mu)(T - mu)^T, by samples of q: Fisher's."""
    eta = family.natural(q)
    matrix, mean = covariance(family, eta), rows(family, mean_parameters(family, eta))
    torch.testing.assert_close(matrix, matrix.mT, rtol=1e-9, atol=1e-9)
    least = torch.linalg.eigvalsh(matrix).amin()
    assert least >= -1e-9, f"an eigenvalue is {least.item():.2g}"

    def products(key: Tensor, s: int) -> Tensor:
        off = rows(family, family.statistics(q.sample(q.noise(key, s)))) - mean
        return off[..., :, None] * off[..., None, :]

    mean_is_exact(products, matrix, KEY)


@law("exponential family", planted=lambda: of(natural=lambda f, q: trees.map(lambda t: 2 * t, _true(q))))
def kl_is_the_bregman_divergence(family: ExponentialFamily, q: Distribution) -> None:
    """KL(q || p) = A(p) - A(q) - (p - q) . mu(q), as q.kl(p) where there is one and as E log q / p elsewhere."""
    p = neighbour(family, q)
    divergence = bregman(family, family.natural(q), family.natural(p))
    assert (divergence > 0).all(), divergence
    kl = getattr(q, "kl", None)
    if kl is not None:
        torch.testing.assert_close(divergence, kl(p), rtol=1e-8, atol=1e-10)
        return

    def ratio(key: Tensor, s: int) -> Tensor:
        z = q.sample(q.noise(key, s))
        return q.log_prob(z) - p.log_prob(z)

    mean_is_exact(ratio, divergence, KEY)


def _true(q: Gamma) -> Natural:
    return GammaFamily().natural(q)


@law("exponential family", planted=lambda: of(log_base=lambda f, z: z.sum(-1)))
def entropy_is_that_of_the_partition(family: ExponentialFamily, q: Distribution) -> None:
    """H = A - eta . mu - E log h(z), where q has an entropy in closed form."""
    if not isinstance(q, ClosedForm):
        return
    eta = family.natural(q)
    rest = family.log_partition(eta) - inner(family, eta, mean_parameters(family, eta)) - q.entropy()
    mean_is_exact(lambda key, s: family.log_base(q.sample(q.noise(key, s))), rest, KEY)


def _of_detached_means(family: GammaFamily, mean: Natural) -> Gamma:
    q = GammaFamily.from_mean(family, mean)
    return q._replace(concentration=q.concentration.detach())


@law(
    "exponential family",
    planted=lambda: [
        *of(from_mean=_of_detached_means),
        Subject(spoiled(CategoricalFamily(), from_mean=lambda f, mean: Categorical(2 * mean["z"].log())), CHOICE),
    ],
)
def natural_gradients_are_gradients_in_the_mean(family: ExponentialFamily, q: Distribution) -> None:
    """F times the natural gradient is the gradient; that of KL(eta || p) is eta - p, up to what F does not see."""
    eta, target = family.natural(q), family.natural(neighbour(family, q))
    slope = grad(lambda eta: bregman(family, eta, target).sum())(eta)
    fisher, step = covariance(family, eta), rows(family, natural_gradient(family, eta, slope))
    for found in (step, rows(family, trees.map(torch.sub, eta, target))):
        raised = (fisher @ found[..., None])[..., 0]
        torch.testing.assert_close(raised, rows(family, slope), rtol=1e-7, atol=1e-8)


@law("exponential family", planted=lambda: of(from_mean=lambda f, mean: Gamma(mean["z"], mean["z"] * 0 + 1)))
def the_likeliest_member_has_the_moments(family: ExponentialFamily, q: Distribution) -> None:
    """Its mean parameters are the observations' mean statistics, and no member beside it is likelier."""
    x = q.sample(q.noise(KEY, OBSERVATIONS))
    found, errors = maximum_likelihood(family, x)
    eta = family.natural(found)
    mean = trees.map(lambda t: t.mean(0), family.statistics(x))
    torch.testing.assert_close(mean_parameters(family, eta), mean, rtol=1e-8, atol=1e-8)
    assert all(error.isfinite().all() for error in errors.values()), errors
    best = found.log_prob(x).sum(0)
    for share in (0.01, -0.01):
        beside = family.from_natural(trees.map(lambda t, share=share: t * (1 + share), eta))
        assert (beside.log_prob(x).sum(0) <= best + 1e-9).all(), "a member beside it is likelier"
