"""The inception score of draws by a classifier (Salimans et al., 2016), which is sure of each, and of all classes.

Approximates  exp(E KL(p(y | x) || p(y))), the exponential of the information that a draw has of its class: from 1,
              where every draw has the same p(y | x), to the number of classes
With          p(y) as the mean over the draws of each of several splits, whose scores are averaged
Requires      independent draws, in an order that says nothing of them; a classifier that is good on data
Unbiased when never: p(y) of few draws is near theirs, and the score too small, in its logarithm by (classes - 1) / 2
              over the draws of a split where classes are sure, and by less where not. Neither does it see what is
              drawn twice, nor what within a class is never drawn
Cost          a pass over the log-probabilities
Reference     Salimans et al., 2016; Barratt and Sharma, 2018, for its limits
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_count, check_floating

SPLITS = 10
UNIT = 1e-3  # by which the probabilities of a row may miss 1


class InceptionScore(NamedTuple):
    """0-d tensors: the mean over splits, and its standard error; at most `classes`."""

    score: Float[Tensor, ""]
    error: Float[Tensor, ""]
    classes: int

    def verdict(self) -> str:
        return f"an inception score of {self.score.item():.2f} ± {self.error.item():.2g}, of at most {self.classes}"


@torch.no_grad()
def inception_score(log_p: Float[Tensor, "n c"], splits: int = SPLITS) -> InceptionScore:
    """exp(mean_i sum_y p(y | x_i) log(p(y | x_i) / p(y))) over each split, in float64, from log p(y | x).

    Split i has rows i, i + splits, and so on. ValueError for logits, whose rows do not sum to 1 after exp.
    """
    check_floating("log_p", log_p, "n c", "a row for each draw, a column for each class")
    splits = check_count("splits", splits, 2)
    n, classes = log_p.shape
    if classes < 2 or n < 2 * splits:
        raise ValueError(
            f"expected log_p (n, c) of two classes or more and of {2 * splits} rows or more for {splits} splits, got "
            f"{tuple(log_p.shape)}: draw more, or ask for fewer splits"
        )
    log_p = log_p.double()
    if not ((log_p.exp().sum(1) - 1).abs() < UNIT).all():  # nor is NaN
        raise ValueError(
            "expected log_p whose rows sum to 1 after exp, got others, or NaN: take log_softmax(-1) of logits"
        )
    each = torch.stack([_information(log_p[i::splits]).exp() for i in range(splits)])
    return InceptionScore(each.mean(), each.std() / splits**0.5, classes)


def _information(log_p: Tensor) -> Tensor:
    """E KL(p(y | x) || p(y)) as the entropy of the mean minus the mean of the entropies."""
    p = log_p.exp()
    return torch.special.entr(p.mean(0)).sum() - torch.special.entr(p).sum(1).mean()
