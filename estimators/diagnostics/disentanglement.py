"""How far each known factor of variation sits in one latent dimension of its own: MIG, SAP and DCI.

Approximates  three scores in [0, 1]; 1 where every factor is told by exactly one dimension
With          histograms of each dimension in bins of equal counts, and for the informativeness of `dci` one linear
              regression on all dimensions
Requires      codes, as posterior means, of data whose factors are known as classes; bin continuous factors first.
              No codes of half precision; ten data or more for each pair of bin and class
Unbiased when never: histograms overstate information by about (bins - 1) (classes - 1) / (2 n) nats, for every
              dimension alike, so that gaps between dimensions keep little of it
Cost          n d f counts; a ridge regression of d unknowns
Reference     Chen et al., 2018 (MIG); Kumar et al., 2018 (SAP); Eastwood and Williams, 2018 (DCI)
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

BINS = 20
GOOD = 0.5  # of what can be reached: what a verdict calls separated


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
    """0-d scores; informativeness (f,) is the accuracy on held-out data, importance (d, f) >= 0."""

    disentanglement: Float[Tensor, ""]  # each dimension tells one factor
    completeness: Float[Tensor, ""]  # each factor is told by one dimension
    informativeness: Float[Tensor, " f"]
    importance: Float[Tensor, "d f"]

    def verdict(self) -> str:
        d, c, i = (t.item() for t in (self.disentanglement, self.completeness, self.informativeness.mean()))
        text = f"disentanglement {d:.2f}, completeness {c:.2f}, informativeness {i:.2f} (1 is perfect)"
        if min(d, c) >= GOOD:
            return f"{text}: dimensions and factors pair off, each score being at least {GOOD}"
        mixed = "dimensions mix factors" if d < GOOD else "factors are spread over dimensions"
        return f"{text}: {mixed}, by a score below {GOOD}: do not read single dimensions as factors"


@torch.no_grad()
def mig(codes: Float[Tensor, "n d"], factors: Int[Tensor, "n f"], bins: int = BINS) -> Mig:
    """gap_k = (I(z_j; v_k) - max_{i != j} I(z_i; v_k)) / H(v_k), j the dimension with the most information."""
    _check(codes, factors)
    information = _information(codes, factors, bins)
    entropy = torch.stack([_entropy(torch.bincount(factor).double()) for factor in factors.T])
    return Mig(_two_best(information) / entropy, information)


@torch.no_grad()
def sap(codes: Float[Tensor, "n d"], factors: Int[Tensor, "n f"], bins: int = BINS) -> Sap:
    """gap_k between the two best dimensions' balanced accuracies in telling factor k's class.

    Each bin predicts the class that is most frequent there, relatively to its size: the best thresholds on one
    dimension, on the data they were chosen on.
    """
    _check(codes, factors)
    columns, classes = [], []
    for factor in factors.T:
        p = _joint(codes, factor, bins)
        classes.append(p.shape[2])
        columns.append((p / p.sum(1, keepdim=True)).amax(2).sum(1) / p.shape[2])
    accuracy = torch.stack(columns, 1)
    return Sap(_two_best(accuracy), accuracy, 1 - 1 / accuracy.new_tensor(classes))


@torch.no_grad()
def dci(
    codes: Float[Tensor, "n d"],
    factors: Int[Tensor, "n f"],
    importance: Float[Tensor, "d f"] | None = None,
    ridge: float = 1e-3,
) -> Dci:
    """D = sum_j rho_j (1 + sum_k p log_f p) and C = mean_k (1 + sum_j q log_d q), of an importance R (d, f) >= 0.

    p = R / sum_k R, q = R / sum_j R, and rho_j is the share of dimension j in R. By default R is the mutual
    information in histograms less its bias under independence, over the factor's entropy: no regressor has to be
    chosen, and dimensions that repeat each other do not upset it, as they do linear coefficients. Eastwood and
    Williams used a lasso and random forests: give such importances as `importance` to compare with them.
    Informativeness is the accuracy, on every second datum, of a ridge regression of the classes on the others' codes.
    """
    _check(codes, factors)
    d, f = codes.shape[1], factors.shape[1]
    if f < 2:
        raise ValueError(f"expected two factors or more for DCI, got {f}: with one there is nothing to disentangle")
    scale = codes.std(0)
    x = ((codes - codes.mean(0)) / torch.where(scale == 0, 1.0, scale)).double()
    fit, held = x[0::2], x[1::2]
    gram = fit.T @ fit + ridge * len(fit) * torch.eye(d, dtype=x.dtype, device=x.device)
    accuracy = []
    for factor in factors.T:
        classes = F.one_hot(factor).double()
        centre = classes[0::2].mean(0)
        coefficients = torch.linalg.solve(gram, fit.T @ (classes[0::2] - centre))
        accuracy.append(((held @ coefficients + centre).argmax(1) == factor[1::2]).double().mean())
    r = _importance(codes, factors) if importance is None else importance.double()
    if r.shape != (d, f) or not (r >= 0).all():
        raise ValueError(f"expected importance ({d}, {f}) without negative entries, got {tuple(r.shape)}")
    rows, columns = r.sum(1), r.sum(0)
    by_dimension = 1 - torch.stack([_entropy(row) for row in r]) / torch.tensor(float(f)).log()
    by_factor = 1 - torch.stack([_entropy(column) for column in r.T]) / torch.tensor(float(d)).log()
    total = rows.sum()
    disentanglement = (rows / torch.where(total == 0, 1.0, total) * by_dimension).sum()
    completeness = torch.where(columns == 0, 0.0, by_factor).mean()
    return Dci(disentanglement, completeness, torch.stack(accuracy), r)


def _importance(codes: Tensor, factors: Tensor) -> Tensor:
    """The share of each factor's entropy that a dimension tells, (d, f)."""
    counts = [torch.bincount(factor).double() for factor in factors.T]
    entropy = torch.stack([_entropy(count) for count in counts])
    classes = torch.stack([(count > 0).sum() for count in counts])
    bias = (BINS - 1) * (classes - 1) / (2 * len(codes))
    return (_information(codes, factors, BINS) - bias).clamp_min(0) / entropy


