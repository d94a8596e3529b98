"""Stated errors of evidence, over many independent runs: they cover the truth, or say that they are not known.

Targets have evidence 1. Each row is a run of its own, since data have noise of their own.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.estimators.evidence import Hamiltonian, annealed_importance, hmc, importance, sigmoidal, smc
from tests.estimators import normalisers as gates

ROWS, FEW = 200, 12


class Target(NamedTuple):
    log_p: Callable[[Tensor], Tensor]
    d: int
    width: float  # of q = N(0, width^2)

    def rows(self, n: int) -> tuple[Callable[[Tensor], Tensor], DiagNormal]:
        return self.log_p, gates.normal(n, self.d, self.width)


def log_normal(z: Tensor, mean: float | Tensor, scale: float | Tensor) -> Tensor:
    scale = torch.as_tensor(scale, dtype=z.dtype)
    return (-0.5 * ((z - mean) / scale).square() - scale.log() - 0.5 * math.log(2 * math.pi)).sum(-1)


def two(first: float, second: float) -> Callable[[Tensor], Tensor]:
    """Halves at 2 and -2 in every dimension, of these widths."""
    return lambda z: torch.logaddexp(log_normal(z, 2.0, first), log_normal(z, -2.0, second)) - math.log(2)


def funnel(z: Tensor) -> Tensor:
    """Neal's, v ~ N(0, 9) and the rest N(0, e^v)."""
    return log_normal(z[..., :1], 0.0, 3.0) + log_normal(z[..., 1:], 0.0, torch.exp(z[..., :1] / 2))


def banana(z: Tensor) -> Tensor:
    return log_normal(z[..., :1], 0.0, 1.0) + log_normal(z[..., 1:] - z[..., :1].square(), 0.0, 0.3)


def neighbours(z: Tensor) -> Tensor:
    """A normal with correlations 0.9^|i - j|."""
    i = torch.arange(z.shape[-1], dtype=z.dtype)
    factor = torch.linalg.cholesky(0.9 ** (i[:, None] - i).abs())
    white = torch.linalg.solve_triangular(factor, z.mT, upper=False).mT
    return log_normal(white, 0.0, 1.0) - factor.diagonal().log().sum()


def student(z: Tensor) -> Tensor:
    return torch.distributions.StudentT(torch.tensor(3.0, dtype=z.dtype)).log_prob(z).sum(-1)


TARGETS = {
    "normal": Target(lambda z: log_normal(z, 0.5, 0.4), 2, 1.0),
    "ten dimensions": Target(lambda z: log_normal(z, 1.0, 0.5), 10, 1.0),
    "neighbours": Target(neighbours, 5, 2.0),
    "Student's t": Target(student, 4, 2.0),
    "banana": Target(banana, 3, 2.0),
    "equal modes": Target(two(0.5, 0.5), 2, 3.0),
    "equal modes in five dimensions": Target(two(0.5, 0.5), 5, 3.0),
    "unequal modes": Target(two(0.3, 1.0), 5, 3.0),
    "narrow mode": Target(two(0.1, 1.0), 2, 3.0),
    "funnel": Target(funnel, 10, 3.0),
    "funnel in three dimensions": Target(funnel, 3, 3.0),
}
UNIMODAL = ("normal", "ten dimensions", "neighbours", "Student's t")
METHODS = {
    "smc": lambda log_p, q, key: smc(log_p, q, key, 1000),
    "annealed": lambda log_p, q, key: annealed_importance(log_p, q, key, 400, sigmoidal(100), chunk=400),
}
EVIDENCE = pytest.mark.parametrize("method", METHODS)


def run(name: str, method: str, n: int) -> tuple[Tensor, Tensor]:
    """Errors of log_p and standard errors, (n,) each."""
    found = METHODS[method](*TARGETS[name].rows(n), keys.key(7))
    return found.log_p, found.standard_error


@EVIDENCE
@pytest.mark.parametrize("name", ["normal", "unequal modes", "funnel"])
def test_a_few_runs_cover_or_say_that_they_do_not_know(name, method):
    error, stated = run(name, method, FEW)
    assert (error.abs() <= 4 * stated).all()
    if name in UNIMODAL:
        assert stated.isfinite().double().mean() > 0.7
    else:
        assert stated.isinf().double().mean() > 0.5


@pytest.mark.slow
@EVIDENCE
@pytest.mark.parametrize("name", UNIMODAL)
def test_stated_intervals_cover_what_they_should(name, method):
    error, stated = run(name, method, ROWS)
    known = stated.isfinite()
    assert known.double().mean() > 0.75
    assert 0.90 <= (error[known].abs() <= 1.96 * stated[known]).double().mean() <= 0.99
    assert (error.abs() <= 4 * stated).double().mean() >= 0.99


@pytest.mark.slow
@EVIDENCE
@pytest.mark.parametrize("name", [name for name in TARGETS if name not in UNIMODAL])
def test_no_run_misses_silently(name, method):
    error, stated = run(name, method, ROWS)
    assert (error.abs() <= 4 * stated).double().mean() >= 0.99


@pytest.mark.slow
def test_a_bend_asks_for_shorter_steps():
    """The banana is refused with the default moves, and known with those of a higher target."""
    log_p, q = TARGETS["banana"].rows(40)
    shorter = Hamiltonian(target=0.9)
    found = [
        annealed_importance(log_p, q, keys.key(7), 400, sigmoidal(100), move, chunk=400) for move in (hmc, shorter)
    ]
    refused, known = (each.standard_error.isfinite().double().mean() for each in found)
    assert refused < 0.5
    assert known > 0.7
    assert "take moves of a higher target" in found[0].verdict()
    gates.near(found[1], 0.0)


@pytest.mark.parametrize("name", ["normal", "Student's t"])
def test_intervals_of_importance_sampling_cover(name):
    log_p, q = TARGETS[name].rows(ROWS)
    found = importance(log_p, q, keys.key(8), 1000)
    known = found.standard_error.isfinite()
    assert known.double().mean() > 0.9
    assert 0.90 <= (found.log_p.abs() <= 1.96 * found.standard_error)[known].double().mean() <= 0.99
