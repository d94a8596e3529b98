"""Disentanglement scores MIG, SAP and DCI: whether each known factor is encoded by one latent dimension of its own.

Approximates  three scores in [0, 1]; 1 where every factor is encoded by exactly one dimension
With          histograms of each dimension in bins of equal counts, and for the informativeness of `dci` one linear
              discriminant of all dimensions
Requires      codes, as posterior means, of data whose factors are known as classes, integers or booleans; bin
              continuous factors first. Ten data or more for each pair of bin and class
Unbiased when never: histograms overstate information by about (bins - 1) (classes - 1) / (2 n) nats, for every
              dimension alike, so that it mostly cancels in gaps between dimensions; `dci` subtracts it
Cost          n d f counts; f systems of d linear equations
Reference     Chen et al., 2018 (MIG); Kumar et al., 2018 (SAP); Eastwood and Williams, 2018 (DCI)
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from jensen.core import keys
from jensen.estimators.wording import listed

BINS = 20
LEVEL = 0.01  # of dci's tests, over all pairs or all factors together
Classes = Integer[Tensor, "n f"] | Bool[Tensor, "n f"]
SEPARATED = 0.5  # of what can be reached: the least score that a verdict calls separated


class Mig(NamedTuple):
    """gap (f,): the information between the two best dimensions, over the factor's entropy; information (d, f) nats."""

    gap: Float[Tensor, " f"]
    information: Float[Tensor, "d f"]

    @property
    def score(self) -> Float[Tensor, ""]:
        return self.gap.mean()

    def verdict(self) -> str:
        return _verdict("MIG", "a mean gap in information", self.gap, self.information.argmax(0))


class Sap(NamedTuple):
    """gap (f,): the accuracy between the two best dimensions; accuracy (d, f), balanced over classes.

    No gap can exceed `most` (f,) = 1 - 1 / classes, where the second best dimension guesses.
    """

    gap: Float[Tensor, " f"]
    accuracy: Float[Tensor, "d f"]
    most: Float[Tensor, " f"]

    @property
    def score(self) -> Float[Tensor, ""]:
        return self.gap.mean()

    def verdict(self) -> str:
        return _verdict("SAP", "a mean gap in accuracy", self.gap, self.accuracy.argmax(0), self.most.mean().item())


