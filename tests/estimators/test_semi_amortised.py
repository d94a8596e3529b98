"""Steps up the ELBO from an encoder's q, on a linear Gaussian model whose posterior is a normal of the family."""

from functools import partial

import pytest
import torch
from torch.func import grad, vmap

from jensen import laws
from jensen.core import keys, trees
from jensen.core.distributions import Bernoulli, DiagNormal, FullNormal
from jensen.core.models.latent.posteriors import FULL, POSTERIORS
from jensen.estimators.gradients import pathwise
from jensen.estimators.inference import iterative, semi_amortised
from tests.estimators.test_pathwise import model

KEY, FRESH = keys.key(31), keys.key(32)
ORACLE = model(n=4, d=2)
EXACT = FullNormal.from_covariance(*ORACLE.posterior())
START = torch.cat([EXACT.loc + 0.4, torch.full((4, 2), -0.3).double(), torch.zeros(4, 1).double()], -1)
TRAINED = 100  # steps of the network


def normal(phi):
    """The full normal of its five numbers."""
    return FULL({}, DiagNormal(*phi[:, :4].chunk(2, -1)), phi[:, 4:])


def gap(phi):
    """log p(x) - ELBO(q) = KL(q || p(z | x)), in closed form: (n,)."""
    return normal(phi).kl(EXACT)


def refined(steps, start=START, oracle=ORACLE, **options):
    return semi_amortised.refine(oracle.log_joint, normal, start, KEY, steps, **options)


def elbo(phi, oracle=ORACLE):
    """At noise that the steps did not see: its mean is the ELBO of q."""
    q = normal(phi)
    return pathwise(oracle.log_joint, q, q.noise(FRESH, 7)).sum()


def test_more_steps_leave_less_of_the_gap_down_to_none():
    """The landing sticks: at the posterior itself steps have no noise."""
    gaps = torch.stack([gap(refined(steps)) for steps in (0, 1, 5, 20, 60)])
    assert torch.equal(gaps[0], gap(START))
    assert (gaps[0] > 0.3).all()
    assert (gaps[1:] < gaps[:-1]).all()
    assert (gaps[-1] < 3e-4).all()


def test_the_bound_of_a_refined_q_is_one():
    """E ELBO(q_T) = log p(x) - KL, over noise of another key than the steps'."""
    phi = refined(3)
    q = normal(phi)
    log_w = ORACLE.log_joint(q.sample(q.noise(FRESH, 4000))) - q.log_prob(q.sample(q.noise(FRESH, 4000)))
    laws.mean_is(log_w, ORACLE.log_evidence() - gap(phi))


def along(f, at, direction, h=1e-5):
    return (f(at + h * direction) - f(at - h * direction)) / (2 * h)


@pytest.mark.parametrize("of", ["start", "weight"])
def test_differentiable_steps_have_the_gradient_of_what_they_do(of):
    """Against differences along a random direction, of the encoder's outputs and of the decoder's weights."""

    def value(t, differentiable=True):
        start, oracle = (t, ORACLE) if of == "start" else (START, ORACLE._replace(weight=t))
        return elbo(refined(4, start, oracle, differentiable=differentiable), oracle)

    at = START if of == "start" else ORACLE.weight
    direction = keys.normal(keys.key(33), tuple(at.shape), torch.float64)
    exact = along(value, at, direction)
    found = (grad(value)(at) * direction).sum()
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=1e-7)
    stopped = (grad(partial(value, differentiable=False))(at) * direction).sum()
    assert (stopped - exact).abs() > 1e-2 * exact.abs()


def test_steps_without_a_gradient_are_a_constant_which_matters_less_near_the_best_q():
    """Their gradient in the weights is that at a q which is a constant, and the rest vanishes as steps are added."""

    def exact_elbo(phi, oracle):
        return (oracle.log_evidence() - normal(phi).kl(FullNormal.from_covariance(*oracle.posterior()))).sum()

    def slope(steps, differentiable):
        def value(weight):
            oracle = ORACLE._replace(weight=weight)
            return exact_elbo(refined(steps, START, oracle, differentiable=differentiable), oracle)

        return grad(value)(ORACLE.weight)

    phi = refined(2)
    at_a_constant = grad(lambda weight: exact_elbo(phi, ORACLE._replace(weight=weight)))(ORACLE.weight)
    torch.testing.assert_close(slope(2, False), at_a_constant)
    assert (slope(60, True) - slope(60, False)).norm() < 0.1 * (slope(5, True) - slope(5, False)).norm()


