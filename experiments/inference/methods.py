"""Inference algorithms by name: each makes a `Found` of a posterior, within a budget.

A new one is a function here, and its row in METHODS.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.func import grad

from jensen.core import keys
from jensen.core.contracts import Distribution, Key
from jensen.core.distributions import DiagNormal, FullNormal, Pushforward
from jensen.core.flows import Triangular
from jensen.core.models.bayes import Posterior
from jensen.core.models.latent import posteriors
from jensen.core.models.latent.posteriors.flows import Flows
from jensen.estimators.evidence import smc
from jensen.estimators.inference import advi, ep, grid, hmc, judge, laplace, metropolis, pathfinder, svgd
from jensen.estimators.inference.approximation import Approximation
from jensen.estimators.inference.coordinates import at_modes, best_of, in_coordinates
from jensen.experiments.inference.found import Found, Known, of_approximation, of_chains, of_particles
from jensen.experiments.run.errors import InputError

STARTS = 4  # of a climb to a mode
SPREAD = 0.7  # of the posterior's variance, below which standard deviations of particles are a fifth too small
RESOLVED = 0.01  # nats, the most that half the points of a grid may be off
MODES = 16  # starts from which chains' modes are climbed to
FLOW_ADAM = advi.Adam(steps=300, step_size=0.01)  # flows need more and smaller steps than normals
FLOW = "iaf"  # of the flows, the one with the best bound on eight schools, and the fastest
ROUND_A_NORMAL = (posteriors.Splines, posteriors.MixtureOfNormals)  # which do not find the scales by themselves
SLOWER = 10  # steps of Metropolis for each of HMC
LEAST_CHAINS, LEAST_STEPS = 4, 16


@dataclass(frozen=True)
class Budget:
    """What inference spends."""

    samples: int = 10_000
    """Draws of an approximation, by which its ELBO, k-hat and the evidence are found."""
    chains: int = 32
    """Chains of HMC and Metropolis."""
    steps: int = 500
    """Draws of each chain after a warm-up of as many, times 10 for Metropolis; steps of SVGD."""
    particles: int = 2000
    """Particles of sequential Monte Carlo, in 20 islands; SVGD takes a tenth of them."""
    rounds: int = 8
    """Rounds of ADVI's steps, at most."""
    posterior: str = "full"
    """ADVI's family, by its name and sizes: diag, full, low-rank(5), mixture(4), flow, spline(2), …; Laplace's is diag,
    or full for all others."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        least = {"samples": 100, "chains": LEAST_CHAINS, "steps": LEAST_STEPS, "particles": 40, "rounds": 1}
        for name, number in least.items():
            if getattr(self, name) < number:
                raise InputError(f"expected --{name} of at least {number}, got {getattr(self, name)}")
        if self.particles % 20:
            raise InputError(f"expected --particles in 20 islands, a multiple of 20, got {self.particles}")
        family(self.posterior)


Method = Callable[[Posterior, Key, Budget], Found]


def family(name: str) -> posteriors.Posterior:
    """A posterior family; "flow" is the one that fits most posteriors. InputError for an unknown one."""
    try:
        return posteriors.parse(FLOW if name == "flow" else name)
    except ValueError as error:
        raise InputError(f"--posterior: {error}") from error


def by_laplace(posterior: Posterior, key: Key, budget: Budget) -> Found:
    """A normal of the curvature at the best mode, of a full or a diagonal covariance."""
    start_key, fit_key = keys.split(key)
    covariance = "diagonal" if family(budget.posterior) is posteriors.DIAG else "full"
    found, _ = laplace.fit(fit_key, posterior, posterior.starts(start_key, STARTS), covariance, budget.samples)
    return of_approximation(found)


def by_advi(posterior: Posterior, key: Key, budget: Budget) -> Found:
    """The best q of a family by its bound; normals by natural gradients."""
    start_key, fit_key, own_key, further_key = keys.split(key, 4)
    start, q = posterior.starts(start_key, STARTS), standard(budget.posterior, posterior.start, own_key)
    fit = partial(advi.fit, fit_key, posterior, start, rounds=budget.rounds, samples=budget.samples)
    chosen = family(budget.posterior)
    if isinstance(chosen, ROUND_A_NORMAL):
        found = _round(posterior, fit()[0], q, further_key, budget)
    elif isinstance(chosen, Flows):
        found, _ = fit(q, adam=FLOW_ADAM)
    else:
        found, _ = fit(q, "diagonal" if chosen is posteriors.DIAG else "full")
    return of_approximation(found)


def _round(posterior: Posterior, normal: Approximation, q: Distribution, key: Key, budget: Budget) -> Approximation:
    """By q in coordinates in which a normal approximation is N(0, I)."""
    fit_key, judge_key = keys.split(key)
    where = Triangular(*(field[0] for field in FullNormal.from_draws(normal.z)))
    of_u, start = in_coordinates(posterior, where), torch.zeros_like(posterior.start)
    found, _ = advi.fit(fit_key, of_u, start, q, "own", FLOW_ADAM, budget.rounds)
    return judge(posterior, Pushforward(found.q, (where,)), judge_key, budget.samples, normal.at_mode)


def by_pathfinder(posterior: Posterior, key: Key, budget: Budget) -> Found:
    """Normals along the paths to modes, mixed."""
    start_key, fit_key = keys.split(key)
    found, _ = pathfinder.fit(fit_key, posterior, posterior.starts(start_key, STARTS), samples=budget.samples)
    return of_approximation(found)


def by_ep(posterior: Posterior, key: Key, budget: Budget) -> Found:
    """Expectation propagation, of logistic regression alone."""
    if (name := posterior.model.value.name) != "logistic regression":
        raise ValueError(f"expected logistic regression, got {name}: take advi")
    found, _ = ep.fit(key, posterior.data["x"], posterior.data["y"], samples=budget.samples)
    return of_approximation(found)


def by_svgd(posterior: Posterior, key: Key, budget: Budget) -> Found:
    """Particles that move along their kernelised gradient."""
    start_key, fit_key, evidence_key = keys.split(key, 3)
    start = posterior.starts(start_key, budget.particles // 10)
    particles, trace = svgd.fit(fit_key, posterior, start, steps=budget.steps)
    reliable = bool(trace.converged & (particles.variance_ratio >= SPREAD).all())
    found = of_particles(posterior, particles.draws, particles.verdict(), reliable, evidence_key, budget.samples)
    return found._replace(independent=False)


def by_hmc(posterior: Posterior, key: Key, budget: Budget) -> Found:
    """Many chains with trajectories of adapted length, in the best mode's coordinates, from around every mode found."""
    start_key, fit_key, evidence_key = keys.split(key, 3)
    start = posterior.starts(start_key, budget.chains)
    normals = at_modes(posterior, start[:MODES])
    known = ~normals.log_p.isnan()
    if not known.any():
        chains, _ = hmc.fit(fit_key, posterior, start, budget.steps, budget.steps)
        return of_chains(posterior, chains, evidence_key, budget.samples)
    where = best_of(normals, "full")
    each = torch.arange(len(start)) % int(known.sum())  # a mode for each chain
    around = normals.mode[known][each] + torch.einsum("mij,mj->mi", normals.factor[known][each], start)
    around = torch.where(_usable(posterior, around)[:, None], around, start)  # not where log p overflows
    at, _ = where.inverse(around)
    chains, _ = hmc.fit(fit_key, in_coordinates(posterior, where), at, budget.steps, budget.steps)
    z, log_det = where.forward(chains.z)
    return of_chains(posterior, chains._replace(z=z, log_p=chains.log_p - log_det), evidence_key, budget.samples)


