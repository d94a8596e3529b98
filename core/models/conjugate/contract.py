"""What a conjugate-exponential model is: factors, and one function of their mean parameters whose slopes are messages.

The joint density of global latents z_f, local latents and data is a product of exponential families, so that the
expectation of its logarithm is linear in the mean parameters mu_f = E T_f(z_f) of each factor of q by itself. The best
factor given the others therefore has the natural parameters (Winn and Bishop, 2005; Hoffman et al., 2013)

    eta_f = d/d mu_f (log_prior(mu) + sum_i log_likelihood(mu)_i)

where log_likelihood has each datum's local factors at their best, which are summed out in closed form wherever they
can be: the slope of their log partition is their posterior. A message is never written down.
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from jensen.core.concrete import is_concrete
from jensen.core.contracts import Key
from jensen.core.exponential.family import ExponentialFamily, Natural, inner
from jensen.core.trees import Tree

Factors: TypeAlias = dict[str, Natural]  # natural or mean parameters of every factor, by its name, in float64


@runtime_checkable
class ConjugateModel(Protocol):
    """A value with its priors in its fields.

    families        of the global factors, by name; of base measure 1
    blocks          the factors' names in the order of updates; those of one block share no term of the joint density
    prepare         the data as `log_likelihood` reads them: tensors with a row for each datum
    start           natural parameters from which q may start, keyed
    log_prior       E log p(z_f | other factors) of each factor, 0-d, by name
    log_likelihood  for each of n data the largest, over its local factors, of E log p(x_i, local | global) plus their
                    entropy: (n,), in nats. And what a later call may start its local factors from, {} where they are
                    summed out
    posterior       q's factors as distributions, of the data as they came
    """

    @property
    def families(self) -> Mapping[str, ExponentialFamily]: ...
    @property
    def blocks(self) -> tuple[tuple[str, ...], ...]: ...
    def prepare(self, x: Tree, /) -> Tree: ...
    def start(self, key: Key, rows: Tree, /) -> Factors: ...
    def log_prior(self, means: Factors, /) -> dict[str, Tensor]: ...
    def log_likelihood(self, means: Factors, rows: Tree, local: Tree, /) -> tuple[Tensor, Tree]: ...
    def posterior(self, natural: Factors, /) -> dict[str, Any]: ...


def expected_log_prob(family: ExponentialFamily, eta: Natural, means: Natural) -> Tensor:
    """eta . mu - A(eta), summed over rows: E log p(z) of a density with natural parameters eta, 0-d."""
    return (inner(family, eta, means) - family.log_partition(eta)).sum()


def wide(natural: Natural) -> Natural:
    """In float64, in which global factors are kept."""
    return {name: t.to(torch.float64) for name, t in natural.items()}


def check_finite(x: Tensor) -> None:
    """ValueError for NaN and infinite data, where values can be read."""
    if is_concrete(x) and not x.isfinite().all():
        raise ValueError("expected x finite, got NaN or inf in it: leave out these rows, or impute them")
