"""Exponential families beyond their laws: standard errors of repeated fits, roots by scipy, transforms, refusals."""

from typing import NamedTuple

import pytest
import torch
from scipy import special, stats
from torch import Tensor
from torch.func import grad, vmap

from jensen import laws
from jensen.core import exponential, keys, trees
from jensen.core.distributions import (
    Binomial,
    Cauchy,
    ContinuousBernoulli,
    DiagNormal,
    Dirichlet,
    Exponential,
    FullNormal,
    Gamma,
    Pareto,
    Poisson,
)
from jensen.core.exponential import GammaFamily, TruncatedNormalFamily
from jensen.core.numerics import newton
from jensen.core.numerics.digamma_roots import inverse_digamma, inverse_digamma_rest
from jensen.core.trees import Static
from jensen.laws._law import spoiled

KEY = keys.key(37)


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[None]


FITTED = {
    "Gamma": Gamma(column(2.0), column(3.0)),
    "Dirichlet": Dirichlet(column(1.5, 0.8, 3.0)),
    "FullNormal": FullNormal(column(1.0, -1.0), column(0.2, -0.3), torch.full((1, 2, 2), 0.5, dtype=torch.float64)),
    "Pareto": Pareto(column(2.0), column(3.0)),
    "ContinuousBernoulli": ContinuousBernoulli(column(2.0)),
    "Binomial": Binomial(column(0.4), Static(5)),
}


@pytest.mark.parametrize("name", FITTED)
def test_standard_errors_are_those_of_repeated_fits(name):
    """400 fits of 200 observations each: their spread is the stated one to 4 of its own errors, 1 / sqrt(800)."""
    repeats, s = 400, 200
    q = trees.map(lambda t: t.expand(repeats, *t.shape[1:]), FITTED[name])
    fits, errors = exponential.maximum_likelihood(exponential.family(q), q.sample(q.noise(KEY, s)))
    for path, fitted in trees.paths(fits).items():
        stated = errors[path].mean(0)
        spread = fitted.std(0)
        assert ((spread - stated).abs() <= 0.15 * stated + 1e-12).all(), (path, spread, stated)


def test_errors_of_a_normal_in_closed_form():
    """sigma / sqrt(s) of loc, 1 / sqrt(2 s) of log_scale; and one fit for fields without a data axis."""
    x = keys.normal(KEY, (50, 3), torch.float64) * 2 + 1
    fit, errors = exponential.maximum_likelihood(exponential.DiagNormalFamily(), x)
    torch.testing.assert_close(fit.loc, x.mean(0))
    torch.testing.assert_close(fit.log_scale.exp(), x.std(0, correction=0))
    torch.testing.assert_close(errors["loc"], x.std(0, correction=0) / 50**0.5)
    torch.testing.assert_close(errors["log_scale"], torch.full((3,), 0.1, dtype=torch.float64))


def test_roots_of_digamma():
    """At 1e-6 … 1e8 by scipy's digamma; derivatives by the inverse's, twice."""
    x = torch.logspace(-6, 8, 60, dtype=torch.float64)
    y = torch.as_tensor(special.digamma(x.numpy()))
    torch.testing.assert_close(inverse_digamma(y), x, rtol=1e-12, atol=0)
    slope = grad(lambda y: inverse_digamma(y).sum())
    torch.testing.assert_close(slope(y), 1 / torch.polygamma(1, x), rtol=1e-10, atol=0)
    exact = -torch.polygamma(2, x) / torch.polygamma(1, x) ** 3
    torch.testing.assert_close(grad(lambda y: slope(y).sum())(y), exact, rtol=1e-8, atol=0)
    rest = torch.as_tensor(special.digamma(x.numpy())) - torch.log(x)
    near = x < 1e4  # where the difference has digits
    torch.testing.assert_close(inverse_digamma_rest(rest)[near], x[near], rtol=1e-10, atol=0)
    assert inverse_digamma_rest(torch.tensor(-5e-9, dtype=torch.float64)) == pytest.approx(1e8, rel=1e-8)


