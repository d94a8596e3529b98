"""The best factors of a block of a conjugate model given the others, which are slopes; and the ELBO there, by term."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad

from jensen.core import trees
from jensen.core.checks import described
from jensen.core.contracts import can
from jensen.core.exponential import inner, mean_parameters
from jensen.core.models.conjugate.contract import ConjugateModel, Factors
from jensen.core.trees import Tree


class Best(NamedTuple):
    """A block's best natural parameters; the ELBO of the factors as they are, by term; each datum's part; locals."""

    natural: Factors
    terms: dict[str, Tensor]
    each: Tensor  # (n,)
    local: Tree


def means_of(model: ConjugateModel, natural: Factors) -> Factors:
    """Mean parameters of every factor."""
    return {name: mean_parameters(model.families[name], eta) for name, eta in natural.items()}


def best(
    model: ConjugateModel,
    block: tuple[str, ...],
    natural: Factors,
    means: Factors,
    rows: Tree,
    local: Tree,
    scale: float = 1.0,
) -> Best:
    """Of data that stand for `scale` as many: 1, or num_data / b for a minibatch of b."""

    def log_joint(moving: Factors) -> tuple[Tensor, tuple[dict[str, Tensor], Tensor, Tree]]:
        at = means | moving
        each, after = model.log_likelihood(at, rows, local)
        terms = {"data": scale * each.double().sum(), **model.log_prior(at)}
        return torch.stack(list(terms.values())).sum(), (terms, each, after)

    slopes, (terms, each, after) = grad(log_joint, has_aux=True)({name: means[name] for name in block})
    entropies = {name: entropy(model, name, natural, means) for name in natural}
    terms = {name: term + entropies.get(name, 0.0) for name, term in terms.items()}
    return Best(slopes, trees.stop(terms), each.detach(), trees.stop(after))


def entropy(model: ConjugateModel, name: str, natural: Factors, means: Factors) -> Tensor:
    """A(eta) - eta . mu of a factor, summed over its rows."""
    family = model.families[name]
    return (family.log_partition(natural[name]) - inner(family, natural[name], means[name])).sum()


def check_model(model: object) -> None:
    """TypeError for what is no conjugate model."""
    if isinstance(model, type) or not can(model, ConjugateModel):
        example = "conjugate.Mixture(weights, observations)"
        raise TypeError(f"expected model, a conjugate model such as {example}, got {described(model)}: make one")


def size(rows: Tree) -> int:
    """The number of data."""
    return len(trees.leaves(rows)[0])
