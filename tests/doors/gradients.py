"""Estimators of gradients, their baselines, and inference."""

import math

import torch

from jensen.core import bounds, keys
from jensen.core.distributions import Bernoulli, Categorical, DiagNormal, Given, Joint
from jensen.estimators import gradients as g
from jensen.estimators.gradients import baselines, catalogue
from jensen.estimators.inference import iterative, semi_amortised, svgd
from tests.doors.door import KEY, also, door, only

S, N, D = 4, 5, 3
NORMAL, BINARY = DiagNormal(torch.zeros(N, D), torch.zeros(N, D)), Bernoulli(torch.zeros(N, D))
CHOICE = Categorical(torch.zeros(N, D, 4))
JOINT = Joint(z=NORMAL, c=Given({}, lambda params, z: Bernoulli(z["z"])))
LOG_W = torch.zeros(S, N)
SCALAR, MIXED = (lambda log_w: log_w.mean()), (lambda log_w: log_w.mean(0).flip(0))
EACH, ONE_BOUND = bounds.iwae, bounds.elbo
ANY_BOUND = only(EACH, "iwae", None, bounds.Renyi, SCALAR, MIXED, lambda log_w: log_w, lambda log_w: 3.0)
ANY_ALONE = only(EACH, "iwae", None, bounds.Renyi, SCALAR, lambda log_w: 3.0)
THE_ELBO = only(ONE_BOUND, "elbo", None, bounds.iwae, SCALAR)
TEMPERATURE = also(0.5, 0.0, -1.0, math.inf, torch.ones(2), torch.tensor(math.nan))


def total(z):
    return z.flatten(2).sum(-1)


def total_of_all(z):
    return total(z["z"]) + total(z["c"])


LOG_P = also(total, lambda z: z.sum(), lambda z: z, lambda z: total(z).detach().numpy(), lambda z: total(z) > 0)
ANY = {"bound": ANY_BOUND}
ELBO = {"bound": THE_ELBO}


def estimator(function, q, other, **options):
    """The door of an estimator at q's noise; `other` are distributions that it does not take."""
    return door(function, log_p=LOG_P, q=also(q, *other), noise=q.noise(KEY, S), **options)


CONTROL = also(total, lambda t: t.sum(), lambda t: t)
BASELINE = also(baselines.leave_one_out, baselines.Learned, lambda *_: torch.zeros(3, 7), lambda *_: 3.0)

BUILD = also(lambda phi: DiagNormal(*phi.chunk(2, -1)), lambda phi: Bernoulli(phi), lambda phi: phi)
CLIMB = {"build": BUILD, "start": torch.zeros(N, 2 * D), "key": KEY}

