"""The ladder of bounds on a model whose log p(x) is known exactly, for posteriors at several distances from it.

Claim    ELBO <= Rényi <= IWAE <= log p(x) on average at every K. CUBO's exact value is above log p(x), but its estimate
         climbs there from the ELBO: it is no upper bound before K is large, the larger the further q is from the
         posterior
Command  python -m jensen.experiments.claims.bounds
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.estimators.evidence import draw
from jensen.experiments.claims.checked import check_seed
from jensen.experiments.report import ladder
from jensen.experiments.report.drawing import colour, line, name_ends, panels, png
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError

FURTHEST, WIDEST = 1e3, 1e2  # a bound on a q that is further off says nothing more
LATENT, DATA, SIGMA = 4, 8, 0.5
ROUNDING = 1e-9
ORDERS = {"ELBO": 1.0, "Rényi(0.5)": 0.5, "IWAE": 0.0, "CUBO(2)": -1.0}  # alpha: those with an exact limit


@dataclass(frozen=True)
class Settings:
    """Compare bounds with the exact log p(x) of a linear-Gaussian model: a table, a figure and JSON lines."""

    out: Path = Path("runs/bounds")
    """Folder of rows.jsonl and bounds.png; what it holds of these is replaced."""
    samples: tuple[int, ...] = (1, 2, 5, 10, 50, 100, 500, 1000)
    """Samples per bound, K."""
    shifts: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0)
    """Distances between the means of q and of the posterior, in the posterior's standard deviations."""
    scales: tuple[float, ...] = (0.6,)
    """Widths of q about the posterior's mean, in the same; below 0.71 the exact CUBO(2) is infinite."""
    draws: int = 50_000
    """Samples of q per datum, in groups of K."""
    data: int = 10
    """Data."""
    seed: int = 0
    """Everything random follows from it."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        if not self.samples or min(self.samples) < 1:
            raise InputError(f"--samples {self.samples}: expected counts of at least 1")
        if self.draws < 10 * max(self.samples):
            raise InputError(f"--draws {self.draws}: expected at least 10 groups of {max(self.samples)} samples")
        if not all(0 <= shift <= FURTHEST for shift in self.shifts):
            raise InputError(f"--shifts {self.shifts}: expected distances in [0, {FURTHEST:g}]")
        if not all(1 / WIDEST <= scale <= WIDEST for scale in self.scales):
            raise InputError(f"--scales {self.scales}: expected widths in [{1 / WIDEST:g}, {WIDEST:g}]")
        if not (self.shifts or self.scales) or self.data < 1:
            raise InputError(f"expected a shift or a scale, and --data of at least 1, got {self.data}")
        check_seed(self.seed)


class Gap(NamedTuple):
    """A bound of K samples less log p(x), in nats per datum, of a q at some distance from the posterior."""

    shift: float
    scale: float
    bound: str
    k: int
    gap: float
    error: float | None  # Monte Carlo
    exact: float | None  # what it tends to as K grows; None where that is infinite or has no closed form

    @property
    def q(self) -> str:
        if self.scale != 1:
            return f"q {self.scale:g} times as wide"
        return f"q {self.shift:g} sd off" if self.shift else "q is the posterior"


class LinearGaussian(NamedTuple):
    """z ~ N(0, I), x | z ~ N(W z, SIGMA^2 I) with orthogonal columns of W, so that the posterior is a DiagNormal."""

    weight: Tensor  # (D, d)
    x: Tensor  # (n, D)

    def log_joint(self, z: Tensor) -> Tensor:
        """z (s, n, d) -> (s, n)."""
        mean = z @ self.weight.T
        observed = DiagNormal(mean, torch.full_like(mean, math.log(SIGMA)))
        return DiagNormal(torch.zeros_like(z[0]), torch.zeros_like(z[0])).log_prob(z) + observed.log_prob(self.x)

    def posterior(self) -> DiagNormal:
        variance = 1 / (1 + self.weight.square().sum(0) / SIGMA**2)
        loc = self.x @ self.weight * variance / SIGMA**2
        return DiagNormal(loc, (variance.log() / 2).expand_as(loc))

    def log_evidence(self) -> Tensor:
        """log N(x; 0, W W^T + SIGMA^2 I): (n,)."""
        noise = SIGMA**2 * torch.eye(DATA, dtype=self.weight.dtype)
        covariance = self.weight @ self.weight.T + noise
        return torch.distributions.MultivariateNormal(torch.zeros_like(self.x[0]), covariance).log_prob(self.x)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--draws or --data"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.bounds")
        settings.check()
        print(table(run(settings), settings))
        print(f"\nrows and figure in {settings.out}")


def run(settings: Settings) -> list[Gap]:
    """Measures, and leaves rows and the figure in the folder."""
    files.make(settings.out)
    places = [(shift, 1.0) for shift in settings.shifts] + [(0.0, scale) for scale in settings.scales]
    rows = [row for shift, scale in places for row in measure(shift, scale, settings)]
    files.write_atomically(settings.out / "bounds.png", png(draw_figure(rows)))
    files.write_rows(settings.out / "rows.jsonl", [row._asdict() for row in rows])
    return rows


def measure(shift: float, scale: float, settings: Settings) -> list[Gap]:
    """One row per bound and K: bound - log p(x), its Monte Carlo error, and what it tends to as K grows."""
    model = build(settings)
    posterior = model.posterior()
    sd = posterior.log_scale.exp()
    moved = posterior.loc + shift * sd / math.sqrt(LATENT)  # each dimension takes its part of the distance
    q = DiagNormal(moved, posterior.log_scale + math.log(scale))
    log_w = draw(model.log_joint, q, settings.draws, keys.fold_in(keys.key(settings.seed), 1))
    found = []
    for value in ladder.against_k(log_w - model.log_evidence(), settings.samples):
        limit = exact(ORDERS[value.bound], shift, scale) if value.bound in ORDERS else math.inf
        found.append(Gap(shift, scale, *value, None if limit == math.inf else limit))
    return found


def build(settings: Settings) -> LinearGaussian:
    weight_key, z_key, x_key = keys.split(keys.key(settings.seed), 3)
    basis, _ = torch.linalg.qr(keys.normal(weight_key, (DATA, LATENT), torch.float64))
    weight = basis * torch.linspace(0.5, 1.5, LATENT, dtype=torch.float64)
    z = keys.normal(z_key, (settings.data, LATENT), torch.float64)
    return LinearGaussian(weight, z @ weight.T + SIGMA * keys.normal(x_key, (settings.data, DATA), torch.float64))


def exact(alpha: float, shift: float, scale: float) -> float:
    """Rényi's bound of order alpha less log p(x), of a q that is off in all dimensions alike; inf where it diverges.

    With p = 1 - alpha it is the log of the integral of posterior^p q^(1 - p), over p.
    """
    square, p = shift**2 / LATENT, 1 - alpha
    if p == 0:
        return -LATENT * (0.5 * (scale**2 + square - 1) - math.log(scale))
    precision = p + alpha / scale**2
    if precision <= 0:
        return math.inf
    exponent = alpha * square / scale**2 - (alpha / scale**2) ** 2 * square / precision
    return LATENT * (-alpha * math.log(scale) - 0.5 * math.log(precision) - 0.5 * exponent) / p


def table(rows: Sequence[Gap], settings: Settings) -> str:
    """bound - log p(x) by K, and the limit as K grows where it has a closed form."""
    lines = ["bound − log p(x), nats per datum; the last column is the exact limit"]
    for place in dict.fromkeys(row.q for row in rows):
        here = [row for row in rows if row.q == place]
        lines += ["", f"{place:<22}" + "".join(f"{f'K = {k}':>10}" for k in settings.samples) + f"{'K → ∞':>10}"]
        for name in dict.fromkeys(row.bound for row in here):
            by_k = {row.k: row for row in here if row.bound == name}
            cells = [f"{number(by_k[k].gap):>10}" if k in by_k else f"{'':>10}" for k in settings.samples]
            limit = next(iter(by_k.values())).exact
            last = "" if name not in ORDERS else "∞" if limit is None else number(limit)
            lines.append(f"  {name:<20}{''.join(cells)}{last:>10}")
        lines.append(f"  {verdict(here)}")
    return "\n".join(lines)


def number(gap: float) -> str:
    return f"{round(gap, 4) + 0.0:.4f}" if abs(gap) < 1000 else f"{gap:.0f}"  # no minus sign before zeros


def verdict(here: Sequence[Gap]) -> str:
    """Whether the ladder stands at one posterior, to 4 standard errors, and from which K on CUBO is above log p(x)."""
    gap = {(row.bound, row.k): row.gap for row in here}
    above = [row for row in here if row.bound == "IWAE" and row.gap > 4 * (row.error or 0.0) + ROUNDING]
    ks = sorted(k for name, k in gap if name == "IWAE")
    order = ("ELBO", "Rényi(0.5)", "IWAE")
    broken = {row.k for row in above}
    broken |= {k for k in ks if any(gap[a, k] > gap[b, k] + ROUNDING for a, b in pairwise(order))}
    if broken:
        return f"the ladder is broken at K = {', '.join(map(str, sorted(broken)))}"
    if max(map(abs, gap.values())) < ROUNDING:
        return "every bound is log p(x), and has no variance"
    short = [k for k in ks if gap["CUBO(2)", k] < 0]
    late = f"below log p(x) up to K = {short[-1]}: no upper bound there" if short else "above log p(x) at every K"
    return f"ELBO ≤ Rényi ≤ IWAE ≤ log p(x) at every K; CUBO(2) is {late}"


def draw_figure(rows: Sequence[Gap]) -> Figure:
    """A panel per posterior: each bound less log p(x) against K, with the exact limits dotted."""
    places = list(dict.fromkeys(row.q for row in rows))
    figure, axes = panels(1, len(places), 4.4 * len(places), 4)
    for axis, place in zip(axes[0], places, strict=True):
        here = [row for row in rows if row.q == place]
        for style, name in enumerate(ladder.DRAWN):
            of_bound = [row for row in here if row.bound == name]
            errors = [2 * (row.error or 0.0) for row in of_bound]
            line(axis, [row.k for row in of_bound], [row.gap for row in of_bound], name, style, errors)
            if of_bound and of_bound[0].exact is not None and name != "IWAE":
                axis.axhline(of_bound[0].exact, color=colour(style), linestyle=":", linewidth=1)
        axis.axhline(0, color="black", linewidth=1)
        axis.annotate("log p(x)", (0.01, 0), xycoords=("axes fraction", "data"), xytext=(0, 2), fontsize=7,
                      textcoords="offset points")  # fmt: skip
        axis.set(xscale="log", xlabel="K", title=place)
        axis.grid(alpha=0.25)
        if all(abs(row.gap) < ROUNDING for row in here):
            axis.set_ylim(-0.1, 0.1)
        name_ends(axis)
    axes[0][0].set_ylabel("bound − log p(x), nats per datum")
    return figure
