"""The page of evidence's limits: each line is a case here, whose report has the words that the page quotes."""

import math
import re
from pathlib import Path

import pytest
import torch

from jensen.core import keys
from jensen.estimators.evidence import (
    annealed_importance,
    bdmc,
    bridge,
    find_mode,
    harmonic,
    importance,
    laplace,
    linear,
    sigmoidal,
    smc,
)
from tests.estimators import normalisers as gates
from tests.estimators.normalisers import F64, KEY
from tests.estimators.test_moves import correlated, of_correlated
from tests.estimators.test_unknown_errors import TARGETS, log_normal

PAGE = Path(__file__).parents[2] / "docs" / "evidence.md"
LINES = re.findall(r'^\| (\w+) \| (.*?) \| .*? \| "(.*?)"(, \*not seen\*)? \|$', PAGE.read_text(), re.MULTILINE)
Q = gates.normal(2, 2, 1.0)


def lost_mode(z):
    """Half the mass is a normal of width 0.001, far from all draws of N(0, 1): nothing climbs to it."""
    return torch.logaddexp(log_normal(z, 0.0, 1.0), log_normal(z, 30.0, 0.001)) - math.log(2)


def far_mode(z):
    return torch.logaddexp(log_normal(z, 0.0, 1.0), log_normal(z, 8.0, 1.0)) - math.log(2)


def steep():
    """log z of a gamma of shape 1/2: skewed to the left."""
    return lambda u: (0.5 * u - torch.exp(u)).sum(-1) - u.shape[-1] * math.lgamma(0.5)


def edge(z):
    """Data 0 has its mode inside, datum 1 at 0."""
    return torch.where((z > 0).all(-1), log_normal(z, torch.tensor([[1.0], [-1.0]], dtype=F64), 1.0), -torch.inf)


def simulated_bounds(n, exact):
    oracle, z = gates.simulated(n, KEY)
    prior = gates.normal(n, 2)
    z = z if exact else prior.sample(prior.noise(KEY, 1))
    return bdmc(oracle.log_joint, prior, z, KEY, 16, linear(8)), oracle.log_evidence()


def measured(z):
    """The prior N(0, 9), and a measurement 0 with a standard deviation of 0.1."""
    return log_normal(z, 0.0, 3.0) + log_normal(z, 0.0, 0.1)


def draws(s, mean=0.0, scale=1.0):
    return mean + scale * keys.normal(KEY, (s, 2, 2), F64)


def ones(estimate, truth=0.0):
    return estimate, torch.as_tensor(truth, dtype=F64)


CASES = {
    ("importance", "q narrower than the posterior"): lambda: ones(
        importance(lambda z: log_normal(z, 0.0, 3.0), gates.normal(4, 4, 0.8), KEY, 1000)
    ),
    ("importance", "a mode that q does not reach"): lambda: ones(importance(far_mode, Q, KEY, 1000)),
    ("importance", "q and the posterior do not overlap"): lambda: ones(
        importance(lambda z: torch.where(z[..., 0] > 50, 0.0, -torch.inf), Q, KEY, 100)
    ),
    ("annealed_importance", "two modes of unequal width"): lambda: ones(
        annealed_importance(*TARGETS["unequal modes"].rows(8), KEY, 400, sigmoidal(50), chunk=400)
    ),
    ("annealed_importance", "too few temperatures"): lambda: ones(
        annealed_importance(lambda z: log_normal(z, 3.0, 0.1), gates.normal(4, 5), KEY, 100, linear(4))
    ),
    ("annealed_importance", "a funnel, sd(v) = 3"): lambda: ones(
        annealed_importance(*TARGETS["funnel"].rows(8), KEY, 400, sigmoidal(100), chunk=400)
    ),
    ("annealed_importance", "a narrow mode that no draw of q climbs to"): lambda: ones(
        annealed_importance(lost_mode, Q, KEY, 200, linear(8), chunk=200)
    ),
    ("smc", "two modes of unequal width"): lambda: ones(smc(*TARGETS["unequal modes"].rows(8), KEY, 1000)),
    ("smc", "a funnel, sd(v) = 3"): lambda: ones(smc(*TARGETS["funnel"].rows(8), KEY, 1000)),
    ("smc", "ten dimensions, strongly correlated, one step for all directions"): lambda: ones(
        smc(of_correlated(correlated(10))[0], gates.normal(4, 10), KEY, 400, repeats=1),
        of_correlated(correlated(10))[1],
    ),
    ("smc", "a narrow mode that no draw of q climbs to"): lambda: ones(smc(lost_mode, Q, KEY, 400)),
    ("bdmc", "one simulated pair"): lambda: simulated_bounds(1, True),
    ("bdmc", "z that is no exact draw of the posterior"): lambda: simulated_bounds(50, False),
    ("bridge", "draws of the posterior and of q that do not overlap"): lambda: ones(
        bridge(lambda z: log_normal(z, 30.0, 1.0), Q, draws(500, 30.0), KEY, 500)
    ),
    ("bridge", "a mode that both sets of draws miss"): lambda: ones(bridge(far_mode, Q, draws(500), KEY, 500)),
    ("laplace", "a skewed posterior"): lambda: ones(laplace(steep(), find_mode(steep(), torch.zeros(2, 1)).z)),
    ("laplace", "a mode at the edge of the support, without a bijection"): lambda: ones(
        laplace(edge, find_mode(edge, torch.full((2, 1), 0.5, dtype=F64)).z), float("nan")
    ),
    ("laplace", "a second mode"): lambda: ones(laplace(far_mode, find_mode(far_mode, torch.zeros(2, 2)).z)),
    ("harmonic", "a prior wider than the posterior"): lambda: ones(
        harmonic(
            lambda z: log_normal(z, 0.0, 3.0) + log_normal(z, 0.0, 0.1), gates.normal(2, 2, 3.0), draws(1000, 0.0, 0.1)
        ),
        log_normal(torch.zeros(2, dtype=F64), 0.0, math.hypot(3.0, 0.1)),
    ),
}


def test_every_line_of_the_page_is_a_case():
    assert [(method, target) for method, target, _, _ in LINES] == list(CASES)


@pytest.mark.parametrize(("method", "target", "words", "unseen"), LINES, ids=[f"{m}: {t}" for m, t, _, _ in LINES])
def test_the_report_says_what_the_page_quotes(method, target, words, unseen):
    found, truth = CASES[method, target]()
    assert words in found.verdict(), found.verdict()
    if method == "bdmc":
        assert not unseen or (found.upper - truth).mean() < -0.1
        return
    off = (found.log_p - truth).abs()
    if unseen:
        assert (off > 4 * found.standard_error).all(), "the page says that it fails"
        assert found.standard_error.isfinite().all()
    else:
        assert not (off > 4 * found.standard_error).any(), "a failure that the report does not show"
