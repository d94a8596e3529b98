"""Train a latent-variable model on images and report what it is worth on test data.

Claim    a VAE beats the independent-pixel model on held-out digits by a wide margin, and its bound is near log p(x)
Command  python -m jensen.experiments.train --model vae --data digits
"""

import math
import sys
import time

import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.nn import functional as F

from jensen.core import keys
from jensen.core.distributions import Bernoulli, ContinuousBernoulli, DiagNormal, SoftBernoulli
from jensen.core.models import Model, sbn, vae
from jensen.experiments import figures, runs
from jensen.experiments.checks import check
from jensen.experiments.command import command
from jensen.experiments.data import Images, load, prepare
from jensen.experiments.evaluation import Evaluation, evaluate
from jensen.experiments.loop import Progress as Stand
from jensen.experiments.loop import fit, hold_out, steps
from jensen.experiments.settings import InputError, Settings

LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "soft-bernoulli": SoftBernoulli,
    "continuous-bernoulli": ContinuousBernoulli,
    "gaussian": DiagNormal,
}


def main() -> None:
    """The command line."""
    with command("go on with --resume", "--k, --batch, --evidence-k or the network"):
        run(command_line(sys.argv[1:]))


def command_line(args: list[str]) -> Settings:
    """The settings; after --resume, those of the run it names, which no other option may contradict."""
    settings = tyro.cli(Settings, args=args, prog="python -m jensen.experiments.train")
    if settings.resume is not None:
        saved = runs.read_settings(settings.resume)
        settings = tyro.cli(Settings, args=args, default=saved, prog="python -m jensen.experiments.train")
        if settings.config() != saved.config():
            changed = runs.differences(saved.config(), settings.config())
            raise InputError(f"the run in {settings.resume} {changed}: leave that out, or start a new run")
    check(settings)
    return settings


def run(settings: Settings) -> Evaluation:
    """Trains, or goes on training, evaluates, draws and reports; everything is left in the run folder."""
    console = Console(highlight=False)
    grey = load(settings.data, settings.data_dir)
    images = as_tensors(prepare(grey, settings.effective_pixels, settings.seed), settings)
    model = build(settings, images)
    train, _ = hold_out(images.train, settings)
    steps(train, settings)
    folder = settings.resume or settings.out or runs.default_folder(settings)
    if settings.resume is None:
        runs.create(folder, settings)
    else:
        runs.write_json(folder / runs.CONFIG, settings.saved(), runs.resumed(folder))
    console.print(f"run folder {folder}", soft_wrap=True)
    started = time.monotonic()
    with progress_bar(console) as bar:
        task = bar.add_task("compiling" if settings.compile else "starting", total=None, bound="")

        def report(step: int, total: int, row: dict) -> None:
            value = row.get("objective")
            name = "objective" if settings.weighting else settings.bound
            bound = "" if value is None else f"{name} {value:.2f}"
            bar.update(task, description="training", completed=step, total=total, bound=bound)
            bar.refresh()

        bar.refresh()
        params, stand = fit(model, images.train, settings, folder, report)
    trained = time.monotonic() - started
    with console.status(f"evaluating {len(images.test)} test images, K = {settings.evidence_k}"):
        key = keys.fold_in(keys.key(settings.seed, images.test.device), 1)
        result = evaluate(model, params, images.train, images.test, settings.evidence_k, key, settings.compile)
    text = summary(settings, model, images, result, stand)
    onwards = runs.resumed(folder)
    objective = "objective" if settings.weighting else "bound"
    figures.draw_all(folder, runs.read_metrics(folder), model, params, images, objective)
    runs.write_atomically(folder / "report.txt", text.encode(), onwards)
    evaluated = time.monotonic() - started - trained
    runs.write_json(folder / "timing.json", {"training_s": trained, "evaluation_s": evaluated}, onwards)
    told = {**result._asdict(), "elbo": result.elbo, "steps": stand.step}
    runs.write_json(folder / "report.json", told, onwards)  # the last: a run that has it has finished
    print(text, end="")
    print(f"{'time':<28}{trained:>9.1f} s training, {evaluated:.1f} s evaluation and figures (with compilation)")
    print(f"{'figures':<28}{folder / figures.FIGURES}")
    return result