def _information(codes: Tensor, factors: Tensor, bins: int) -> Tensor:
    """I(z_j; v_k) of the histograms, (d, f), in nats."""
    columns = []
    for factor in factors.T:
        p = _joint(codes, factor, bins)
        outer = p.sum(1, keepdim=True) * p.sum(2, keepdim=True)
        columns.append((torch.xlogy(p, p) - torch.xlogy(p, outer)).sum((1, 2)))
    return torch.stack(columns, 1).clamp_min(0)


def _joint(codes: Tensor, factor: Tensor, bins: int) -> Tensor:
    """P(bin, class) of each dimension, (d, bins, classes), in float64; classes that never occur are left out."""
    classes, factor = factor.unique(return_inverse=True)
    edges = torch.linspace(0, 1, bins + 1, dtype=codes.dtype, device=codes.device)[1:-1]
    cuts = torch.quantile(codes, edges, dim=0).T.contiguous()
    index = torch.searchsorted(cuts, codes.T.contiguous(), right=True)
    cell = (torch.arange(codes.shape[1], device=codes.device)[:, None] * bins + index) * len(classes) + factor
    size = codes.shape[1] * bins * len(classes)
    return torch.bincount(cell.flatten(), minlength=size).reshape(-1, bins, len(classes)).double() / len(codes)


def _entropy(counts: Tensor) -> Tensor:
    """In nats, of counts or shares that are normalised first; 0 of nothing."""
    total = counts.sum()
    p = counts / torch.where(total == 0, 1.0, total)
    return -torch.xlogy(p, p).sum()


def _two_best(scores: Tensor) -> Tensor:
    best = scores.topk(2, 0).values
    return best[0] - best[1]


def _verdict(name: str, what: str, gap: Tensor, best: Tensor, most: float = 1.0) -> str:
    pairs = ", ".join(f"{k} in {j} ({g:.2f})" for k, (j, g) in enumerate(zip(best.tolist(), gap.tolist(), strict=True)))
    score, good = gap.mean().item(), GOOD * most
    word = "factors sit in dimensions of their own" if score >= good else "factors are shared between dimensions"
    return f"{name} {score:.2f}, {what}, against {good:.2g} for separation: {word}; each factor in its best: {pairs}"


def _check(codes: Tensor, factors: Tensor) -> None:
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or codes.shape[1] < 2:
        raise ValueError(
            f"expected codes (n, d) with d >= 2 and factors (n, f), got {tuple(codes.shape)} and {tuple(factors.shape)}"
        )
    if factors.is_floating_point() or factors.min() < 0:
        raise ValueError(f"expected factors as classes 0, 1, …, got {factors.dtype}: bin continuous factors first")
    if not torch.isfinite(codes).all():
        raise ValueError("expected finite codes, got NaN or infinite ones")
    constant = (factors == factors[0]).all(0)
    if constant.any():
        raise ValueError(f"expected factors that vary, got one value only in {constant.nonzero()[:, 0].tolist()}")