class Dci(NamedTuple):
    """0-d scores; informativeness (f,) is the accuracy on held-out data, importance (d, f) >= 0.

    chance (f,): an accuracy that codes independent of the factors exceed in any with probability LEVEL at most, the
    share of the largest class plus a normal quantile of its standard errors.
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
                f"{text}: a linear discriminant of the codes predicts factors {listed(lost)} of {len(lost)} no "
                f"better than chance (accuracy {self.informativeness[k].item():.2f} in {k}, not above "
                f"{self.chance[k].item():.2f}): train longer, or with less weight on the KL, before asking which "
                "dimension encodes what"
            )
        if min(d, c) >= SEPARATED:
            return f"{text}: dimensions and factors pair off, each score being at least {SEPARATED}"
        mixed = "dimensions mix factors" if d < SEPARATED else "factors are spread over dimensions"
        return f"{text}: {mixed}, by a score below {SEPARATED}: do not read single dimensions as factors"


@torch.no_grad()
def mig(codes: Float[Tensor, "n d"], factors: Classes, bins: int = BINS) -> Mig:
    """gap_k = (I(z_j; v_k) - max_{i != j} I(z_i; v_k)) / H(v_k), j the dimension with the most information."""
    codes, factors = _check(codes, factors)
    information = _information(_joint(codes, factors, bins))
    return Mig(_two_best(information) / _entropies(factors), information)


@torch.no_grad()
def sap(codes: Float[Tensor, "n d"], factors: Classes, bins: int = BINS) -> Sap:
    """gap_k between the two best dimensions' balanced accuracies in telling factor k's class.

    Each bin predicts the class that is most frequent there, relatively to its size: the best thresholds on one
    dimension, on the data they were chosen on.
    """
    codes, factors = _check(codes, factors)
    joint = _joint(codes, factors, bins)
    accuracy = torch.stack([(p / p.sum(1, keepdim=True)).amax(2).sum(1) / p.shape[2] for p in joint], 1)
    return Sap(_two_best(accuracy), accuracy, 1 - 1 / (1.0 + factors.amax(0)))


@torch.no_grad()
def dci(
    codes: Float[Tensor, "n d"],
    factors: Classes,
    importance: Float[Tensor, "d f"] | None = None,
    ridge: float = 1e-3,
) -> Dci:
    """D = sum_j rho_j (1 + sum_k p log_f p) and C = mean_k (1 + sum_j q log_d q), of an importance R (d, f) >= 0.

    p = R / sum_k R, q = R / sum_j R, and rho_j is the share of dimension j in R. By default R is the mutual
    information in histograms less its bias under independence, over the factor's entropy, and 0 where independence is
    not rejected: it needs no regressor, and redundant dimensions do not change it, as they do linear coefficients.
    Eastwood and Williams used a lasso and random forests: pass such importances as `importance` to compare with them.
    Informativeness is the accuracy on one half of the data, by a fixed random order, of the linear discriminant fitted
    to the other, whose covariance within classes has `ridge` of the codes' variances added.
    """
    codes, factors = _check(codes, factors)
    d, f = codes.shape[1], factors.shape[1]
    if f < 2:
        raise ValueError(f"expected two factors or more for DCI, got {f}: with one there is nothing to disentangle")
    scale, order = codes.std(0), keys.permutation(keys.key(0), len(codes)).to(codes.device)
    x = (codes - codes.mean(0)) / torch.where(scale == 0, 1.0, scale)
    fit, test = order[0::2], order[1::2]
    accuracy = torch.stack([_accuracy(x[fit], v[fit], x[test], v[test], ridge) for v in factors.T])
    r = _importance(codes, factors) if importance is None else importance.double()
    if r.shape != (d, f) or not (r >= 0).all():
        raise ValueError(f"expected importance ({d}, {f}) without negative entries, got {tuple(r.shape)}")
    rows, columns = r.sum(1), r.sum(0)
    by_dimension = 1 - torch.stack([_entropy(row) for row in r]) / torch.tensor(float(f)).log()
    by_factor = 1 - torch.stack([_entropy(column) for column in r.T]) / torch.tensor(float(d)).log()
    total = rows.sum()
    disentanglement = (rows / torch.where(total == 0, 1.0, total) * by_dimension).sum()
    completeness = torch.where(columns == 0, 0.0, by_factor).mean()
    return Dci(disentanglement, completeness, accuracy, r, _chance(factors, len(test)))


def _accuracy(x: Tensor, v: Tensor, test: Tensor, truth: Tensor, ridge: float) -> Tensor:
    """Of the discriminant x . W^-1 mu_c - mu_c . W^-1 mu_c / 2 + log pi_c, W the covariance within classes c."""
    one_hot = (v[:, None] == torch.arange(int(v.max()) + 1, device=v.device)).double()
    size = one_hot.sum(0)
    mean = one_hot.T @ x / size.clamp_min(1)[:, None]
    within = x - mean[v]
    w = within.T @ within / len(x) + ridge * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    direction = torch.linalg.solve(w, mean.T)  # (d, classes)
    score = test @ direction - 0.5 * (mean.T * direction).sum(0) + torch.log(size / len(x))
    return (score.argmax(1) == truth).double().mean()


def _chance(factors: Tensor, n: int) -> Tensor:
    largest = torch.stack([torch.bincount(v).amax() for v in factors.T]).double() / len(factors)
    z = -torch.special.ndtri(largest.new_tensor(LEVEL / len(largest)))
    return largest + z * torch.sqrt(largest * (1 - largest) / n)


def _importance(codes: Tensor, factors: Tensor) -> Tensor:
    """The share of each factor's entropy that a dimension encodes, (d, f), by 2 n I ~ chi^2 under independence."""
    joint = _joint(codes, factors, BINS)
    information, n = _information(joint), len(codes)
    freedom = torch.stack([((p.sum(2) > 0).sum(1) - 1) * (p.shape[2] - 1) for p in joint], 1).double()
    p_value = torch.special.gammaincc(freedom.clamp_min(1) / 2, n * information)
    encoded = (information - freedom / (2 * n)).clamp_min(0) / _entropies(factors)
    return torch.where(p_value < LEVEL / information.numel(), encoded, 0.0)


