"""Train one and two stochastic layers for as many steps, and compare what they are worth in nats of NLL.

Claim    two layers beat one (Burda et al., 2016), and inferring the second first, from the top down, is worth more than
         from the bottom up (Sønderby et al., 2016)
Command  python -m jensen.experiments.claims.layers --data mnist --data-dir FOLDER
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from jensen.experiments.claims.compared import Column, Contender, Row, check_seeds, compared, over_seeds, table, values
from jensen.experiments.data.images import ImageData
from jensen.experiments.programs import Hvae
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.run.command import command
from jensen.experiments.run.settings import Run

GAIN = Column("change", "nll", gain=True)
COLUMNS = (
    Column("NLL", "nll"), GAIN, Column("ELBO", "elbo"), Column("KL", "kl"), Column("active units", "active_units", 1),
    Column("seconds", "training_s", 0),
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Compare one stochastic layer with two, inferred in either direction, by NLL over several seeds."""

    data: Literal["digits", "mnist", "mnist-static"] = "digits"
    """As for experiments.train."""
    data_dir: Path | None = None
    """As for experiments.train."""
    out: Path = Path("runs/layers")
    """Folder of a run per hierarchy and seed, and of rows.jsonl; a run that is there is gone on with."""
    seeds: int = 3
    """Runs of each."""
    steps: int = 6000
    """Of training."""
    warmup: int = 2000
    """Of these, over which the KL's weight rises to 1: without it upper layers are pruned."""
    one: int = 50
    """Latent dimensions of one layer."""
    two: tuple[int, int] = (100, 50)
    """Of two layers, from the data up."""
    hidden: tuple[int, ...] = (200, 200)
    """Widths of the networks between layers."""
    evidence_k: int = 200
    """Importance samples per test datum for the NLL."""
    compile: bool = True
    """Compile the step and the evaluation with torch.compile."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_seeds(self.seeds)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--hidden or --evidence-k"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.layers")
        settings.check()
        rows = compared(contenders(settings), settings.seeds, settings.out)
        print(table(f"{settings.data}, {settings.steps} steps, {settings.seeds} seeds", rows, COLUMNS))
        print(f"\n{verdict(rows)}\nruns and rows in {settings.out}")


def contenders(settings: Settings) -> Mapping[str, Contender]:
    """One layer, and two in either direction, which are the same p(x, z)."""

    def hierarchy(latents: tuple[int, ...], direction: Literal["bottom-up", "top-down"]) -> Contender:
        return Contender(
            "hvae",
            lambda seed, out: Hvae(
                images=ImageData(data=settings.data, data_dir=settings.data_dir), latents=latents, direction=direction,
                hidden=settings.hidden, estimation=Estimation(kl_warmup=settings.warmup),
                evidence_k=settings.evidence_k,
                run=Run(
                    steps=settings.steps, seed=seed, compile=settings.compile, checkpoint_every=settings.steps, out=out
                ),
            ),
        )  # fmt: skip

    return {
        "one layer": hierarchy((settings.one,), "bottom-up"),
        "two layers": hierarchy(settings.two, "bottom-up"),
        "two, from the top down": hierarchy(settings.two, "top-down"),
    }


def verdict(rows: Sequence[Row]) -> str:
    """Each hierarchy against one layer."""
    said = []
    for name in list(dict.fromkeys(row.name for row in rows))[1:]:
        gains = values(rows, name, GAIN)
        mean, error = over_seeds(gains)
        word = "beats" if max(gains) < 0 else "on average beats" if mean < 0 else "does not beat"
        said.append(f"{name}: {word} one layer, by {-mean:+.2f} ± {error:.2f} nats of NLL over seeds")
    return "\n".join(said)
