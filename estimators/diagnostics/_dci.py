"""Disentanglement, completeness and informativeness (DCI) of codes, from the importance of dimensions for factors.

Approximates  how far each dimension encodes one factor, and each factor is encoded by one dimension; in [0, 1]
With          the share of each factor's entropy that a dimension encodes, as in `mig`, where independence is rejected,
              or any other importance; for informativeness the accuracy on one half of the data of the better of two
              predictors fitted to the other, a linear discriminant of all dimensions and one dimension's neighbours
Requires      what `mig` requires, and two factors or more
Unbiased when never: shares of entropy within what chance brings count as 0. Disentanglement and completeness are the
              same for strictly monotone functions of a dimension; informativeness is 1 for those of the factors alone
Cost          one and a half times that of `mig`, and f systems of d linear equations
Reference     Eastwood and Williams, 2018
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core.checks import check_floating, check_number
from jensen.estimators.diagnostics._factors import NEIGHBOURS, SEPARATED, Classes, checked, entropies, information
from jensen.estimators.diagnostics._neighbours import predicted
from jensen.estimators.wording import listed

LEVEL = 0.01  # of tests, over all pairs or all factors together


class Dci(NamedTuple):
    """0-d scores; informativeness (f,) is the accuracy on held-out data, importance (d, f) >= 0.

    chance (f,): an accuracy that codes independent of the factors exceed in any with probability LEVEL at most, the
    share of the largest class plus a normal quantile of its standard errors for two predictors of each factor.
    """

    disentanglement: Float[Tensor, ""]  # each dimension encodes one factor
    completeness: Float[Tensor, ""]  # each factor is encoded by one dimension
    informativeness: Float[Tensor, " f"]
    importance: Float[Tensor, "d f"]
    chance: Float[Tensor, " f"]

    def verdict(self) -> str:
        d, c, i = (t.item() for t in (self.disentanglement, self.completeness, self.informativeness.mean()))
        text = f"disentanglement {d:.2f}, completeness {c:.2f}, informativeness {i:.2f} (1 is perfect)"
        lost = self.informativeness <= self.chance
        if lost.any():
            k = int((self.informativeness - self.chance).argmin())
            return (
                f"{text}: the codes predict factors {listed(lost)} of {len(lost)} no better than chance (accuracy "
                f"{self.informativeness[k].item():.2f} in {k}, not above {self.chance[k].item():.2f}): train longer, "
                "or with less weight on the KL, before asking which dimension encodes what"
            )
        if min(d, c) >= SEPARATED:
            return f"{text}: dimensions and factors pair off, each score being at least {SEPARATED}"
        mixed = "dimensions mix factors" if d < SEPARATED else "factors are spread over dimensions"
        return f"{text}: {mixed}, by a score below {SEPARATED}: do not read single dimensions as factors"


@torch.no_grad()
def dci(
    codes: Float[Tensor, "n d"],
    factors: Classes,
    importance: Float[Tensor, "d f"] | None = None,
    ridge: float = 1e-6,
) -> Dci:
    """D = sum_j rho_j (1 + sum_k p log_f p) and C = mean_k (1 + sum_j q log_d q), of an importance R (d, f) >= 0.

    p = R / sum_k R, q = R / sum_j R, and rho_j is the share of dimension j in R. By default R is the mutual
    information, as in `mig`, over the factor's entropy, and 0 where independence is not rejected: it needs no
    regressor, and redundant dimensions do not change it, as they do linear coefficients.
    Eastwood and Williams used a lasso and random forests: pass such importances as `importance` to compare with them.
    Informativeness is the accuracy on one half of the data, by a fixed random order, of the better of two predictors:
    the linear discriminant fitted to the other half, whose covariance within classes has `ridge` of the codes'
    variances added, and the most frequent class among neighbours there in the dimension with the most information.
    """
    codes, factors = checked(codes, factors)
    d, f = codes.shape[1], factors.shape[1]
    if f < 2:
        raise ValueError(f"expected two factors or more for DCI, got {f}: with one there is nothing to disentangle")
    ridge = check_number("ridge", ridge, "(0, inf)", "without it collinear codes have no discriminant")
    r = _importance(codes, factors) if importance is None else _given(importance, d, f)
    rows, columns = r.sum(1), r.sum(0)
    by_dimension = 1 - torch.stack([_entropy(row) for row in r]) / torch.tensor(float(f)).log()
    by_factor = 1 - torch.stack([_entropy(column) for column in r.T]) / torch.tensor(float(d)).log()
    total = rows.sum()
    disentanglement = (rows / torch.where(total == 0, 1.0, total) * by_dimension).sum()
    completeness = torch.where(columns == 0, 0.0, by_factor).mean()
    accuracy, chance = _informativeness(codes, factors, ridge), _chance(factors, len(codes) // 2)
    return Dci(disentanglement, completeness, accuracy, r, chance)


def _given(importance: Tensor, d: int, f: int) -> Tensor:
    check_floating("importance", importance, f"{d} {f}", "a row for each dimension, a column for each factor")
    if not (importance >= 0).all() or torch.isinf(importance).any():
        raise ValueError("expected finite importance >= 0, got NaN, infinite or negative entries: take absolute values")
    return importance.double()


def _informativeness(codes: Tensor, factors: Tensor, ridge: float) -> Tensor:
    """The accuracy on every other datum of the better of two predictors fitted to the rest, (f,)."""
    scale = codes.std(0)
    x = (codes - codes.mean(0)) / torch.where(scale == 0, 1.0, scale)
    best = information(codes[0::2], factors[0::2], NEIGHBOURS).argmax(0)
    accuracy = []
    for v, code in zip(factors.T, codes.T[best], strict=True):
        linear = _discriminated(x[0::2], v[0::2], x[1::2], ridge)
        nearest = predicted(code[0::2], v[0::2], code[1::2].contiguous())
        accuracy.append(torch.maximum(*((found == v[1::2]).double().mean() for found in (linear, nearest))))
    return torch.stack(accuracy)


def _discriminated(x: Tensor, v: Tensor, test: Tensor, ridge: float) -> Tensor:
    """The class with the largest x . W^-1 mu_c - mu_c . W^-1 mu_c / 2 + log pi_c, W the covariance within classes c."""
    one_hot = (v[:, None] == torch.arange(int(v.max()) + 1, device=v.device)).double()
    size = one_hot.sum(0)
    mean = one_hot.T @ x / size.clamp_min(1)[:, None]
    within = x - mean[v]
    w = within.T @ within / len(x) + ridge * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    direction = torch.linalg.solve(w, mean.T)  # (d, classes)
    score = test @ direction - 0.5 * (mean.T * direction).sum(0) + torch.log(size / len(x))
    return score.argmax(1)


def _chance(factors: Tensor, n: int) -> Tensor:
    largest = torch.stack([torch.bincount(v).amax() for v in factors.T]).double() / len(factors)
    z = -torch.special.ndtri(largest.new_tensor(LEVEL / (2 * len(largest))))
    return largest + z * torch.sqrt(largest * (1 - largest) / n)


def _importance(codes: Tensor, factors: Tensor) -> Tensor:
    """The share of each factor's entropy that a dimension encodes, (d, f), 0 where that may be chance.

    Under independence 2 n I + nu is about chi^2 of nu degrees of freedom: nu = (values - 1) (classes - 1), as for a
    table of counts, where the rarest class has ten data or more for each value, and else 0.4 to 0.9 n (1 - sum p^2).
    """
    encoded, n = information(codes, factors, NEIGHBOURS), len(codes)
    size = [torch.bincount(v) for v in factors.T]
    bound = torch.stack([n - each.double().square().sum() / n for each in size])
    values = torch.tensor([len(z.unique()) for z in codes.T], device=codes.device)[:, None]
    table = values <= torch.stack([each.min() for each in size]) / 10
    freedom = torch.where(table, (values - 1) * factors.amax(0), bound).clamp_min(1)
    p_value = torch.special.gammaincc(freedom / 2, (freedom / 2 + n * encoded).clamp_min(0))
    certain = p_value < LEVEL / encoded.numel()
    return torch.where(certain, encoded.clamp_min(0), 0.0) / entropies(factors)


def _entropy(weights: Tensor) -> Tensor:
    """Of weights, normalised first, in nats; 0 where all are 0."""
    total = weights.sum()
    p = weights / torch.where(total == 0, 1.0, total)
    return -torch.xlogy(p, p).sum()
