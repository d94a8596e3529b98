"""Diagnostics of weights, posteriors, draws and codes, with their verdicts."""

import torch

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.estimators import diagnostics

KEY = keys.key(0)
CODES = keys.normal(KEY, (60, 4))


def of_weights():
    log_w = keys.normal(KEY, (100, 5))
    diagnostics.amortisation(log_w[:, 0], log_w[:, 1], log_w[:, 2]).verdict()
    diagnostics.psis(log_w).verdict(), diagnostics.ess(log_w)


def of_posteriors():
    q, p = (DiagNormal(torch.zeros(5, 3), torch.full((5, 3), scale)) for scale in (0.1, 0.0))
    diagnostics.active_units(p), diagnostics.collapse(p, q), diagnostics.aggregate_information(q, p, KEY)


def of_ranks():
    ranks = keys.bits(KEY, (50, 2)) % 100
    diagnostics.calibration(ranks, 99).verdict(), diagnostics.coverage(ranks, 99).verdict()


def of_factors():
    factors = keys.bits(KEY, (60, 2)) % 3
    for score in (diagnostics.mig, diagnostics.sap, diagnostics.dci):
        score(CODES, factors).verdict()


def of_draws():
    diagnostics.two_sample(CODES[:30], CODES[30:], KEY).verdict()
    for compare in (diagnostics.frechet, diagnostics.kernel_distance, diagnostics.precision_recall):
        compare(CODES[:30], CODES[30:]).verdict()
    diagnostics.inception_score(CODES.log_softmax(-1)).verdict()
    diagnostics.predictive_check(lambda x: x.mean(), CODES, CODES.expand(40, 60, 4)).verdict()
