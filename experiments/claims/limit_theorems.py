"""Limit theorems beside their exact values: means of many draws, their distribution, and what has no such limit."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.distributions import Cauchy, DiagNormal, Exponential, Gamma, Pareto
from jensen.core.exponential import DiagNormalFamily, ParetoFamily, maximum_likelihood
from jensen.experiments.claims.computed import Curve, Part, Row, mean_of, slope

COUNTS = [2**k for k in range(2, 12)]  # draws in a mean, N
ALL = torch.zeros(COUNTS[-1], dtype=torch.float64)
GROUPS = 20  # of repetitions, whose spread gives a slope's error
ESSEEN = 0.4748  # the constant of Shevtsova (2011)
RHO = 12 / math.e - 2  # E |X - 1|^3 of an exponential of rate 1
KOLMOGOROV = {5: 0.05963, 500: 0.005947}
TAIL = 1.5  # of the Pareto


def large_numbers(key: Key, draws: int) -> Part:
    """The mean of N exponentials is off by N^(-1/2), and beyond 0.2 less often than Chebyshev's bound allows."""
    means = running_means(key, draws // 50, Exponential(ALL + 1))
    rms = {n: (means[:, n - 1] - 1).square().mean().sqrt().item() for n in COUNTS}
    found, error = grouped_slope(means - 1, lambda off: off.square().mean(0).sqrt())
    n, distance = 64, 0.2
    off = ((means[:, n - 1] - 1).abs() >= distance).double()
    sides = torch.tensor([n * (1 - distance), n * (1 + distance)], dtype=torch.float64)[:, None, None]
    below, at_most = Gamma(scalar(n), scalar(1.0)).cdf(sides).flatten().tolist()
    tail, bound, part = below + 1 - at_most, 1 / (n * distance**2), "law of large numbers"
    rows = [
        Row(part, "log-log slope of the mean's error", found, -0.5, error),
        mean_of(part, f"P(off by {distance}) at N = {n}", off, tail),
        Row(part, "the same beside Chebyshev's bound", off.mean().item(), bound, relation="≤"),
    ]
    curves = [
        Curve("root mean square error", COUNTS, list(rms.values())),
        Curve("N^(-1/2)", COUNTS, [n**-0.5 for n in COUNTS], exact=True),
    ]
    return Part(rows, curves, "N", "error of a mean of N exponentials", ("log", "log"))


def central_limit(key: Key, draws: int) -> Part:
    """The standardised mean of N exponentials, a gamma, is nearly normal: Kolmogorov's distance, Berry and Esseen's."""
    x, part, rows, curves = torch.linspace(-4, 4, 20_001, dtype=torch.float64), "central limit theorem", [], []
    quantiles = -torch.log1p(-(torch.arange(1_000_000, dtype=torch.float64) + 0.5) / 1_000_000)
    third = (quantiles - 1).abs().pow(3).mean().item()
    rows.append(Row(part, "E |X - 1|³ = 12 / e - 2", third, RHO, digits=1e-3))
    for i, (n, known) in enumerate(KOLMOGOROV.items()):
        gap = standardised_cdf(n, x) - torch.special.ndtr(x)
        distance, bound = gap.abs().max().item(), ESSEEN * RHO / n**0.5
        z = standardised_means(keys.fold_in(key, i), draws // 10, n).sort().values
        steps = torch.arange(len(z) + 1, dtype=torch.float64) / len(z)
        at = standardised_cdf(n, z)
        empirical = torch.maximum(at - steps[:-1], steps[1:] - at).max().item()
        rows += [
            Row(part, f"distance to the normal, N = {n}", distance, known, digits=1e-4),
            Row(part, f"the same beside Berry and Esseen's bound {bound:.4f}", distance, bound, relation="≤"),
            Row(part, f"draws beside the gamma's cdf, N = {n}", empirical, 2.2 / len(z) ** 0.5, relation="≤"),
        ]
        curves.append(Curve(f"N = {n}", x[::100].tolist(), gap[::100].tolist(), exact=True))
    return Part(rows, curves, "x", "cdf of the standardised mean − Φ(x)")


def characteristic(key: Key, draws: int) -> Part:
    """E e^(i t Z) of the standardised mean Z of N exponentials, (e^(-i t / r) / (1 - i t / r))^N with r = sqrt N."""
    t, part, rows, curves = torch.linspace(0, 4, 41, dtype=torch.float64), "characteristic function", [], []
    limit = torch.exp(-0.5 * t.square())
    for i, n in enumerate(KOLMOGOROV):
        z = standardised_means(keys.fold_in(key, i), draws // 10, n)
        step = torch.complex(torch.zeros_like(t), t / n**0.5)
        exact = torch.exp(n * (-step - torch.log(1 - step)))
        for name, f, value in (("real", torch.cos, exact.real[10]), ("imaginary", torch.sin, exact.imag[10])):
            rows.append(mean_of(part, f"{name} part at t = 1, N = {n}", f(z), value.item()))
        gap = (exact - limit).abs()
        skewness = math.exp(-0.5) / 3  # |t|^3 e^(-t^2 / 2) times E Z^3 sqrt(N) / 6, with E X^3 = 2
        off = n**0.5 * gap[10].item()
        rows.append(Row(part, f"√N · distance to e^(-t²/2) at t = 1, N = {n}", off, skewness, 0.0, "≈", 0.1))
        curves.append(Curve(f"N = {n}", t.tolist(), gap.tolist(), exact=True))
    return Part(rows, curves, "t", "distance to e^(−t²/2)")


def heavy_tails(key: Key, draws: int) -> Part:
    """A Pareto without variance converges as N^(1 / a - 1), and the mean of Cauchys is one Cauchy."""
    first, second, third = keys.split(key, 3)
    part, mean = "heavy tails", TAIL / (TAIL - 1)
    pareto = Pareto(scalar(1.0), scalar(TAIL))
    fit, errors = maximum_likelihood(ParetoFamily(pareto.scale), pareto.sample(pareto.noise(first, draws)))
    means = running_means(second, draws // 50, Pareto(ALL + 1, ALL + TAIL))
    spread = [(means[:, n - 1] - mean).abs().median().item() for n in COUNTS]
    found, _ = grouped_slope(means - mean, lambda off: off.abs().median(0).values)
    cauchys = running_means(third, draws // 50, Cauchy(ALL, ALL))
    middle = [cauchys[:, n - 1].abs().median().item() for n in COUNTS]
    sampling = math.pi / (2 * len(cauchys) ** 0.5)
    rows = [
        Row(part, "Pareto's tail by maximum likelihood", fit.concentration.item(), TAIL,
            errors["concentration"].item()),
        Row(part, "log-log slope of a Pareto mean's error", found, 1 / TAIL - 1, 0.0, "≈", 0.15),
        Row(part, f"median of the mean of {COUNTS[-1]} Cauchys, in size", middle[-1], 1.0, sampling),
        Row(part, "median of one Cauchy, in size", cauchys[:, 0].abs().median().item(), 1.0, sampling),
    ]  # fmt: skip
    curves = [
        Curve("Pareto, a = 1.5", COUNTS, spread),
        Curve("N^(1/a − 1)", COUNTS, [spread[0] * (n / COUNTS[0]) ** (1 / TAIL - 1) for n in COUNTS], exact=True),
        Curve("Cauchy", COUNTS, middle),
        Curve("one Cauchy", COUNTS, [1.0] * len(COUNTS), exact=True),
    ]
    return Part(rows, curves, "N", "median error of a mean of N", ("log", "log"))


def moments(key: Key, draws: int) -> Part:
    """Derivatives of the moment generating function at 0, which is that of the log partition: nested autodiff."""
    loc, scale, part = 0.7, 1.3, "moments by autodiff"
    normal = DiagNormal.from_scale(torch.tensor([loc], dtype=torch.float64), torch.tensor(scale, dtype=torch.float64))
    family = DiagNormalFamily()
    eta = family.natural(normal)

    def generating(t: Tensor) -> Tensor:
        return torch.exp(family.log_partition({**eta, "z": eta["z"] + t}) - family.log_partition(eta))

    exact = (loc, loc**2 + scale**2, loc**3 + 3 * loc * scale**2, loc**4 + 6 * loc**2 * scale**2 + 3 * scale**4)
    rows, slopes = [], [generating]
    for k, value in enumerate(exact, 1):
        slopes.append(grad(slopes[-1]))
        rows.append(Row(part, f"E X^{k} of N({loc}, {scale}²)", slopes[k](torch.zeros(()).double()).item(), value))
    t = torch.linspace(-1, 1, 41, dtype=torch.float64)
    taylor = torch.stack([value * t**k / math.factorial(k) for k, value in enumerate((1.0, *exact))]).sum(0)
    curves = [
        Curve("by four moments", t[::2].tolist(), taylor[::2].tolist()),
        Curve("E e^(tX)", t.tolist(), torch.exp(loc * t + 0.5 * (scale * t) ** 2).tolist(), exact=True),
    ]
    return Part(rows, curves, "t", "moment generating function")


def running_means(key: Key, repetitions: int, q: Exponential | Pareto | Cauchy) -> Tensor:
    """Means of the first 1, 2, … components of q's draws: (repetitions, the largest N)."""
    x = q.sample(keys.uniform(key, (repetitions, COUNTS[-1]), torch.float64))
    return x.cumsum(-1) / torch.arange(1, COUNTS[-1] + 1)


def grouped_slope(off: Tensor, size: Callable[[Tensor], Tensor]) -> tuple[float, float]:
    """The log-log slope in N of the size of errors, and its standard error over groups of repetitions."""
    at = off[:, [n - 1 for n in COUNTS]]
    each = torch.tensor([slope(COUNTS, size(group).tolist()) for group in at.chunk(GROUPS)])
    return slope(COUNTS, size(at).tolist()), each.std().item() / len(each) ** 0.5


def standardised_means(key: Key, repetitions: int, n: int) -> Tensor:
    """(mean - 1) sqrt N of N exponentials, by the gamma of their sum."""
    total = Gamma(torch.full((1, 1), float(n), dtype=torch.float64), scalar(1.0))
    return (total.sample(total.noise(key, repetitions)).flatten() / n - 1) * n**0.5


def standardised_cdf(n: int, x: Tensor) -> Tensor:
    return Gamma(scalar(n), scalar(1.0)).cdf((n + n**0.5 * x)[:, None, None]).flatten()


def scalar(value: float) -> Tensor:
    """A field of one datum and one component."""
    return torch.full((1, 1), value, dtype=torch.float64)