def as_tensors(images: Images, settings: Settings) -> Images:
    """On the run's device, in its dtype. InputError for a device that is not there."""
    try:
        dtype = getattr(torch, settings.dtype)
        moved = [t.to(settings.device, dtype) for t in (images.train, images.test)]
        moved[0].sum().item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--device {settings.device} cannot be used ({reason}): try --device cpu") from error
    return images._replace(train=moved[0], test=moved[1])


def build(settings: Settings, images: Images) -> Model:
    """The model that the settings describe."""
    pixels, hidden = math.prod(images.shape), settings.effective_hidden
    if settings.model == "sbn":
        return sbn.build(pixels, settings.units, settings.layers, hidden)
    activation, likelihood = getattr(F, settings.activation), LIKELIHOODS[settings.likelihood]
    if settings.network == "mlp":
        return vae.mlp(pixels, hidden, settings.latent, activation, likelihood)
    try:
        return vae.conv(images.shape, settings.channels, settings.latent, activation, likelihood)
    except ValueError as error:
        raise InputError(f"--network conv with --channels {settings.channels}: {error}") from error


def progress_bar(console: Console) -> Progress:
    """Drawn only when told to: a thread that redraws it would take time from the steps."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[bound]}"),
        TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=console, auto_refresh=False)


def summary(settings: Settings, model: Model, images: Images, result: Evaluation, stand: Stand) -> str:
    """The report: one screen, nats per datum."""
    pixels = math.prod(images.shape)
    nll_label = f"NLL (K = {settings.evidence_k})"
    lines = [
        f"{settings.model} on {settings.data}: {len(images.test)} test images of {pixels} "
        f"{settings.effective_pixels} pixels, {settings.likelihood} likelihood, {stand.step} steps",
        "",
        f"{'test, nats per datum':<28}{'model':>9}   independent pixels",
        f"{'−ELBO':<28}{-result.elbo:>9.2f}   {result.floor:.2f}",
        f"{'  = reconstruction':<28}{-result.reconstruction:>9.2f}",
        f"{'  + KL':<28}{result.kl:>9.2f}",
        f"{nll_label:<28}{result.nll:>9.2f} ± {result.error:.3f} (Monte Carlo)",
        f"{'bits/dim':<28}{result.bits_per_dim:>9.3f}   {result.floor / pixels / math.log(2):.3f}",
        f"{'active units':<28}{result.active_units:>9} of {model.latent}",
    ]
    if settings.weighting:
        lines.append(f"{'objective':<28}{settings.bound} with {settings.weighting}")
    estimator = settings.effective_estimator
    if estimator != "analytic-kl":
        compared = f" with baseline {settings.effective_baseline}" if estimator == "score" else ""
        lines.append(f"{'gradient':<28}{estimator}{compared}, of the {settings.bound} at k = {settings.k}")
    if stand.skipped:
        lines.append(f"{'skipped steps':<28}{stand.skipped:>9} (not finite)")
    if stand.best is not None:
        lines.append(f"{'best held-out bound':<28}{stand.best:>9.2f}")
    if not (result.nll - 2 * result.error <= result.floor):  # nor is what is not finite
        lines.append("worse than independent pixels: train longer, or look at figures/training.png for what went wrong")
    if settings.likelihood == "soft-bernoulli":
        lines.append("soft targets: these are cross-entropies, and bound no log p(x)")
    if settings.likelihood in ("continuous-bernoulli", "gaussian"):
        lines.append("bits/dim are those of a density of grey pixels: they do not compare with discrete pixels'")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
