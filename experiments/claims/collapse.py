"""Give a VAE a decoder so strong that it leaves z unused, and bring the latents back in six ways.

Claim    with pixels that also depend on those before them the posterior is close to the prior; warm-up of the KL
         (Bowman et al., 2016) and cyclical weights (Fu et al., 2019) bring some latents back, free bits (Kingma et al.,
         2016), the committed rate of the delta-VAE (Razavi et al., 2019) and GECO (Rezende and Viola, 2018) all of
         them, GECO beyond its target; an encoder that does not lag (He et al., 2019) hardly any in as many steps
Command  python -m jensen.experiments.claims.collapse
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro

from jensen.core.divergences import kl_per_dimension
from jensen.experiments.claims.compared import (
    Column,
    Contender,
    Row,
    check_seeds,
    compared,
    over_seeds,
    place,
    table,
    values,
)
from jensen.experiments.data.images import ImageData
from jensen.experiments.programs import Vae
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.finished import read_finished
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.settings import Run

COLLAPSED = "strong decoder"
USED = 0.1  # nats of KL, a mean over test data, above which a latent counts as used
COLUMNS = (
    Column("latents used", "used", 1), Column("KL", "kl"), Column("reconstruction", "reconstruction"),
    Column("ELBO", "elbo"), Column("NLL", "nll"), Column("seconds", "training_s", 0),
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Count the latents in use of a VAE with an autoregressive decoder, plain and with each cure, over seeds."""

    data: Literal["digits", "sprites"] = "sprites"
    """As for experiments.train."""
    out: Path = Path("runs/collapse")
    """Folder of a run per cure and seed, and of rows.jsonl; a run that is there is gone on with."""
    seeds: int = 3
    """Runs of each."""
    steps: int = 600
    """Of training; of the encoder that does not lag, as many of the decoder."""
    latent: int = 8
    """Latent dimensions."""
    hidden: tuple[int, ...] = (32,)
    """Widths of hidden layers."""
    floor: float = 0.5
    """Nats of free bits, and of the committed rate, in each dimension."""
    more: float = 2.0
    """Nats of reconstruction that GECO asks for beyond those of the strong decoder."""
    inner: int = 5
    """Steps of the encoder before each of the decoder, where it does not lag."""
    compile: bool = True
    """Compile the step and the evaluation with torch.compile."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_seeds(self.seeds)
        if self.steps < 2:
            raise InputError(f"expected --steps of at least 2, half of which are a warm-up, got {self.steps}")


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--hidden"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.collapse")
        settings.check()
        rows = measure(settings)
        title = f"{settings.data}, {settings.latent} latents, {settings.steps} steps, {settings.seeds} seeds"
        print(table(title, rows, COLUMNS))
        print(f"\n{verdict(rows)}\nruns and rows in {settings.out}")


def measure(settings: Settings) -> list[Row]:
    """A row per cure and seed; what GECO asks for follows from the runs without a cure."""
    plain = {COLLAPSED: contender(settings, Estimation())}
    reached = compared(plain, settings.seeds, settings.out)
    mean, _ = over_seeds(values(reached, COLLAPSED, Column("", "reconstruction")))
    target = round(mean + settings.more, 1)
    rows = compared({**plain, **cures(settings, target)}, settings.seeds, settings.out)
    return [
        row._replace(numbers={**row.numbers, "used": used(place(settings.out, row.name, row.seed))}) for row in rows
    ]


@torch.no_grad()
def used(folder: Path) -> float:
    """How many latents of a finished run have a KL above USED."""
    done = read_finished(folder)
    x = done.images.test
    q, p = done.model.posterior(done.params, x), done.model.prior(done.params, len(x))
    return float((kl_per_dimension(q, p).mean(0) > USED).sum())


def cures(settings: Settings, target: float) -> Mapping[str, Contender]:
    """By name, each the strong decoder's settings with one thing more."""
    half = settings.steps // 2
    estimations = {
        "warm-up": Estimation(kl_warmup=half),
        "cyclical weights": Estimation(kl_cycles=4),
        "free bits": Estimation(objective=f"free-bits({settings.floor:g})"),
        "delta-VAE": Estimation(objective=f"committed({settings.floor:g})"),
        "GECO": Estimation(objective=f"geco({target:g})"),
    }
    lagged = contender(settings, Estimation(), inner_steps=settings.inner, steps=settings.steps * (settings.inner + 1))
    return {**{name: contender(settings, one) for name, one in estimations.items()}, "no lag": lagged}


def contender(settings: Settings, estimation: Estimation, steps: int | None = None, **options: Any) -> Contender:
    """A VAE whose decoder is autoregressive."""
    steps = settings.steps if steps is None else steps
    return Contender(
        "vae",
        lambda seed, out: Vae(
            images=ImageData(data=settings.data), likelihood="autoregressive", hidden=settings.hidden,
            latent=settings.latent, estimation=estimation, evidence_k=100,
            run=Run(steps=steps, seed=seed, compile=settings.compile, checkpoint_every=steps, out=out), **options,
        ),
    )  # fmt: skip


def verdict(rows: Sequence[Row]) -> str:
    """Whether the plain run collapsed, and which cures have more latents in use in every seed."""
    active = Column("", "used")
    plain = values(rows, COLLAPSED, active)
    word = "collapses" if not any(plain) else f"keeps {over_seeds(plain)[0]:.1f} latents in use"
    names = [name for name in dict.fromkeys(row.name for row in rows) if name != COLLAPSED]
    cured = [name for name in names if all(a > b for a, b in zip(values(rows, name, active), plain, strict=True))]
    left = [name for name in names if name not in cured]
    said = f"the {COLLAPSED} {word}; latents are restored by {', '.join(cured) or 'none'}"
    return said + (f", and not by {', '.join(left)}" if left else "")
