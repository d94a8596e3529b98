"""Change one thing at a time in a VAE, of those that a checklist of a better likelihood names, and measure each alone.

Claim    of the usual advice each part is worth its own number of nats of NLL, some of them none: KL warm-up, free
         bits, bounded spectral norms, IWAE of 50 samples, a second stochastic layer, tempering, a flow for posterior
Command  python -m jensen.experiments.claims.checklist
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from jensen.experiments.claims.compared import Column, Contender, Row, check_seeds, compared, over_seeds, table, values
from jensen.experiments.data.images import ImageData
from jensen.experiments.programs import Hvae, Vae
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.settings import Run

BASELINE = "baseline"
GAIN = Column("change", "nll", gain=True)
COLUMNS = (
    Column("NLL", "nll"), GAIN, Column("−ELBO of q", "loss"), Column("active units", "active_units", 1),
    Column("seconds", "training_s", 0),
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Measure what each item of a checklist changes in the NLL of a VAE, over several seeds."""

    data: Literal["digits", "mnist", "mnist-static"] = "digits"
    """As for experiments.train."""
    data_dir: Path | None = None
    """As for experiments.train."""
    out: Path = Path("runs/checklist")
    """Folder of a run per item and seed, and of rows.jsonl; a run that is there is gone on with."""
    seeds: int = 3
    """Runs of each item."""
    steps: int = 2000
    """Of training, for every item."""
    batch: int = 100
    """Data per step."""
    latent: int = 16
    """Latent dimensions; a second layer has half as many."""
    hidden: tuple[int, ...] = (200, 200)
    """Widths of hidden layers."""
    items: tuple[str, ...] = ()
    """Which of them, by name; all unless given."""
    evidence_k: int = 500
    """Importance samples per test datum for the NLL."""
    compile: bool = True
    """Compile the step and the evaluation with torch.compile."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_seeds(self.seeds)
        unknown = [name for name in self.items if name not in contenders(self)]
        if unknown:
            raise InputError(f"--items {' '.join(unknown)}: expected some of {', '.join(list(contenders(self))[1:])}")


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--hidden or --evidence-k"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.checklist")
        settings.check()
        rows = measure(settings)
        print(table(f"{settings.data}, {settings.steps} steps, {settings.seeds} seeds", rows, COLUMNS))
        print(f"\n{verdict(rows)}\nruns and rows in {settings.out}")


def measure(settings: Settings) -> list[Row]:
    """A row per item and seed, the baseline's first."""
    each = contenders(settings)
    chosen = {name: one for name, one in each.items() if name in (BASELINE, *(settings.items or each))}
    rows = compared(chosen, settings.seeds, settings.out)
    return [row._replace(numbers={**row.numbers, "loss": -row.numbers["elbo"]}) for row in rows]


def contenders(settings: Settings) -> Mapping[str, Contender]:
    """The baseline, and each item beside nothing else."""
    half, layers = settings.steps // 2, (settings.latent, max(1, settings.latent // 2))

    def vae(estimation: Estimation | None = None, **options: Any) -> Contender:
        return Contender(
            "vae", lambda seed, out: Vae(**shared(settings, seed, out, estimation), latent=settings.latent, **options)
        )

    return {
        BASELINE: vae(),
        "warm-up": vae(Estimation(kl_warmup=half)),
        "free bits": vae(Estimation(objective="free-bits(0.1)")),
        "spectral norm": vae(spectral_norm=3.0),
        "IWAE": vae(Estimation(bound="iwae", k=50)),
        "hierarchy": Contender(
            "hvae",
            lambda seed, out: Hvae(**shared(settings, seed, out, None), latents=layers, direction="top-down"),
        ),
        "tempering": vae(Estimation(posterior_temperature=2.0)),
        "flow posterior": vae(posterior="iaf"),
    }


def shared(settings: Settings, seed: int, out: Path, estimation: Estimation | None) -> dict[str, Any]:
    """What every run has."""
    run = Run(
        steps=settings.steps, batch=settings.batch, seed=seed, compile=settings.compile,
        checkpoint_every=settings.steps, out=out,
    )  # fmt: skip
    return {
        "images": ImageData(data=settings.data, data_dir=settings.data_dir), "hidden": settings.hidden,
        "estimation": estimation or Estimation(), "evidence_k": settings.evidence_k, "run": run,
    }  # fmt: skip


def verdict(rows: Sequence[Row]) -> str:
    """Which items lower the NLL by more than two standard errors of its change, and which raise it so."""
    said: dict[str, list[str]] = {"lower the NLL": [], "raise it": [], "change it by less than two errors": []}
    for name in dict.fromkeys(row.name for row in rows):
        if name == BASELINE:
            continue
        mean, error = over_seeds(values(rows, name, GAIN))
        clear = abs(mean) > 2 * error
        what = "lower the NLL" if clear and mean < 0 else "raise it" if clear else "change it by less than two errors"
        said[what].append(f"{name} ({mean:+.2f})")
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in said.items() if names)
