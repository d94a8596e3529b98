"""What estimates can do beside exact values: bounds of variance, shrinkage, conditioning, priors, entropy."""

import math
from fractions import Fraction

import torch
from torch import Tensor
from torch.func import jacrev

from jensen.core import keys, trees
from jensen.core.contracts import Key
from jensen.core.distributions import DiagNormal, FullNormal, Laplace, Logistic, StudentT, Uniform
from jensen.core.exponential import NormalNormal, cramer_rao, fisher_information
from jensen.experiments.claims.computed import Curve, Part, Row, mean_of
from jensen.experiments.claims.limit_theorems import scalar

N = 10  # observations of the variance
DIMENSIONS = (2, 3, 10)
NORMS = (0.0, 1.0, 2.0, 4.0, 8.0)
KAPPAS = tuple(range(2, 15, 2))  # condition numbers, as powers of 10
SIZE, MATRICES = 8, 10  # of the covariances, and how many of each condition number
SHELL = 1000


def variance_bounds(key: Key, draws: int) -> Part:
    """Of 10 normal observations: the mean reaches its bound, the unbiased variance does not, a biased one is below."""
    x = keys.normal(key, (draws, N), torch.float64)
    q = DiagNormal(scalar(0.0), scalar(0.0))

    def functions(fields: Tensor) -> Tensor:
        return torch.stack([fields[0], torch.exp(2 * fields[1]), torch.exp(fields[1])])

    jacobian = jacrev(functions)(trees.ravel(q)[0])
    of_mean, of_variance, of_deviation = cramer_rao(N * fisher_information(q)[0], jacobian).diagonal().tolist()
    mean, variance = x.mean(-1), x.var(-1)
    biased, deviation = variance * (N - 1) / N, variance.sqrt()
    squared_mean = 2 / (N - 1) * math.exp(2 * (math.lgamma(N / 2) - math.lgamma((N - 1) / 2)))  # of the deviation
    part = "Cramér and Rao"
    rows = [
        mean_of(part, "variance of the mean over its bound", squares(mean) / of_mean, 1.0),
        Row(part, "bound of the variance", of_variance, 0.2),
        mean_of(part, "variance of the unbiased variance", squares(variance), 2 / (N - 1)),
        mean_of(part, "variance of that with divisor n", squares(biased), 2 * (N - 1) / N**2),
        mean_of(part, "its bias", biased - 1, -1 / N),
        Row(part, "bound of the standard deviation", of_deviation, 1 / (2 * N)),
        mean_of(part, "variance of the sample's deviation", squares(deviation), 1 - squared_mean),
    ]
    counts = list(range(2, 41))
    curves = [
        Curve("unbiased", counts, [n / (n - 1) for n in counts], exact=True),
        Curve("divisor n", counts, [(n - 1) / n for n in counts], exact=True),
        Curve("unbiased, of draws", [N], [squares(variance).mean().item() / of_variance]),
        Curve("divisor n, of draws", [N], [squares(biased).mean().item() / of_variance]),
        Curve("the bound", counts, [1.0] * len(counts), exact=True),
    ]
    return Part(rows, curves, "observations", "variance over the bound, of σ²")


