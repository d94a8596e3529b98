"""Fit a diffusion posterior to a target of two modes beside a diagonal normal and a flow: bounds on its log evidence.

Claim    by the reverse KL a normal and a RealNVP leave one of two separate modes out, at log 2 nats or more; a
         diffusion that takes noise out step by step (Vargas et al., 2023), fitted to targets that go from its start to
         the posterior, has both, a higher ELBO below log Z, and weights whose mean is Z
Command  python -m jensen.experiments.claims.diffusion_posterior
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from matplotlib.figure import Figure
from torch import Tensor
from torch.func import grad

from jensen.core import bounds, keys, trees
from jensen.core.distributions import DiagNormal
from jensen.core.models.latent.posteriors import POSTERIORS
from jensen.core.models.transport import diffusion_posterior, fields, noise_levels
from jensen.core.trees import Params
from jensen.experiments.claims import posteriors
from jensen.experiments.claims.checked import check_at_least
from jensen.experiments.claims.computed import mean_and_error
from jensen.experiments.claims.posterior_targets import Target, planar, two_moons
from jensen.experiments.report.drawing import panels, png
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError

KEY = keys.key(14)
FAMILIES = ("diag", "real-nvp")
NAMES = {"diag": "diagonal normal", "real-nvp": "RealNVP", "diffusion": "diffusion"}


@dataclass(frozen=True)
class Settings:
    """Fit a diffusion and two families to two crescents: a table, a figure and rows in a folder."""

    out: Path = Path("runs/diffusion-posterior")
    """Folder of rows.jsonl and the figure; what it holds of these is replaced."""
    steps: int = 1200
    """Of Adam, for each; the rate falls to 0."""
    levels: int = 40
    """Steps from noise to the posterior."""
    samples: int = 64
    """Of the gradient at each step of the diffusion."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of its field's hidden layers."""
    scale: float = 2.0
    """Of its start, N(0, scale² I), and of the first targets."""
    lr: float = 5e-3
    """Its first learning rate."""
    draws: int = 20_000
    """Samples by which a fitted q is judged, and drawn."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_at_least(self, steps=2, levels=2, samples=1, draws=2)
        if min(self.hidden, default=1) < 1:
            raise InputError(f"expected --hidden of at least 1, got {self.hidden}: leave it out")
        for name in ("scale", "lr"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"expected a positive --{name}, got {getattr(self, name)}")


class Fitted(NamedTuple):
    """A fitted q."""

    family: str
    elbo: float  # nats
    error: float  # its standard error
    log_z: float  # the target's, exactly
    estimate: float | None  # of log Z by the mean weight of the diffusion's draws
    lesser: float  # the share of draws that are on the side with fewer of them
    seconds: float  # per step


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--samples or --draws"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.diffusion_posterior")
        settings.check()
        print(table(run(settings)))
        print(f"\nrows and figure in {settings.out}")


def run(settings: Settings) -> list[Fitted]:
    """Fits, and leaves rows and a figure in the folder."""
    files.make(settings.out)
    target = planar("two moons", two_moons, (-4, 4, -4, 4))
    rows, drawn = [], {}
    for name in FAMILIES:
        options = posteriors.Settings(steps=settings.steps, draws=settings.draws)
        row, z = posteriors.fitted(target, name, POSTERIORS[name], options)
        elbo, z = target.log_evidence - row.gap, z.to(torch.float32)
        rows.append(Fitted(name, elbo, row.error, target.log_evidence, None, lesser(z), row.seconds))
        drawn[name] = z
    row, drawn["diffusion"] = diffused(target, settings)
    rows.append(row)
    files.write_atomically(settings.out / "diffusion-posterior.png", png(draw(rows, drawn, target)))
    files.write_rows(settings.out / "rows.jsonl", [row._asdict() for row in rows])
    return rows


def diffused(target: Target, settings: Settings) -> tuple[Fitted, Tensor]:
    """The diffusion fitted to a target, and draws (draws, 2).

    Its target is N(0, scale² I), what it starts as, at the first step, and log p from the middle one on: an optimum of
    the reverse KL that has found a mode alone would keep it.
    """
    model = diffusion_posterior.build(
        fields.mlp(target.d, settings.hidden), noise_levels.cosine(settings.levels), settings.scale
    )
    init_key, step_key, judge_key = keys.split(KEY, 3)
    params, zero = model.init(init_key), torch.zeros(1, target.d)
    start = DiagNormal(zero, zero + math.log(settings.scale))
    adam = torch.optim.Adam(trees.leaves(params), settings.lr)
    schedule = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 1 / settings.steps, settings.steps)

    def loss(params: Params, share: Tensor, key: Tensor) -> Tensor:
        z, log_q = model.draw(params, key, settings.samples)
        log_p = (1 - share) * start.log_prob(z) + share * target.log_p(z)
        return -bounds.elbo(log_p - log_q).sum()

    began = time.perf_counter()
    for step in range(settings.steps):
        share = torch.tensor(min(1.0, 2 * step / settings.steps))
        trees.set_grads(params, grad(loss)(params, share, keys.fold_in(step_key, step)))
        adam.step()
        schedule.step()
    seconds = (time.perf_counter() - began) / settings.steps
    with torch.no_grad():
        z, log_q = model.draw(params, judge_key, settings.draws)
        log_w = (target.log_p(z) - log_q).double()
    estimate = bounds.iwae(log_w).item()
    row = Fitted(
        "diffusion", *mean_and_error(log_w[:, 0]), target.log_evidence, estimate, lesser(z[:, 0]), seconds
    )  # fmt: skip
    return row, z[:, 0]


def lesser(z: Tensor) -> float:
    """The share of draws on the side of z1 = 0 with fewer of them: half for this target, 0 of one mode."""
    left = (z[:, 0] < 0).double().mean().item()
    return min(left, 1 - left)


def table(rows: Sequence[Fitted]) -> str:
    """A line per family."""
    exact = rows[0].log_z
    head = f"two moons, log Z = {exact:.3f} nats"
    lines = [f"{head:<36}{'ELBO':>18}{'log Z − ELBO':>14}{'mean weight':>13}{'lesser mode':>13}{'ms/step':>9}"]
    for row in rows:
        estimate = "" if row.estimate is None else f"{row.estimate:.3f}"
        elbo = f"{row.elbo:.3f} ± {row.error:.3f}"
        lines.append(
            f"  {NAMES[row.family]:<34}{elbo:>18}{exact - row.elbo:>14.3f}{estimate:>13}"
            f"{f'{100 * row.lesser:.1f} %':>13}{1e3 * row.seconds:>9.1f}"
        )
    return "\n".join(lines)


def draw(rows: Sequence[Fitted], drawn: dict[str, Tensor], target: Target) -> Figure:
    """The target's density, and that of each q's draws."""
    canvas, axes = panels(1, 1 + len(rows), 2.5 * (1 + len(rows)), 2.7)
    posteriors.exact(axes[0, 0], target)
    x0, x1, y0, y1 = target.window
    for axis, row in zip(axes[0, 1:], rows, strict=True):
        axis.hist2d(*drawn[row.family].T.numpy(), bins=60, range=((x0, x1), (y0, y1)), cmap="Blues")
        axis.set_title(f"{NAMES[row.family]}: {row.log_z - row.elbo:.2f} nats", fontsize=9)
        axis.set(xticks=[], yticks=[])
    return canvas