def test_newton_finds_roots_where_its_steps_leave_the_interval():
    """arctan, of which plain Newton diverges from 1.4 on; a root at an end; each component by itself."""
    target = torch.tensor([-1.5, 0.0, 1.2, 1.5], dtype=torch.float64)
    low = torch.full_like(target, -100.0)
    found = newton(lambda t: torch.atan(t) - target, low, -low, steps=60)
    torch.testing.assert_close(found, torch.tan(target), rtol=1e-12, atol=1e-12)
    slope = grad(lambda target: newton(lambda t: torch.atan(t) - target, low, -low, 60).sum())(target)
    torch.testing.assert_close(slope, 1 + torch.tan(target).square(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("concentration", [1e-3, 0.3, 20.0, 1e4])
def test_means_come_back_at_extreme_concentrations(concentration):
    a = concentration * column(1.0, 0.5, 2.0)
    for q in (Gamma(a, 1 / a), Dirichlet(a)):
        family = exponential.family(q)
        found = family.from_mean(exponential.mean_parameters(family, family.natural(q)))
        for field, again in zip(q, found, strict=True):
            torch.testing.assert_close(again, field, rtol=1e-8 * max(1.0, concentration / 10), atol=0)


def test_truncated_normals_by_their_moments():
    """Of draws from two kinds of ends, the fit has scipy's moments; a variance above the uniform's has no member."""
    ends = column(0.0, -1.0), column(1.0, torch.inf)
    family = TruncatedNormalFamily(*ends)
    mean, deviation = column(0.3, 0.5), column(0.2, 1.2)
    q = family.from_mean({"z": mean, "square": mean.square() + deviation.square()})
    for j in range(2):
        loc, scale = q.loc[0, j].item(), q.log_scale[0, j].exp().item()
        low, high = ((end[0, j].item() - loc) / scale for end in ends)
        exact = stats.truncnorm(low, high, loc, scale)
        assert exact.mean() == pytest.approx(mean[0, j].item(), abs=1e-9)
        assert exact.std() == pytest.approx(deviation[0, j].item(), abs=1e-8)
    with pytest.raises(ValueError, match="moments of a normal between these ends"):
        family.from_mean({"z": column(0.5, 0.5), "square": column(0.4, 2.0)})


def test_single_precision_stays():
    for q in (Gamma(column(2.0), column(3.0)), Dirichlet(column(1.5, 0.8)), ContinuousBernoulli(column(1.0))):
        narrow = trees.map(lambda t: t.float(), q)
        family = exponential.family(narrow)
        found = family.from_mean(exponential.mean_parameters(family, family.natural(narrow)))
        for field, again in zip(q, found, strict=True):
            assert again.dtype == torch.float32
            torch.testing.assert_close(again.double(), field, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["DiagNormal", pytest.param("Gamma", marks=pytest.mark.slow)])
def test_natural_gradients_map_and_compile(name):
    """vmap(natural gradient) is a loop, and compiled it is the eager one."""
    kind = {"DiagNormal": DiagNormal, "Gamma": Gamma}[name]
    q = kind(*keys.uniform(KEY, (2, 4, 3, 2), torch.float64).add(0.5).unbind(0))
    family = exponential.family(q)

    def step(q):
        eta = family.natural(q)
        return exponential.natural_gradient(family, eta, trees.map(torch.sin, eta))

    mapped = vmap(step)(q)
    compiled = torch.compile(step, backend="eager", fullgraph=True)(trees.map(lambda t: t[1], q))
    for i in range(4):
        for statistic, value in step(trees.map(lambda t, i=i: t[i], q)).items():
            torch.testing.assert_close(mapped[statistic][i], value)
            if i == 1:
                torch.testing.assert_close(compiled[statistic], value)


class Rayleigh(NamedTuple):
    """Lengths of two normals of standard deviation `scale`: a stranger's distribution."""

    scale: Tensor

    reparameterised = True

    def noise(self, key, s):
        return keys.uniform(key, (s, *self.scale.shape), torch.float64)

    def sample(self, u):
        return self.scale * torch.sqrt(-2 * torch.log1p(-u))

    def log_prob(self, z):
        return (torch.log(z) - 2 * torch.log(self.scale) - 0.5 * (z / self.scale).square()).sum(-1)


class RayleighFamily(NamedTuple):
    axes = {"square": 1}  # noqa: RUF012

    def natural(self, q):
        return {"square": -0.5 / q.scale.square()}

    def from_natural(self, eta):
        return Rayleigh(torch.sqrt(-0.5 / eta["square"]))

    def from_mean(self, mean):
        return Rayleigh(torch.sqrt(0.5 * mean["square"]))

    def statistics(self, z):
        return {"square": z.square()}

    def log_base(self, z):
        return torch.log(z).sum(-1)

    def log_partition(self, eta):
        return -torch.log(-2 * eta["square"]).sum(-1)


def test_a_strangers_family_obeys_the_laws_and_has_errors():
    """Its kind is found by its methods; a wrong partition is caught; the error of the scale is scale / sqrt(4 s)."""
    family, q = RayleighFamily(), Rayleigh(torch.tensor([[0.7, 2.0], [1.1, 0.4]], dtype=torch.float64))
    assert len(laws.check(family, example=q)) == 8
    wrong = spoiled(family, log_partition=lambda family, eta: -torch.log(-eta["square"]).sum(-1))
    with pytest.raises(AssertionError, match="not close"):
        laws.exponential.its_density_is_that_of_the_distribution(wrong, q)
    found, errors = exponential.maximum_likelihood(family, q.sample(q.noise(KEY, 100)))
    torch.testing.assert_close(errors["scale"], found.scale / 20)


def test_the_conjugate_prior_counts_observations():
    """Of exponential waiting times it is the gamma; sequential updates are one; its mode is that of the density."""
    family = exponential.ExponentialDistributionFamily()
    prior = exponential.Conjugate.around(family, Exponential(column(2.0)), torch.tensor([3.0], dtype=torch.float64))
    x = Exponential(column(0.7)).sample(keys.uniform(KEY, (5, 1, 1), torch.float64))
    posterior = prior.posterior(x)
    one_by_one = prior
    for each in x:
        one_by_one = one_by_one.posterior(each[None])
    for one, other in zip(trees.leaves(posterior), trees.leaves(one_by_one), strict=True):
        torch.testing.assert_close(one, other)
    rates = torch.linspace(0.1, 5, 40, dtype=torch.float64)[:, None, None]
    log_density = posterior.log_density({"z": -rates})
    gamma = Gamma(posterior.nu[:, None] + 1, posterior.chi["z"])
    off = log_density - gamma.log_prob(rates)
    torch.testing.assert_close(off, off[:1].expand_as(off))
    slope = grad(lambda eta: posterior.log_density(eta).sum())(family.natural(posterior.mode()))
    assert slope["z"].abs().max() < 1e-9


def test_what_no_member_has_is_refused_in_one_line():
    same = torch.full((3, 1, 2), 2.0)
    for call, message in (
        (lambda: exponential.maximum_likelihood(GammaFamily(), same), "'log' below the log of 'z'"),
        (lambda: GammaFamily().from_natural({"log": column(0.5), "z": column(1.0)}), "'z' below 0"),
        (lambda: exponential.DiagNormalFamily().from_mean({"z": column(2.0), "square": column(3.0)}), "'square' above"),
        (lambda: exponential.family(FITTED["Dirichlet"]).from_mean({"log": column(-0.1, -0.1)}), "below 1"),
        (
            lambda: exponential.maximum_likelihood(exponential.family(Poisson(column(1.0))), same + 0.5),
            "in the support",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(KeyError, match="missing 'z'"):
        GammaFamily().from_natural({"log": column(0.5)})
    with pytest.raises(TypeError, match=r"expected q, a Gamma of GammaFamily, got .*exponential.family\(q\)"):
        GammaFamily().natural(DiagNormal(column(0.0), column(0.0)))
    with pytest.raises(TypeError, match="expected q, a member of an exponential family, got Cauchy"):
        exponential.family(Cauchy(column(0.0), column(0.0)))