def shrinkage(key: Key, draws: int) -> Part:
    """James and Stein's estimate of d normal means: its risk is below d, that of the data, from d = 3 on."""
    part, rows, curves = "James and Stein", [], []
    for i, d in enumerate(DIMENSIONS):
        noise = keys.normal(keys.fold_in(key, i), (draws // 5, d), torch.float64)
        found = []
        for norm in NORMS:
            theta = torch.full((d,), norm / d**0.5, dtype=torch.float64)
            x = theta + noise
            kept = 1 - (d - 2) / x.square().sum(-1, keepdim=True)
            loss = (kept * x - theta).square().sum(-1)
            found.append(loss.mean().item())
            if norm in (0.0, 2.0):
                rows.append(mean_of(part, f"risk at |θ| = {norm:g}, d = {d}", loss, risk(d, norm)))
        fine = [0.1 * k for k in range(81)]
        curves.append(Curve(f"d = {d}", NORMS, found))
        curves.append(Curve("", fine, [risk(d, norm) for norm in fine], exact=True))
    return Part(rows, curves, "|θ|", "risk of the estimate")


def risk(d: int, norm: float) -> float:
    """d - (d - 2)^2 E 1 / |x|^2, with |x|^2 chi-squared of d + 2 K degrees of freedom, K Poisson of |theta|^2 / 2."""
    rate, inverse = norm**2 / 2, 0.0
    for k in range(int(rate + 12 * rate**0.5) + 30):
        mass = math.exp(k * math.log(rate) - rate - math.lgamma(k + 1)) if rate else float(k == 0)
        inverse += mass / (d - 2 + 2 * k) if d > 2 else 0.0
    return d - (d - 2) ** 2 * inverse


def conditioning(key: Key, draws: int) -> Part:
    """log N(x; 0, S) is off in proportion to kappa epsilon, by Cholesky's factor half as much as by an inverse."""
    part, eps = "conditioning", torch.finfo(torch.float64).eps
    worst: dict[str, list[float]] = {"inverse": [], "Cholesky": []}
    means: dict[str, list[float]] = {name: [] for name in worst}
    for power in KAPPAS:
        errors: dict[str, list[float]] = {name: [] for name in worst}
        for one in keys.split(keys.fold_in(key, power), MATRICES):
            first, second = keys.split(one)
            basis = torch.linalg.qr(keys.normal(first, (SIZE, SIZE), torch.float64)).Q
            values = torch.logspace(0, -power, SIZE, dtype=torch.float64)
            covariance = (basis * values) @ basis.T
            covariance = (covariance + covariance.T) / 2
            x = basis @ (values.sqrt() * keys.normal(second, (1, SIZE), torch.float64)[0])
            exact = exact_log_density(covariance, x)
            log_det = torch.linalg.slogdet(covariance).logabsdet
            by_inverse = -0.5 * (x @ torch.linalg.inv(covariance) @ x + log_det + SIZE * math.log(2 * math.pi))
            by_factor = FullNormal.from_covariance(torch.zeros_like(x)[None], covariance).log_prob(x[None])
            errors["inverse"].append(abs(by_inverse.item() - exact))
            errors["Cholesky"].append(abs(by_factor.item() - exact))
        for name, found in errors.items():
            worst[name].append(max(found))
            means[name].append(sum(found) / MATRICES)
    kappas = [10.0**power for power in KAPPAS]
    rows = [
        Row(part, f"error by {name}, κ = {kappa:.0e}", error, SIZE * kappa * eps, relation="≤")
        for name in worst
        for kappa, error in zip(kappas, worst[name], strict=True)
    ]
    shares = [math.log(one / other) for one, other in zip(means["Cholesky"], means["inverse"], strict=True)]
    share = math.exp(sum(shares) / len(shares))
    rows.append(Row(part, "Cholesky's mean error over the inverse's, on average", share, 1.0, relation="≤"))
    curves = [Curve(f"by {name}", kappas, errors) for name, errors in worst.items()]
    curves.append(Curve("κ ε", kappas, [kappa * eps for kappa in kappas], exact=True))
    return Part(rows, curves, "κ", "largest error of log N(x; 0, Σ), nats", ("log", "log"))


def exact_log_density(covariance: Tensor, x: Tensor) -> float:
    """log N(x; 0, covariance) of these very numbers, by elimination in fractions."""
    rows = [
        [Fraction(value) for value in (*row, end)] for row, end in zip(covariance.tolist(), x.tolist(), strict=True)
    ]
    log_det, square = 0.0, Fraction(0)
    for i, row in enumerate(rows):
        pivot = row[i]
        log_det += math.log(pivot.numerator) - math.log(pivot.denominator)
        square += row[-1] ** 2 / pivot
        for later in rows[i + 1 :]:
            factor = later[i] / pivot
            later[i:] = [value - factor * above for value, above in zip(later[i:], row[i:], strict=True)]
    return -0.5 * (float(square) + log_det + len(rows) * math.log(2 * math.pi))


def prior_strength(key: Key, draws: int) -> Part:
    """N observations of mean 3 and variance 2.5, a prior N(0, 0.5): the posterior's mean is 3 N / (N + 5)."""
    pair = NormalNormal(DiagNormal(scalar(0.0), scalar(0.5 * math.log(0.5))), scalar(0.5 * math.log(2.5)))
    counts = (1, 2, 5, 10, 20, 50, 100, 200, 500)
    found = [pair.posterior(torch.full((n, 1, 1), 3.0, dtype=torch.float64)).q.loc.item() for n in counts]
    part = "prior strength"
    rows = [
        Row(part, "posterior mean of 3 at N = 1", found[0], 0.5),
        Row(part, "posterior mean of 3 at N = 100", found[counts.index(100)], 2.857, digits=1e-4),
    ]
    curves = [
        Curve("posterior mean", counts, found),
        Curve("data's mean", counts, [3.0] * len(counts), exact=True),
    ]
    return Part(rows, curves, "N", "posterior mean", ("log", "linear"))


def maximum_entropy(key: Key, draws: int) -> Part:
    """Of all densities of variance 1 the normal's entropy is the largest, by their KL to it."""
    half_width = 3**0.5
    families = {
        "normal": (DiagNormal(scalar(0.0), scalar(0.0)), 0.5 * math.log(2 * math.pi * math.e)),
        "t of 5": (StudentT(scalar(5.0), scalar(0.0), scalar(0.5 * math.log(0.6))), 1.3720899),
        "logistic": (Logistic(scalar(0.0), scalar(math.log(3**0.5 / math.pi))), 2 + math.log(3**0.5 / math.pi)),
        "Laplace": (Laplace(scalar(0.0), scalar(-0.5 * math.log(2))), 1 + 0.5 * math.log(2)),
        "uniform": (Uniform(scalar(-half_width), scalar(half_width)), 0.5 * math.log(12)),
    }
    most, part, rows, entropies, gaps = families["normal"][1], "maximum entropy", [], [], []
    normal = families["normal"][0]
    for i, (name, (q, exact)) in enumerate(families.items()):
        entropy = q.entropy().item()
        rows.append(Row(part, f"entropy of the {name}", entropy, exact, digits=1e-7))
        if name != "normal":
            z = q.sample(q.noise(keys.fold_in(key, i), draws))
            gap = (q.log_prob(z) - normal.log_prob(z)).flatten()
            rows.append(mean_of(part, f"KL({name} ‖ normal), its distance below", gap, most - exact))
            gaps.append(gap.mean().item())
        entropies.append(entropy)
    places = list(range(len(entropies)))
    curves = [
        Curve("entropy", places, entropies),
        Curve("log(2πe) / 2", places, [most] * len(places), exact=True),
    ]
    return Part(rows, curves, "", "entropy at variance 1, nats", ticks=list(families))


def gaussian_shell(key: Key, draws: int) -> Part:
    """|x| of d normals is near sqrt(d), never near 0: E |x| = sqrt(2) Gamma((d + 1) / 2) / Gamma(d / 2)."""
    part, sizes = "Gaussian shell", (1, 3, 10, 30, 100, 300, SHELL)
    normals = [keys.normal(keys.fold_in(key, d), (draws // 100, d), torch.float64) for d in sizes]
    lengths = [torch.linalg.vector_norm(x, dim=-1) for x in normals]
    exact = [2**0.5 * math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2)) for d in sizes]
    rows = [
        mean_of(part, f"E |x| at d = {SHELL:,}", lengths[-1], exact[-1]),
        Row(part, "the same by gamma functions", exact[-1], 31.61, digits=2e-4),
        mean_of(part, f"variance of |x| at d = {SHELL:,}", squares(lengths[-1]), SHELL - exact[-1] ** 2),
    ]
    curves = [
        Curve("mean of |x|", sizes, [each.mean().item() for each in lengths]),
        Curve("", sizes, exact, exact=True),
        Curve("standard deviation of |x|", sizes, [each.std().item() for each in lengths]),
        Curve("", sizes, [(d - e**2) ** 0.5 for d, e in zip(sizes, exact, strict=True)], exact=True),
    ]
    return Part(rows, curves, "d", "length of a normal x", ("log", "log"))


def squares(values: Tensor) -> Tensor:
    """Squared distances to the mean, whose mean is the variance."""
    return (values - values.mean()).square() * len(values) / (len(values) - 1)
