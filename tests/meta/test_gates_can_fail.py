"""Known-wrong gradients are more than 10 standard errors off at the points where right ones are within 4."""

import pytest
import torch

from jensen import laws
from jensen.core import bounds, trees
from jensen.core.distributions import DiagNormal
from jensen.core.distributions.standard_normal import rayleigh
from jensen.estimators import gradients as g
from jensen.estimators.gradients import baselines
from jensen.estimators.gradients.contract import carry, event_sum, weighted
from jensen.laws import gates
from tests.estimators.test_gates import flat


def every_weight_squared(log_p, q, eps):
    """DReG that scales theta's gradient by w^2 too (TensorFlow Probability)."""
    z, frozen = q.sample(eps), trees.stop(q)
    log_w = log_p(z) - frozen.log_prob(z)
    return bounds.iwae(log_w.detach()) + carry(weighted(torch.softmax(log_w.detach(), 0).square(), log_w))


def weights_not_squared(log_p, q, eps):
    z = q.sample(eps)
    return bounds.iwae(log_p(z) - trees.stop(q).log_prob(z))


def no_score(log_p, q, u):
    """The Renyi bound of a discrete q, differentiated as if it had a path: phi's gradient is 0 (Pyro)."""
    z = q.sample(u)
    return bounds.Renyi(0.0)(log_p(z) - trees.stop(q).log_prob(z))


def density_of_the_weights_forgotten(log_p, q, u):
    """The score of several samples, without -sum_s u_s grad log q."""
    z = q.sample(u).detach()
    log_q = q.log_prob(z)
    log_w = log_p(z) - log_q.detach()
    signal = bounds.iwae(log_w) - baselines.vimco(bounds.iwae, log_w)
    return bounds.iwae(log_w) + carry((signal.detach() * log_q).sum(0))


def own_sample_in_the_baseline(log_p, q, u):
    return g.score(log_p, q, u, baseline=lambda bound, log_w, *_: log_w.mean(0).expand_as(log_w))


def best_sample_as_the_baseline(log_p, q, u):
    return g.score(log_p, q, u, bound=bounds.iwae, baseline=lambda bound, log_w, *_: log_w.amax(0).expand_as(log_w))


def vimco_over_too_few(log_p, q, u):
    """The others' log weights summed, where their mean is meant."""

    def baseline(bound, log_w, *_):
        own = torch.eye(len(log_w), dtype=torch.bool)[..., None]
        return bound(torch.where(own, log_w, log_w[:, None]).flatten(1)).reshape(log_w.shape)

    return g.score(log_p, q, u, bound=bounds.iwae, baseline=baseline)


def coupled(weight):
    def estimate(log_p, q, u):
        z, other = q.sample(u), q.sample(1 - u)
        f, f_other = ((log_p(b) - q.log_prob(b)).detach() for b in (z, other))
        slope = ((f_other - f)[..., None] * weight(q, u, z, other)).mean(0).detach()
        return bounds.elbo(f) + carry((slope * q.logits).sum(-1))

    return estimate


one_sided_disarm = coupled(lambda q, u, z, other: 0.5 * (other - z) * torch.sigmoid(q.logits))
doubled_disarm = coupled(lambda q, u, z, other: (other - z) * torch.sigmoid(q.logits.abs()))
turned_disarm = coupled(lambda q, u, z, other: 0.5 * (z - other) * torch.sigmoid(q.logits.abs()))
turned_arm = coupled(lambda q, u, z, other: 0.5 - u)


def rebar(path):
    def estimate(log_p, q, u):
        z, t = q.sample(u), q.perturbed(u)
        log_w = log_p(z) - trees.stop(q).log_prob(z)
        control = g.relaxed_density(log_p, q, 0.5)
        value, pull, *_ = torch.func.vjp(control, t.detach())
        slope = pull(torch.ones_like(value))[0].detach()
        score = (log_w - value).detach() * q.log_prob(z)
        return bounds.elbo(log_w) + carry((score + event_sum(slope * path(q, u, z, t))).mean(0))

    return estimate


rebar_without_its_correction = rebar(lambda q, u, z, t: 0 * t)
rebar_without_conditioning = rebar(lambda q, u, z, t: t)


def muprop_without_its_mean(log_p, q, u):
    return g.muprop(log_p, q, u) - carry(g.muprop(log_p, q, u)) + carry(_muprop_score(log_p, q, u))


