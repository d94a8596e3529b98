"""Estimators of the evidence log p(x), per datum in nats, each with its standard error: `contracts.Estimate`."""

from jensen.estimators.evidence._bdmc import Sandwich, bdmc
from jensen.estimators.evidence._bridge import Bridge, bridge, from_log_ratios
from jensen.estimators.evidence._harmonic import Harmonic, harmonic
from jensen.estimators.evidence._importance import Evidence, draw, draw_at, from_log_weights, importance
from jensen.estimators.evidence._laplace import Laplace, laplace
from jensen.estimators.evidence._smc import Smc, smc, systematic
from jensen.estimators.evidence.annealed import Annealed, annealed_importance
from jensen.estimators.evidence.comparison import (
    BayesFactor,
    Probabilities,
    bayes_factor,
    bic,
    posterior_probabilities,
)
from jensen.estimators.evidence.modes import Mode, find_mode
from jensen.estimators.evidence.moves import Hamiltonian, hmc, langevin
from jensen.estimators.evidence.pareto import fit_pareto, pareto_quantile
from jensen.estimators.evidence.paths import linear, sigmoidal
from jensen.estimators.evidence.tail import smooth_tail, tail_size

__all__ = [
    "Annealed",
    "BayesFactor",
    "Bridge",
    "Evidence",
    "Hamiltonian",
    "Harmonic",
    "Laplace",
    "Mode",
    "Probabilities",
    "Sandwich",
    "Smc",
    "annealed_importance",
    "bayes_factor",
    "bdmc",
    "bic",
    "bridge",
    "draw",
    "draw_at",
    "find_mode",
    "fit_pareto",
    "from_log_ratios",
    "from_log_weights",
    "harmonic",
    "hmc",
    "importance",
    "langevin",
    "laplace",
    "linear",
    "pareto_quantile",
    "posterior_probabilities",
    "sigmoidal",
    "smc",
    "smooth_tail",
    "systematic",
    "tail_size",
]