ROWS = {
    "gradients.pathwise": estimator(g.pathwise, NORMAL, (BINARY,), **ANY),
    "gradients.stl": estimator(g.stl, NORMAL, (BINARY,), **ELBO),
    "gradients.dreg": estimator(g.dreg, NORMAL, (BINARY,), **ANY),
    "gradients.analytic_kl": door(
        g.analytic_kl, log_likelihood=LOG_P, q=also(NORMAL, BINARY), noise=NORMAL.noise(KEY, S),
        prior=also(NORMAL, BINARY), **ELBO,
    ),
    "gradients.log_weights": estimator(g.log_weights, NORMAL, (BINARY,)),
    "gradients.score": estimator(g.score, BINARY, (), **ANY, baseline=BASELINE),
    "gradients.vargrad": estimator(g.vargrad, BINARY, (), **ELBO),
    "gradients.muprop": estimator(g.muprop, BINARY, (NORMAL,), **ELBO),
    "gradients.rebar": estimator(g.rebar, BINARY, (NORMAL,), **ELBO, temperature=TEMPERATURE, eta=only(1.0, "a", None)),
    "gradients.relax": estimator(g.relax, BINARY, (NORMAL,), **ELBO, control=CONTROL),
    "gradients.second_moment": estimator(g.second_moment, BINARY, (NORMAL,), **ELBO, control=CONTROL),
    "gradients.relaxed_density": door(
        g.relaxed_density, log_p=total, q=also(BINARY, NORMAL), temperature=TEMPERATURE, eta=only(1.0, "a", None)
    ),
    "gradients.arm": estimator(g.arm, BINARY, (NORMAL, CHOICE), **ELBO),
    "gradients.disarm": estimator(g.disarm, BINARY, (NORMAL, CHOICE), **ELBO),
    "gradients.arsm": estimator(g.arsm, CHOICE, (NORMAL, BINARY), **ELBO),
    "gradients.measure_valued": estimator(g.measure_valued, BINARY, (CHOICE,), **ELBO),
    "gradients.exact": door(g.exact, log_p=LOG_P, q=also(BINARY, NORMAL), noise=only(None), **ELBO),
    "gradients.sum_and_sample": estimator(g.sum_and_sample, BINARY, (NORMAL,), top=also(3, 0, 8), **ELBO),
    "gradients.straight_through": estimator(g.straight_through, BINARY, (NORMAL,), **ANY),
    "gradients.concrete": estimator(g.concrete, BINARY, (NORMAL,), **ANY, temperature=TEMPERATURE),
    "gradients.gumbel_straight_through": estimator(
        g.gumbel_straight_through, BINARY, (NORMAL,), **ANY, temperature=TEMPERATURE
    ),
    "gradients.mixed": door(
        g.mixed, log_p=also(total_of_all, lambda z: z["z"], lambda z: 3.0), q=also(JOINT, NORMAL),
        noise=only(JOINT.noise(KEY, S), NORMAL.noise(KEY, S), {"z": 3.0}, {"x": NORMAL.noise(KEY, S)}), **ANY,
        how=only(
            {"z": g.pathwise, "c": g.score}, {"z": g.pathwise}, {"z": "stl", "c": g.score}, "stl",
            {"z": g.exact, "c": g.score},
        ),
    ),
    "gradients.wake": estimator(g.wake, BINARY, (), **ANY),
    "gradients.wake_theta": estimator(g.wake_theta, BINARY, (), **ANY),
    "gradients.wake_phi": estimator(g.wake_phi, BINARY, (), **ANY),
    "gradients.sleep_phi": door(g.sleep_phi, q=BINARY, z=torch.zeros(N, D)),
    "gradients.local_reparameterisation": door(
        g.local_reparameterisation, x=torch.zeros(N, 2), loc=torch.zeros(D, 2), log_scale=torch.zeros(D, 2),
        eps=torch.zeros(S, N, D),
    ),
    "baselines.leave_one_out": door(baselines.leave_one_out, bound=ANY_ALONE, log_w=LOG_W),
    "baselines.vimco": door(baselines.vimco, bound=ANY_ALONE, log_w=LOG_W),
    "baselines.none": door(baselines.none, bound=only(EACH), log_w=LOG_W),
    "baselines.optimal": door(
        baselines.optimal, bound=only(ONE_BOUND, "elbo", bounds.iwae), log_w=LOG_W, q=NORMAL,
        z=only(torch.zeros(S, N, D))
    ),
    "baselines.RunningMean.start": door(
        baselines.RunningMean.start, like=only(LOG_W, 3, LOG_W.numpy(), LOG_W.long())
    ),
    "baselines.RunningMean.update": door(
        baselines.RunningMean.start(LOG_W).update, value=torch.zeros(N), decay=also(0.9, 1.0, -0.1)
    ),
    "baselines.Learned": door(
        lambda prediction: baselines.Learned(prediction)(bounds.elbo, LOG_W), prediction=torch.zeros(N)
    ),
    "baselines.Learned.loss": door(baselines.Learned(torch.zeros(N)).loss, value=also(torch.zeros(N), torch.zeros(4))),
    "catalogue.check": door(
        catalogue.check, name=only("stl", "slt", 3), q=also(NORMAL, BINARY), bound=THE_ELBO, s=also(2, 0)
    ),
    "catalogue.check_baseline": door(
        catalogue.check_baseline, name=only("vimco", "vmco", 3), q=only(NORMAL, 3, DiagNormal),
        bound=only(EACH, "iwae", bounds.Renyi), s=also(2, 1)
    ),
    "catalogue.suited": door(catalogue.suited, q=NORMAL),
    "svgd.init": door(svgd.init, particles=also(torch.zeros(4, D), torch.zeros(1, D))),
    "svgd.update": door(
        svgd.update, state=only(svgd.init(keys.normal(KEY, (4, D))), 3, torch.zeros(4, D)),
        log_p=also(total, lambda z: z.sum(), lambda z: z), step_size=also(0.1, -0.1, math.inf), kernel="rbf",
        temperature=also(1.0, -0.1),
    ),
    "svgd.fit": door(
        svgd.fit, key=KEY, log_p=also(total, lambda z: z.sum(), lambda z: z), start=keys.normal(KEY, (4, D)),
        steps=also(2, 0), step_size=also(0.1, -0.1, math.inf), kernel="rbf", cycles=also(1, -1),
    ),
    "svgd.temperatures": door(svgd.temperatures, steps=also(4, 0), cycles=also(1, -1)),
    "semi_amortised.refine": door(
        semi_amortised.refine, log_p=also(total, lambda z: z.sum(), lambda z: z), **CLIMB, steps=2, s=also(2, 0),
        step_size=also(0.1, -0.1, math.inf), differentiable=True,
        units=only(torch.ones(N, 2 * D), torch.ones(N, D), 3, "x"),
    ),
    "iterative.init": door(
        iterative.init, key=KEY, e=also(4, 0), hidden=only((3,), 3, (0,), (2.5,)), dtype=only(torch.float32, "float32"),
    ),
    "iterative.refine": door(
        iterative.refine, params=only(iterative.init(KEY, 2 * D, (3,)), {}, 3),
        log_p=also(total, lambda z: z.sum(), lambda z: z), **CLIMB, steps=2, s=also(2, 0),
    ),
}  # fmt: skip
