"""Put a diffusion in the latents of trained VAEs, in place of their prior: bounds on log p(x), and images of draws.

Claim    a VAE whose KL counted for less than one nat has latents far from N(0, I): of such latents a diffusion gives
         back nats of the bound, and images nearer to the data's; of a VAE trained on its own ELBO it has little to gain
Command  python -m jensen.experiments.claims.latent_diffusion
         python -m jensen.experiments.claims.latent_diffusion --data mnist --data-dir FOLDER
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import tyro
from matplotlib.figure import Figure

from jensen.core import keys
from jensen.experiments.claims.checked import check_at_least
from jensen.experiments.claims.compared import Column, Row, check_seeds, over_seeds, place, table, values
from jensen.experiments.claims.computed import with_error
from jensen.experiments.claims.trained import judged, trained
from jensen.experiments.data.images import ImageData
from jensen.experiments.programs.classifier import Classifier
from jensen.experiments.programs.draws import drawn, pixels, shape
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.finished import read_run
from jensen.experiments.programs.judge import Judge, read_judge
from jensen.experiments.programs.ldm import Ldm
from jensen.experiments.programs.vae import Vae
from jensen.experiments.report.drawing import png
from jensen.experiments.report.draws import LEAST, against, measured, most
from jensen.experiments.report.images import Shape, grid
from jensen.experiments.run import files
from jensen.experiments.run.command import command
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.folder import REPORT
from jensen.experiments.run.kept import finished, training_seconds
from jensen.experiments.run.settings import Run

KEY = keys.key(41)
HELD_OUT, OWN, DIFFUSION = "held-out images", "own prior", "diffusion"
SHOWN = 12  # draws of each in the figure
COLUMNS = (
    Column("ELBO", "elbo"), Column("reconstruction", "reconstruction"), Column("Fréchet", "frechet_extrapolated"),
    Column("precision", "precision"), Column("recall", "recall"), Column("seconds", "training_s", 0),
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Compare the priors of VAEs with diffusions in their latents, over several seeds."""

    data: Literal["digits", "mnist"] = "digits"
    """As for experiments.train."""
    data_dir: Path | None = None
    """As for experiments.train."""
    out: Path = Path("runs/latent-diffusion")
    """Folder of the runs of each weight and seed and of the classifier, of rows.jsonl and of a figure; a run that is
    there is gone on with."""
    weights: tuple[float, ...] = (1.0, 0.2)
    """Of the KL, in training the VAEs."""
    seeds: int = 2
    """Runs of each."""
    steps: int = 2000
    """Of a VAE."""
    prior_steps: int = 2000
    """Of a diffusion."""
    latent: int = 16
    """Latent dimensions."""
    draws: int = 2000
    """Of each, or as many as there are test images."""
    compile: bool = True
    """Compile the step and the evaluation with torch.compile."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_seeds(self.seeds)
        check_at_least(self, draws=LEAST)
        if not self.weights or len(set(self.weights)) < len(self.weights) or min(self.weights) <= 0:
            raise InputError(f"--weights {' '.join(map(str, self.weights))}: expected different positive numbers")


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--latent or --draws"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.latent_diffusion")
        settings.check()
        rows = measure(settings)
        print(table(f"{settings.data}, {settings.seeds} seeds; ELBO in nats", rows, COLUMNS))
        print(f"\n{verdict(rows, settings)}\nruns, rows and figure in {settings.out}")


def measure(settings: Settings) -> list[Row]:
    """Per seed a row of held-out images and, for each weight, of both priors; and the figure of the first seed."""
    judging = classifier(settings)
    each = [
        one(weight, seed, settings)
        for seed in range(settings.seeds)
        for weight in settings.weights
        for one in (vae, ldm)
    ]
    for one in (judging, *each):
        one.check()
    files.make(settings.out)
    finished("classifier", judging, lambda folder: (folder / REPORT).is_file() or None)
    for one in each:
        trained(type(one).__name__.lower(), one)
    judge = read_judge(settings.out / "classifier")
    rows = [row for seed in range(settings.seeds) for row in compared(settings, judge, seed)]
    files.write_atomically(settings.out / "latent-diffusion.png", png(drawing(settings)))
    files.write_rows(settings.out / "rows.jsonl", [{"name": r.name, "seed": r.seed, **r.numbers} for r in rows])
    return rows


def compared(settings: Settings, judge: Judge, seed: int) -> list[Row]:
    """The rows of a seed: all draws are compared with the same training images, all bounds at the same latents."""
    key, n = keys.fold_in(KEY, seed), min(settings.draws, most(judge))
    features, held_out = against(judge, n, key)
    rows = [Row(HELD_OUT, seed, measured(judge, held_out, features).numbers())]
    for weight in settings.weights:
        own, other = (cast(Path, one(weight, seed, settings).run.out) for one in (vae, ldm))
        test = judged(other)
        for folder, prior, elbo in ((own, OWN, test["own_elbo"]), (other, DIFFUSION, test["elbo"])):
            run = read_run(folder)
            found = measured(judge, pixels(run, drawn(run, key, n)), features).numbers()
            numbers = {"elbo": elbo, "reconstruction": test["reconstruction"], "training_s": training_seconds(folder)}
            rows.append(Row(named(weight, prior), seed, {**found, **numbers}))
    return rows


def named(weight: float, prior: str) -> str:
    """Of a row."""
    return f"KL × {weight:g}, {prior}"


def classifier(settings: Settings) -> Classifier:
    """The judge."""
    run = Run(epochs=20, compile=settings.compile, out=settings.out / "classifier")
    return Classifier(data=settings.data, data_dir=settings.data_dir, run=run)


def vae(weight: float, seed: int, settings: Settings) -> Vae:
    """The first stage."""
    out = place(settings.out, f"vae-{weight:g}", seed)
    return Vae(
        images=ImageData(data=settings.data, data_dir=settings.data_dir, pixels="grey"),
        likelihood="discretised-logistic", latent=settings.latent, estimation=Estimation(objective=f"beta({weight})"),
        run=Run(steps=settings.steps, checkpoint_every=settings.steps, seed=seed, compile=settings.compile, out=out),
        evidence_k=50,
    )  # fmt: skip


def ldm(weight: float, seed: int, settings: Settings) -> Ldm:
    """The second, on the first's folder."""
    out, steps = place(settings.out, f"ldm-{weight:g}", seed), settings.prior_steps
    run = Run(
        steps=steps, batch=Ldm.run.batch, average=Ldm.run.average, lr_final=Ldm.run.lr_final, checkpoint_every=steps,
        seed=seed, compile=settings.compile, out=out,
    )  # fmt: skip
    return Ldm(vae=place(settings.out, f"vae-{weight:g}", seed), run=run)


