"""Conjugate-exponential models that the laws run over, with data of six rows for each."""

import torch

from jensen.core import keys
from jensen.core.distributions import Dirichlet
from jensen.core.models import conjugate
from jensen.core.models.conjugate import ConjugateModel

KEY, N = keys.key(60), 6
X = keys.normal(KEY, (N, 2), torch.float64) + 6 * (torch.arange(N) % 2)[:, None]
SEQUENCES = keys.normal(KEY, (N, 5, 1), torch.float64) + 3 * (torch.arange(5) // 3)[:, None]
COUNTS = torch.floor(4 * keys.uniform(KEY, (N, 4), torch.float64))
TWO = torch.ones(2, dtype=torch.float64)


def dirichlet(*shape: int) -> Dirichlet:
    return Dirichlet(torch.ones(*shape, dtype=torch.float64))


CONJUGATE: dict[str, ConjugateModel] = {
    "mixture": conjugate.Mixture(conjugate.Shares(TWO), conjugate.normals(X)),
    "Dirichlet process": conjugate.Mixture(conjugate.Sticks(TWO), conjugate.normals(X)),
    "mixture of choices": conjugate.Mixture(conjugate.Shares(TWO), conjugate.Choices(dirichlet(1, 3))),
    "regression": conjugate.regression(2),
    "factor analysis": conjugate.factor_analysis(X, 1),
    "probabilistic PCA": conjugate.factor_analysis(X, 1, common_noise=True),
    "hidden Markov": conjugate.HiddenMarkov(
        dirichlet(1, 2), dirichlet(2, 2), conjugate.normals(SEQUENCES.flatten(0, 1))
    ),
    "allocation": conjugate.Allocation(dirichlet(1, 2), dirichlet(2, 4)),
}
EXAMPLES: dict[str, object] = {
    **dict.fromkeys(("mixture", "Dirichlet process", "factor analysis", "probabilistic PCA"), X),
    "mixture of choices": torch.tensor([0, 1, 1, 2, 0, 0]),
    "regression": {"x": X, "y": X[:, 0] + keys.normal(keys.key(61), (N,), torch.float64)},
    "hidden Markov": SEQUENCES,
    "allocation": COUNTS,
}
