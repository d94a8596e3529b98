"""Train four VAEs on sprites of known factors, and ask whether latent dimensions are the factors: MIG, SAP and DCI.

Claim    on equal steps a KL of weight 4 separates factors better than the ELBO (Higgins et al., 2017), and a further
         charge on the total correlation alone better again, with more of the image kept: by minibatches (Chen et al.,
         2018), or by a discriminator (Kim and Mnih, 2018)
Command  python -m jensen.experiments.claims.disentanglement
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from jensen.experiments.claims.compared import Column, Contender, Row, check_seeds, compared, over_seeds, table, values
from jensen.experiments.data.images import ImageData
from jensen.experiments.programs import Factor, Vae
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run

COLUMNS = (
    Column("MIG", "mig", 3), Column("gain", "mig", 3, gain=True), Column("SAP", "sap", 3),
    Column("disentangled", "disentanglement"), Column("complete", "completeness"),
    Column("informative", "informativeness"), Column("log likelihood", "reconstruction", 1), Column("KL", "kl", 1),
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Compare objectives by the disentanglement that a VAE of sprites ends with, over several seeds."""

    out: Path = Path("runs/disentanglement")
    """Folder of a run per objective and seed, and of rows.jsonl; a run that is there is gone on with."""
    seeds: int = 3
    """Runs of each objective."""
    steps: int = 3000
    """Of training."""
    batch: int = 64
    """Sprites per step: the total correlation by minibatches costs their square."""
    latent: int = 6
    """Latent dimensions, for five factors."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of hidden layers."""
    lr: float = 2e-3
    """The peak learning rate: at half of it axes are still turning when the steps end."""
    beta: float = 4.0
    """Weight of the KL, of all but the VAE."""
    charge: float = 4.0
    """What a nat of total correlation costs beyond that."""
    compile: bool = True
    """Compile the step and the evaluation with torch.compile."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_seeds(self.seeds)
        if not self.beta > 0:
            raise InputError(f"expected a positive --beta, got {self.beta}")


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--hidden or --batch"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.disentanglement")
        settings.check()
        rows = compared(contenders(settings), settings.seeds, settings.out)
        print(table(f"sprites, {settings.steps} steps, {settings.seeds} seeds", rows, COLUMNS))
        print(f"\n{verdict(rows)}\nruns and rows in {settings.out}")


def contenders(settings: Settings) -> dict[str, Contender]:
    """The objectives, which share everything else: data, networks, batches, optimiser."""
    beta, whole = settings.beta, settings.beta + settings.charge

    def vae(objective: str) -> Contender:
        return Contender("vae", lambda seed, out: Vae(**shared(settings, seed, out, Estimation(objective=objective))))

    gamma = settings.charge / beta
    factor = Contender(
        "factor", lambda seed, out: Factor(**shared(settings, seed, out, Estimation()), beta=beta, gamma=gamma)
    )
    objectives = {
        "VAE": "elbo",
        "beta-VAE": f"beta({beta:g})",
        "beta-TC-VAE": f"beta-tc({whole:g}, {beta:g}, {beta:g})",
    }
    return {**{name: vae(objective) for name, objective in objectives.items()}, "FactorVAE": factor}


def shared(settings: Settings, seed: int, out: Path, estimation: Estimation) -> dict[str, Any]:
    """What every run has. Pixels are grey and their likelihood a cross-entropy: their edges tell places apart."""
    steps = settings.steps
    return {
        "images": ImageData(data="sprites", pixels="grey"), "likelihood": "soft-bernoulli", "hidden": settings.hidden,
        "activation": "relu", "latent": settings.latent, "estimation": estimation,
        "optimiser": Optimiser(lr=settings.lr), "evidence_k": 10,
        "run": Run(steps=steps, batch=settings.batch, seed=seed, compile=settings.compile, checkpoint_every=steps,
                   out=out),
    }  # fmt: skip


def verdict(rows: Sequence[Row]) -> str:
    """The gains in MIG from the ELBO to the KL's weight, and from that to the charge on the total correlation."""
    said, names = [], list(dict.fromkeys(row.name for row in rows))
    for better, worse in ((names[1], names[0]), (names[2], names[1]), (names[3], names[1])):
        of = Column("", "mig")
        gains = [a - b for a, b in zip(values(rows, better, of), values(rows, worse, of), strict=True)]
        mean, error = over_seeds(gains)
        word = "above" if min(gains) > 0 else "on average above" if mean > 0 else "not above"
        said.append(f"MIG of the {better} is {word} that of the {worse}, by {mean:+.3f} ± {error:.3f} over seeds")
    return "\n".join(said)