def _information(joint: list[Tensor]) -> Tensor:
    """I(z_j; v_k) of the histograms, (d, f), in nats."""
    columns = []
    for p in joint:
        outer = p.sum(1, keepdim=True) * p.sum(2, keepdim=True)
        columns.append((torch.xlogy(p, p) - torch.xlogy(p, outer)).sum((1, 2)))
    return torch.stack(columns, 1).clamp_min(0)


def _joint(codes: Tensor, factors: Tensor, bins: int) -> list[Tensor]:
    """P(bin, class) of each dimension, (d, bins, classes) for each factor."""
    edges = torch.linspace(0, 1, bins + 1, dtype=codes.dtype, device=codes.device)[1:-1]
    cuts = torch.quantile(codes, edges, dim=0).T.contiguous()
    index = torch.searchsorted(cuts, codes.T.contiguous(), right=True)
    index = torch.arange(codes.shape[1], device=codes.device)[:, None] * bins + index
    joint = []
    for v in factors.T:
        classes = int(v.max()) + 1
        count = torch.bincount((index * classes + v).flatten(), minlength=codes.shape[1] * bins * classes)
        joint.append(count.reshape(-1, bins, classes).double() / len(codes))
    return joint


def _entropies(factors: Tensor) -> Tensor:
    return torch.stack([_entropy(torch.bincount(v).double()) for v in factors.T])


def _entropy(counts: Tensor) -> Tensor:
    """Of counts or shares, normalised first, in nats; 0 where all are 0."""
    total = counts.sum()
    p = counts / torch.where(total == 0, 1.0, total)
    return -torch.xlogy(p, p).sum()


def _two_best(scores: Tensor) -> Tensor:
    best = scores.topk(2, 0).values
    return best[0] - best[1]


def _verdict(name: str, what: str, gap: Tensor, best: Tensor, most: float = 1.0) -> str:
    pairs = ", ".join(f"{k} in {j} ({g:.2f})" for k, (j, g) in enumerate(zip(best.tolist(), gap.tolist(), strict=True)))
    score, least = gap.mean().item(), SEPARATED * most
    word = "factors have dimensions of their own" if score >= least else "factors are shared between dimensions"
    return f"{name} {score:.2f}, {what}, against {least:.2g} for separation: {word}; each factor in its best: {pairs}"


def _check(codes: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """The codes in float64, and each factor's classes as 0, 1, … without gaps."""
    shapes = f"got {tuple(codes.shape)} and {tuple(factors.shape)}"
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or codes.shape[1] < 2 or 0 in factors.shape:
        raise ValueError(f"expected codes (n, d) with d >= 2 and factors (n, f), n >= 2 and f >= 1, {shapes}")
    if factors.is_floating_point() or factors.min() < 0:
        raise ValueError(f"expected factors as classes 0, 1, …, got {factors.dtype}: bin continuous factors first")
    if not torch.isfinite(codes).all():
        raise ValueError("expected finite codes, got NaN or infinite ones")
    constant = (factors == factors[0]).all(0)
    if constant.any():
        raise ValueError(f"expected factors that vary, got one value only in {constant.nonzero()[:, 0].tolist()}")
    return codes.double(), torch.stack([v.unique(return_inverse=True)[1] for v in factors.long().T], 1)