def test_a_datum_alone_takes_the_same_steps():
    alone = ORACLE._replace(x=ORACLE.x[2:3])
    torch.testing.assert_close(refined(5)[2:3], refined(5, START[2:3], alone))


@pytest.mark.parametrize("name", ["mixture", "planar", "iaf"])
def test_every_family_climbs(name):
    """In the outputs of an encoder alone: weights that all data share stay where they are."""
    family = POSTERIORS[name]
    params = family.init(KEY, 2, torch.float64)
    vector, unravel = trees.ravel(params)
    params = unravel(vector + 0.1 * keys.normal(keys.key(8), (len(vector),), torch.float64))
    start = torch.cat([START[:, :4], torch.zeros(4, family.extra(2)).double()], -1)

    def build(phi):
        return family(params, DiagNormal(*phi[:, :4].chunk(2, -1)), phi[:, 4:])

    def exact_elbo(phi):
        q = build(phi)
        return pathwise(ORACLE.log_joint, q, q.noise(FRESH, 1000))

    climbed = semi_amortised.refine(ORACLE.log_joint, build, start, KEY, 20, 10, 0.05)
    assert (exact_elbo(climbed) > exact_elbo(start) + 0.2).all()


def test_a_network_that_reads_gradients_takes_longer_steps_than_ascent():
    """It starts where the encoder's q is, and learns to leave less of the gap in three steps than ascent does."""
    params = iterative.init(KEY, 5, (32,), torch.float64)
    climb = partial(iterative.refine, log_p=ORACLE.log_joint, build=normal, key=KEY, steps=3)
    assert torch.equal(climb(params, start=START), START)
    adam = torch.optim.Adam(trees.leaves(params), 0.01)

    def loss(params, key):
        offset = 0.5 * keys.normal(key, (4, 5), torch.float64)
        q = normal(climb(params, start=START + offset, key=keys.fold_in(key, 1)))
        return -pathwise(ORACLE.log_joint, q, q.noise(keys.fold_in(key, 2), 5)).mean()

    for step in range(TRAINED):
        trees.set_grads(params, grad(loss)(params, keys.fold_in(KEY, step)))
        adam.step()
    ascent = min(gap(refined(3, step_size=size)).mean() for size in (0.02, 0.05, 0.1, 0.2))
    assert gap(climb(params, start=START)).mean() < 0.5 * ascent


@pytest.mark.slow
def test_transforms_agree():
    """Eager, compiled and mapped over starts, of a step with a gradient and of one without."""
    params = iterative.init(KEY, 4, (4,), torch.float64)

    def build(phi):
        return DiagNormal(*phi.chunk(2, -1))

    def value(start):
        phi = semi_amortised.refine(ORACLE.log_joint, build, start, KEY, 1, differentiable=True)
        phi = iterative.refine(params, ORACLE.log_joint, build, phi, KEY, 1)
        return pathwise(ORACLE.log_joint, build(phi), build(phi).noise(FRESH, 3)).sum()

    slope, start = grad(value), START[:, :4]
    torch.testing.assert_close(torch.compile(slope, backend="aot_eager", fullgraph=True)(start), slope(start))
    mapped = vmap(slope)(torch.stack([start, start + 0.1]))
    torch.testing.assert_close(mapped, torch.stack([slope(start), slope(start + 0.1)]))


def test_what_cannot_be_climbed_raises():
    with pytest.raises(TypeError, match="of reparameterised distributions, got one of Bernoulli"):
        semi_amortised.refine(ORACLE.log_joint, lambda phi: Bernoulli(phi), START, KEY)
    with pytest.raises(ValueError, match=r"expected start \(n, e\), got \(5,\): one row per datum"):
        semi_amortised.refine(ORACLE.log_joint, normal, START[0], KEY)
    with pytest.raises(ValueError, match="expected steps, a whole number >= 0, got -1"):
        iterative.refine({}, ORACLE.log_joint, normal, START, KEY, -1)