def _usable(posterior: Posterior, z: Float[Tensor, "m d"]) -> Bool[Tensor, " m"]:
    """Whether log p and its gradient are finite."""
    slope = grad(lambda z: posterior(z[:, None]).sum())(z)
    return posterior(z[:, None])[:, 0].isfinite() & slope.isfinite().all(1)


def by_metropolis(posterior: Posterior, key: Key, budget: Budget) -> Found:
    """Random walks of many chains."""
    start_key, fit_key, evidence_key = keys.split(key, 3)
    start, steps = posterior.starts(start_key, budget.chains), SLOWER * budget.steps
    chains, _ = metropolis.fit(fit_key, posterior, start, steps, steps // 2)
    return of_chains(posterior, chains, evidence_key, budget.samples)


def by_smc(posterior: Posterior, key: Key, budget: Budget) -> Found:
    """Particles that go from the prior to the posterior by temperatures."""
    start_key, run_key, evidence_key = keys.split(key, 3)
    q = posterior.prior() if posterior.model.value.draw is not None else at_mode(posterior, start_key)
    found = smc(posterior, q, run_key, budget.particles)
    reliable = bool(found.standard_error.isfinite().all())
    return of_particles(posterior, found.z, found.verdict(), reliable, evidence_key, budget.samples, {"SMC": found})


def by_grid(posterior: Posterior, key: Key, budget: Budget) -> Found:
    """The points of a grid, for one or two coordinates."""
    if posterior.d > 2:
        raise ValueError(f"expected a posterior of 1 or 2 coordinates, got {posterior.d}: take hmc or advi")
    start_key, fit_key, draws_key, evidence_key = keys.split(key, 4)
    found, _ = grid.fit(fit_key, posterior, posterior.starts(start_key, STARTS))
    other = {"grid": Known(found.log_p[None], found.error[None])}
    z = found.draws(draws_key, budget.samples)
    reliable = bool((found.error <= RESOLVED) & (found.edge.max() <= grid.EDGE))
    return of_particles(posterior, z, found.verdict(), reliable, evidence_key, budget.samples, other)


METHODS: dict[str, Method] = {
    "laplace": by_laplace,
    "advi": by_advi,
    "pathfinder": by_pathfinder,
    "ep": by_ep,
    "svgd": by_svgd,
    "hmc": by_hmc,
    "metropolis": by_metropolis,
    "smc": by_smc,
    "grid": by_grid,
}


def at_mode(posterior: Posterior, key: Key) -> Distribution:
    """Laplace's normal at the best mode that a few starts climb to. ValueError where none does."""
    start_key, fit_key = keys.split(key)
    return laplace.fit(fit_key, posterior, posterior.starts(start_key, STARTS), samples=2)[0].q


def standard(name: str, start: Float[Tensor, "1 d"], key: Key) -> Distribution:
    """The family's member near N(0, I), of the start's dimensions."""
    chosen, zero = family(name), torch.zeros_like(start)
    d, dtype = start.shape[1], start.dtype
    return chosen(chosen.init(key, d, dtype), DiagNormal(zero, zero), start.new_zeros(1, chosen.extra(d)))


def named(name: str) -> Method:
    """The method of a name. InputError for an unknown one, with the nearest."""
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1)
        meant = f" (the nearest is {near[0]!r})" if near else ""
        raise InputError(f"expected --method, one of {', '.join(METHODS)} or all, got {name!r}{meant}")
    return METHODS[name]