def verdict(rows: Sequence[Row], settings: Settings) -> str:
    """What the diffusion gains over each VAE's own prior, by seed."""
    lines = []
    for weight in settings.weights:
        own, other = (named(weight, prior) for prior in (OWN, DIFFUSION))
        parts = []
        for column in COLUMNS[:1] + COLUMNS[2:3]:
            ours, theirs = (values(rows, each, column) for each in (other, own))
            gain = over_seeds([a - b for a, b in zip(ours, theirs, strict=True)])
            parts.append(f"{column.head} {with_error(*gain, '+.2f')}")
        lines.append(f"KL × {weight:g}: the diffusion's less its own prior's, {'; '.join(parts)}")
    return "\n".join(lines)


def drawing(settings: Settings) -> Figure:
    """Draws of the first seed's runs below one another."""
    shown, labels, of = [], [], None
    for weight in settings.weights:
        for one, prior in ((vae, OWN), (ldm, DIFFUSION)):
            run = read_run(cast(Path, one(weight, 0, settings).run.out))
            shown += pixels(run, drawn(run, KEY, 2 * SHOWN)).split(SHOWN)
            labels += [named(weight, prior), ""]
            of = shape(run, shown[-1].shape[1])
    assert of is not None
    return grid(shown, Shape(of), labels, f"{settings.data}: draws by either prior of a VAE")
