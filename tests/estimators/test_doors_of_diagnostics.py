"""The doors of the diagnostics: what each cannot take is refused in one line, as in `tests.test_doors`."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.core.distributions import Bernoulli, DiagNormal
from jensen.estimators import diagnostics
from tests.doors.door import KEY, also, door, only
from tests.test_doors import faults

S, N, D = 30, 40, 3
EACH = keys.split(KEY, N)
CODES = keys.normal(KEY, (N, D))
SHARES = torch.ones(D, 2)
FACTORS = (3 * keys.uniform(KEY, (N, 2))).long()
THETA, DRAWS = CODES, keys.normal(KEY, (S, N, D))
RANKS = (100 * keys.uniform(KEY, (N, D))).long()
LOG_W = keys.normal(KEY, (S, N))
Q, P = DiagNormal(CODES, torch.zeros(N, D)), DiagNormal(torch.zeros(N, D), torch.zeros(N, D))
FEW = DiagNormal(CODES[:5], torch.zeros(5, D))
NAN = CODES + torch.where(torch.arange(N) == 7, math.nan, 0.0)[:, None]
FULL = also(CODES, NAN, CODES[:0], CODES[:, :1], FACTORS)
DRAWN = only(CODES, CODES.numpy(), CODES[0], CODES[:, :2], CODES[:3], NAN, "x", KEY, None)
DATA = only(CODES + 1, CODES.numpy(), CODES[0], CODES[:, :2], CODES[:3], NAN, 3, None)
LOG_P = CODES.log_softmax(-1)
CLASSES = also(FACTORS, FACTORS - 1, FACTORS * 0, FACTORS[:5], FACTORS[:, :0], CODES)
CHUNK = only(None, 0, -1, 2.5, "3", True)


def simulate(key):
    return keys.normal(key, (D,)), torch.zeros(())


def posterior_draws(key, x):
    return keys.normal(key, (S, 1, D))[:, 0]


def gradient(key):
    return {"a": keys.normal(key, (2,))}


ROWS = {
    "simulation_based_calibration": door(
        diagnostics.simulation_based_calibration,
        simulate=also(simulate, lambda key: simulate(key)[0], lambda key: (CODES, key), lambda key: (1.0, key)),
        posterior_draws=also(posterior_draws, lambda key, x: x, lambda key, x: DRAWS[:, 0, :2], lambda key, x: 0.0),
        keys=only(EACH, KEY, EACH.double(), EACH[:1], EACH.numpy(), 7, None),
        chunk=CHUNK,
    ),
    "ranks": door(
        diagnostics.ranks,
        theta=also(THETA, DRAWS, NAN, THETA[:5]),
        draws=also(DRAWS, THETA, DRAWS * math.nan, DRAWS[:0], DRAWS.transpose(0, 1)),
        key=KEY,
    ),
    "calibration": door(
        diagnostics.calibration, ranks=also(RANKS, RANKS - 1, RANKS > 0, RANKS[:1], RANKS[:, :0]), s=also(99, 0, 50),
        bins=also(5, 1, 101),
    ),
    "coverage": door(
        diagnostics.coverage, ranks=also(RANKS, RANKS - 1, RANKS > 0, RANKS[:1], RANKS[:, :0]), s=also(99, 0, 50),
        levels=only((0.5, 0.9), 0.9, (), (1.5,), (0.0,), ("0.9",), (0.999,), (math.nan,), None),
    ),
    "mig": door(diagnostics.mig, codes=FULL, factors=CLASSES, k=also(5, 0)),
    "sap": door(diagnostics.sap, codes=FULL, factors=CLASSES),
    "dci": door(
        diagnostics.dci, codes=FULL, factors=also(FACTORS, FACTORS - 1, FACTORS * 0, FACTORS[:5], FACTORS[:, :1]),
        importance=only(SHARES, SHARES.numpy(), SHARES.long(), SHARES[0], -SHARES, math.nan * SHARES, SHARES.T),
        ridge=also(1e-6, 0.0, -1.0, math.inf),
    ),
    "two_sample": door(
        diagnostics.two_sample, x=only(CODES, CODES.numpy(), CODES[0], CODES[:, :2], CODES[:1], NAN, "x", KEY, None),
        y=only(CODES + 1, CODES.numpy(), CODES[0], CODES[:, :2], CODES[:1], NAN, 3, None), key=KEY,
        permutations=also(19, 0),
    ),
    "frechet": door(diagnostics.frechet, drawn=DRAWN, data=DATA),
    "kernel_distance": door(diagnostics.kernel_distance, drawn=DRAWN, data=DATA),
    "precision_recall": door(diagnostics.precision_recall, drawn=DRAWN, data=DATA, k=also(5, 0, 50)),
    "inception_score": door(
        diagnostics.inception_score,
        log_p=only(LOG_P, LOG_P.numpy(), LOG_P[0], LOG_P[:, :1], LOG_P[:10], CODES, NAN, "x", None), splits=also(10, 1),
    ),
    "predictive_check": door(
        diagnostics.predictive_check,
        statistic=also(torch.mean, lambda x: x, lambda x: 3.0, lambda x: x[:0, 0]),
        x=only(CODES, DRAWS, CODES.numpy(), CODES.double(), CODES[:5], None),
        replicates=only(DRAWS, CODES, DRAWS.numpy(), DRAWS.long(), DRAWS[:1], DRAWS[:, :5], None),
    ),
    "stopping": door(
        diagnostics.stopping, trace=also(LOG_W.flatten(), LOG_W.flatten() / 0, [0.5] * 50),
        tolerance=also(0.1, -1.0, math.inf), level=also(0.05, 0.0, 1.0), window=also(20, 9),
    ),
    "psis": door(diagnostics.psis, log_w=also(LOG_W, LOG_W[:0], LOG_W[:, :0])),
    "ess": door(diagnostics.ess, log_w=also(LOG_W, LOG_W[:0], LOG_W[:, :0])),
    "reliability": door(diagnostics.reliability, k_hat=also(LOG_W[0], LOG_W[0, :0]), s=also(100, 0, LOG_W[0])),
    "active_units": door(
        diagnostics.active_units,
        q=only(Q, CODES.numpy(), CODES[0], CODES[:1], CODES.long(), CODES[:, :0], DiagNormal, "q", None),
        threshold=also(0.01, -1.0, math.inf),
    ),
    "collapse": door(
        diagnostics.collapse, q=also(Q, FEW, Bernoulli(CODES)), p=also(P, FEW, Bernoulli(CODES)),
        epsilon=also(0.01, 0.0, -1.0), delta=also(0.01, -0.1, 1.0),
    ),
    "aggregate_information": door(
        diagnostics.aggregate_information, q=also(Q, FEW, Bernoulli(CODES), DiagNormal(CODES[:1], CODES[:1])),
        p=also(P, FEW, Bernoulli(CODES)), key=KEY, s=also(2, 0), chunk=also(1000, 0),
    ),
    "inference_gaps": door(
        diagnostics.inference_gaps,
        log_p=also(P.log_prob, lambda z: z, lambda z: 0.0),
        q=also(Q, FEW),
        log_evidence=also(torch.zeros(N), torch.zeros(5), torch.zeros(N, 1)),
        key=KEY,
        start=only(Q, DiagNormal, CODES, "DiagNormal", Bernoulli(CODES), FEW),
        steps=also(1, 0),
        s=also(2, 0),
        lr=also(0.05, 0.0, -1.0, math.inf),
        samples=also(3, 1),
    ),
    "amortisation": door(
        diagnostics.amortisation, test=also(torch.ones(4), torch.ones(1)), train=also(torch.ones(5), torch.ones(6)),
        trained_on=also(torch.ones(5), torch.ones(6)),
    ),
    "fit_each": door(
        diagnostics.fit_each,
        log_p=also(P.log_prob, lambda z: z, lambda z: 0.0),
        start=also(Q, Bernoulli(CODES)),
        key=KEY,
        steps=also(1, 0),
        s=also(2, 0),
        lr=also(0.05, 0.0, -1.0, math.inf),
    ),
    "quality": door(
        diagnostics.quality,
        gradient=also(gradient, lambda key: 3.0, lambda key: {"a": key}),
        keys=only(EACH, KEY, EACH.double(), EACH[:1], EACH.numpy(), 7, None),
        exact=only({"a": torch.zeros(2)}, {"a": torch.zeros(3)}, {"b": torch.zeros(2)}, {"a": torch.zeros(2).numpy()},
                   {"a": torch.zeros(2).long()}),
        chunk=CHUNK,
    ),
    "cost": door(diagnostics.cost, gradient=gradient, key=KEY, calls=also(2, 0)),
}  # fmt: skip
ELSEWHERE = {"k_hat_threshold", "mixing"}  # of `evidence`, and among the doors of chains


def test_every_function_has_a_row():
    functions = {name for name in diagnostics.__all__ if not isinstance(getattr(diagnostics, name), type)}
    assert functions - ELSEWHERE == set(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_what_does_not_fit_is_refused_in_one_line(row):
    ROWS[row].call()
    found = faults(ROWS[row])
    assert not found, "\n".join(found)


@pytest.mark.parametrize("row", [name for name, one in ROWS.items() if one.numpy_integers()])
def test_whole_numbers_of_numpy_are_taken(row):
    ROWS[row].call(**ROWS[row].numpy_integers())


def test_counts_are_samples_as_they_are():
    counts = (10 * keys.uniform(KEY, (N, D))).long()
    found, expected = (diagnostics.two_sample(each, each + 1, KEY, 19) for each in (counts, counts.double()))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