def _muprop_score(log_p, q, u):
    z, frozen = q.sample(u), trees.stop(q)
    mean = q.mean().detach()
    at, pull, *_ = torch.func.vjp(lambda m: log_p(m) - frozen.log_prob(m), mean[None])
    h = at + event_sum(pull(torch.ones_like(at))[0] * (z - mean))
    return ((log_p(z) - frozen.log_prob(z) - h).detach() * q.log_prob(z)).mean(0)


def measure_without_its_constant(log_p, q, eps):
    frozen, loc, scale = trees.stop(q), q.loc.detach(), q.log_scale.detach().exp()
    f = lambda z: (log_p(z) - frozen.log_prob(z)).detach()[..., None]  # noqa: E731
    step = scale * rayleigh(eps)
    slope = ((f(loc + step) - f(loc - step)) / scale).mean(0)
    return f(q.sample(eps)).mean((0, 2)) + carry((slope * q.loc).sum(-1))


def mass_of_the_rest_forgotten(log_p, q, u):
    whole = g.sum_and_sample(log_p, q, u, top=5)
    z = q.support()
    best = q.log_prob(z).detach().topk(5, 0).indices
    log_q = q.log_prob(z).gather(0, best)
    log_w = (log_p(z) - q.log_prob(z)).gather(0, best)
    return whole.detach() + carry(weighted(log_q.exp(), log_w))


def noise_shared_by_samples(log_p, q, eps):
    return g.pathwise(log_p, q, eps[:1].expand_as(eps), bound=bounds.iwae)


def path_without_the_density(log_p, q, eps):
    z = q.sample(eps)
    return bounds.iwae(log_p(z) - DiagNormal(*(t.detach() for t in q)).log_prob(z))


def weights_of_the_wrong_power(log_p, q, eps):
    """The Renyi bound with IWAE's weights, as if alpha were 0."""
    log_w = g.log_weights(log_p, q, eps)
    return bounds.Renyi(0.5)(log_w.detach()) + carry(bounds.iwae(log_w))


def count_taken_for_one(log_p, q, u):
    """The IWAE bound as a sum of separate signals, each divided by s."""
    z = q.sample(u).detach()
    log_q = q.log_prob(z)
    log_w = log_p(z) - log_q
    return bounds.iwae(log_w) + carry((log_w.detach() * log_q).mean(0))


NORMAL, BERNOULLI, CATEGORICAL = gates.linear_gaussian(), gates.four_bernoullis(), gates.three_categoricals()
PLANTS = [
    (NORMAL, every_weight_squared, gates.iwae, "theta"),
    (NORMAL, weights_not_squared, gates.iwae, "phi"),
    (NORMAL, noise_shared_by_samples, gates.iwae, "phi"),
    (NORMAL, path_without_the_density, gates.iwae, "phi"),
    (NORMAL, measure_without_its_constant, gates.elbo, "phi"),
    (gates.mixture(), every_weight_squared, gates.iwae, "theta"),
    (gates.mixture(), weights_not_squared, gates.iwae, "phi"),
    (gates.mixture(), weights_of_the_wrong_power, gates.renyi_half, "theta"),
    (CATEGORICAL, count_taken_for_one, gates.iwae, "phi"),
    *[
        (gate, wrong, bound, "phi")
        for gate in (BERNOULLI, CATEGORICAL)
        for wrong, bound in (
            (no_score, gates.iwae),
            (density_of_the_weights_forgotten, gates.iwae),
            (best_sample_as_the_baseline, gates.iwae),
            (vimco_over_too_few, gates.iwae),
            (own_sample_in_the_baseline, gates.elbo),
            (rebar_without_its_correction, gates.elbo),
            (rebar_without_conditioning, gates.elbo),
            (muprop_without_its_mean, gates.elbo),
            (mass_of_the_rest_forgotten, gates.elbo),
        )
    ],
    *[(BERNOULLI, wrong, gates.elbo, "phi") for wrong in (one_sided_disarm, doubled_disarm, turned_disarm, turned_arm)],
]
NAMES = [f"{wrong.__name__}-{i}" for i, (_, wrong, _, _) in enumerate(PLANTS)]


@pytest.mark.parametrize(("gate", "wrong", "bound", "group"), PLANTS, ids=NAMES)
def test_the_gate_catches(gate, wrong, bound, group):
    truth = flat(gate.exact(bound, 1 if bound is gates.elbo else 2)[group], 0)
    with pytest.raises(AssertionError, match="standard errors off"):
        laws.mean_is_exact(lambda key, reps: flat(gate.draws(wrong, 2, reps, key)[group]), truth, gates.KEY, errors=10)
