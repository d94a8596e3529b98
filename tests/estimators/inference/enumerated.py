"""Evidence of conjugate models whose discrete latents take few values: each assignment's in closed form, summed."""

from itertools import product

import torch
from torch import Tensor


def of_choices(counts: Tensor, concentration: Tensor) -> Tensor:
    """log p of a sequence of choices with these counts, its probabilities from a Dirichlet: summed over rows."""
    after = concentration + counts
    rise = torch.lgamma(after).sum(-1) - torch.lgamma(after.sum(-1))
    return (rise - torch.lgamma(concentration).sum(-1) + torch.lgamma(concentration.sum(-1))).sum()


def counted(codes: Tensor, size: int) -> Tensor:
    return torch.nn.functional.one_hot(codes, size).double().sum(0)


def assignments(n: int, k: int) -> Tensor:
    """All of n data to k components, (k^n, n)."""
    return torch.tensor(list(product(range(k), repeat=n)))


def partitions(n: int) -> list[Tensor]:
    """All of n data into clusters that are numbered as they first appear."""
    found = [[0]]
    for _ in range(n - 1):
        found = [[*codes, c] for codes in found for c in range(max(codes) + 2)]
    return [torch.tensor(codes) for codes in found]


def of_normals(x: Tensor, codes: Tensor, prior, k: int) -> Tensor:
    """log p(x | assignment) of components from a normal-Wishart."""
    parts = [prior.log_evidence(x[codes == c][:, None])[0] for c in range(k) if (codes == c).any()]
    return torch.stack(parts).sum()


def log_total(terms: list[Tensor]) -> Tensor:
    return torch.logsumexp(torch.stack(terms), 0)
