"""What estimators of the evidence are tested against: densities with known normalisers, and where to start from."""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor

from jensen import laws
from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.laws.oracles import EightSchools, Funnel, LinearGaussian, TwoMoons
from tests.estimators.test_pathwise import model

KEY = keys.key(23)
F64 = torch.float64


class Gate(NamedTuple):
    oracle: Any  # log_joint(z) and log_evidence()
    q: DiagNormal


def normal(n: int, d: int, scale: float = 1.0) -> DiagNormal:
    return DiagNormal(torch.zeros(n, d, dtype=F64), torch.full((n, d), math.log(scale), dtype=F64))


def linear_gaussian(n: int = 6) -> Gate:
    """From the prior."""
    return Gate(model(n=n), normal(n, 2))


def encoder(oracle: LinearGaussian) -> DiagNormal:
    """The posterior's means and scales without its correlations."""
    mean, covariance = oracle.posterior()
    return DiagNormal(mean, covariance.diagonal().sqrt().log().expand_as(mean))


def posterior_draws(oracle: LinearGaussian, key: Tensor, s: int) -> Tensor:
    mean, covariance = oracle.posterior()
    return mean + keys.normal(key, (s, *mean.shape), F64) @ torch.linalg.cholesky(covariance).T


def simulated(n: int, key: Tensor) -> tuple[LinearGaussian, Tensor]:
    """A model with data of its own, and the z (1, n, 2) that each datum came from."""
    oracle = model()
    z_key, x_key = keys.split(key)
    z = keys.normal(z_key, (1, n, 2), F64)
    noise = torch.exp(oracle.log_sigma) * keys.normal(x_key, (n, 3), F64)
    return oracle._replace(x=z[0] @ oracle.weight.T + oracle.bias + noise), z


def two_moons() -> Gate:
    return Gate(TwoMoons(torch.tensor([0.0, 3.0], dtype=F64)), normal(2, 2, 3.0))


def funnel() -> Gate:
    scale = torch.tensor([[1.0] + [1.3] * 19], dtype=F64)
    return Gate(Funnel(torch.tensor([-2.0], dtype=F64)), DiagNormal(torch.zeros_like(scale), scale.log()))


def eight_schools() -> Gate:
    """From independent normals of roughly the posterior's means and scales, as an encoder would give."""
    loc = torch.tensor([[4.4, 0.8] + [0.0] * 8], dtype=F64)
    scale = torch.tensor([[3.3, 1.3] + [1.0] * 8], dtype=F64)
    return Gate(EightSchools(), DiagNormal(loc, scale.log()))


def near(estimate: Any, exact: Tensor, errors: float = 4.0) -> None:
    """log_p is within so many of its own standard errors of the truth, for every datum."""
    gap = (estimate.log_p - exact).abs()
    assert (gap <= errors * estimate.standard_error + 1e-9).all(), (
        f"{(gap / estimate.standard_error).max():.1f} errors off"
    )


def untouched(z: Tensor) -> Tensor:
    """A log density that bad arguments must not reach."""
    raise AssertionError("computed before the arguments were checked")


def shares(resample: Any) -> None:
    """Of 800 islands with the same weights each particle has its share of offspring on average.

    Each island has its own uniform number: were it shared, all would agree.
    """
    log_w = keys.normal(KEY, (1, 5, 4), F64)
    draws = resample(log_w.expand(800, -1, -1), keys.fold_in(KEY, 1))
    appearances = torch.nn.functional.one_hot(draws, 5).double().sum(1).transpose(1, 2)
    laws.mean_is(appearances, 5 * torch.softmax(log_w[0], 0))


@contextmanager
def keys_used_once() -> Iterator[None]:
    """No key is split twice, folded twice with one index, drawn from twice, or used in two of these ways."""
    uses, ways = Counter[Any](), dict[Any, str]()

    def spy(name: str) -> Any:
        right = getattr(keys, name)

        def call(key: Tensor, *arguments: Any) -> Tensor:
            words = tuple(key.tolist())
            uses[words, arguments[0] if name == "fold_in" else ""] += 1
            assert ways.setdefault(words, name) == name, f"a key goes to {name} and to {ways[words]}"
            return right(key, *arguments)

        return mock.patch.object(keys, name, call)

    with spy("split"), spy("fold_in"), spy("normal"), spy("uniform"):
        yield
    twice = sum(n > 1 for n in uses.values())
    assert uses, "no key was used"
    assert not twice, f"{twice} keys are used twice"
