"""A finished run of a model of latents or codes, assessed: what its settings say, and where what is found goes."""

import math
import time
from pathlib import Path

from jensen.core.contracts import Key
from jensen.core.models.latent.likelihoods import LIKELIHOODS, SOFT_BERNOULLI
from jensen.core.objectives import Beta
from jensen.experiments.data.images import drawn_once
from jensen.experiments.programs.finished import Finished, FinishedCodes
from jensen.experiments.report.assessment import Budget, assess
from jensen.experiments.report.codes import evaluate_codes, reconstructions, use_of_codes
from jensen.experiments.report.encoder import TrainingData
from jensen.experiments.report.findings import findings, numbers, screen
from jensen.experiments.report.rate_distortion import Point, Scored
from jensen.experiments.report.written import write
from jensen.experiments.run.command import echo
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.folder import EVALUATION
from jensen.experiments.run.program import Finding
from jensen.experiments.run.ranks import Ranks


def judge(run: Finished | FinishedCodes, budget: Budget, key: Key, ranks: Ranks) -> Point:
    """Assesses one run, writes and prints what is found; its point on the rate–distortion curve."""
    ranks.meet()  # the first has written, and all have read
    if isinstance(run, FinishedCodes):
        return judge_codes(run, ranks)
    started = time.monotonic()
    train = TrainingData(run.images.train, run.settings.images.treatment == "dynamic")
    found = assess(run.model, run.params, run.images.test, budget, key, train, ranks)
    estimation = run.settings.estimation
    beta = estimation.the_objective.weight if isinstance(estimation.the_objective, Beta) else None
    point = Point(beta, estimation.objective, found.rate, found.distortion, str(run.folder))
    if not ranks.first:
        return point
    parts = findings(found, LIKELIHOODS[likelihood(run)] == SOFT_BERNOULLI)
    text = screen(title(run, budget), found, parts)
    target = run.folder / EVALUATION
    write(target, parts, text, numbers(found, parts))
    echo(f"{text}\nreport, rows and figures in {target} ({time.monotonic() - started:.0f} s)\n")
    return point


def judge_codes(run: FinishedCodes, ranks: Ranks) -> Point:
    """The same of a model of codes, on all test data; its rate is that of uniform codes."""
    images = run.settings.images
    train = drawn_once(run.images.train, images.treatment)
    found = evaluate_codes(run.model, run.params, run.state, train, run.images.test, ranks)
    point = Point(None, run.settings.quantiser, found.bits * math.log(2), found.distortion, str(run.folder))
    if not ranks.first:
        return point
    test = found.finding()
    of_use = found.finding_of_use(use_of_codes(run.model, run.params, run.state, run.images))
    pictures = Finding("reconstructions", [], "", reconstructions(run.model, run.params, run.state, run.images))
    kind = type(run.settings).__name__.lower()
    text = f"{kind} on {images.data}: {len(run.images.test)} test images, {run.settings.quantiser}\n{test.summary}"
    target = run.folder / EVALUATION
    write(target, [test, of_use, pictures], text, {**test.rows[0]})
    echo(f"{text}\nreport, rows and figures in {target}\n")
    return point


def check_images(run: Finished | FinishedCodes, budget: Budget) -> None:
    """InputError where a budget asks for more images than there are."""
    count = len(run.images.test)
    if not isinstance(run, FinishedCodes) and budget.images > count:
        raise InputError(f"--images {budget.images} exceeds the {count} test images: ask for fewer")


def title(run: Finished, budget: Budget) -> str:
    words = run.settings.estimation.words
    trained = f", trained with {words}" if words else ""
    return (
        f"{type(run.settings).__name__.lower()} on {run.settings.images.data}: the first {budget.images} of "
        f"{len(run.images.test)} test images, {likelihood(run)} likelihood{posterior(run)}{trained}"
    )


def scored(run: Finished | FinishedCodes) -> Scored:
    images = run.settings.images
    units = {"data": images.data, "pixels": images.treatment, "likelihood": likelihood(run)}
    return Scored(Path(run.folder), run.images.test, units)


def posterior(run: Finished) -> str:
    """A family that is not the diagonal normal, in words."""
    name = getattr(run.settings, "posterior", "diag")
    return "" if name == "diag" else f", {name} posterior"


def likelihood(run: Finished | FinishedCodes) -> str:
    """Its name; a kind of model without a choice of likelihoods is one of binary pixels."""
    return getattr(run.settings, "likelihood", "bernoulli")
