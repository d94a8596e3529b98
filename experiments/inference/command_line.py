"""The command line of inference: a model with its data, a method and what it may spend."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import tyro
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.models import bayes
from jensen.experiments.inference import comparison, figures, methods, models, tables, text
from jensen.experiments.inference.comparison import Compared, Fitted
from jensen.experiments.inference.found import Found
from jensen.experiments.inference.methods import METHODS, Budget
from jensen.experiments.inference.second_opinions import examined, reconsidered
from jensen.experiments.report.drawing import png
from jensen.experiments.run import checkpoints, files
from jensen.experiments.run.command import echo
from jensen.experiments.run.errors import InputError

PROGRAM = "python -m jensen.experiments.infer"
ALL = "all"
FAMILIES = ("advi", "laplace", ALL)  # the methods that find a member of a family
DRAWS = 4000  # that are kept and drawn
TABLE, TEXT = "table.json", "table.txt"


@dataclass(frozen=True)
class Settings(Budget):
    """Infer the parameters of a Bayesian model from data, by one method or all, with a verdict."""

    model: str = "eight-schools"
    """Of which model, with its sizes: logistic, robust, mixture(3), ar(2), garch, … An unknown one lists them all."""
    data: str | None = None
    """A file .csv or .json, plain or in .zip, or embedded data by name; the model's own unless given."""
    columns: tuple[str, ...] = ()
    """Which columns are what, as in: y=height x=age,weight."""
    method: str = "advi"
    """laplace, advi, pathfinder, ep, svgd, hmc, metropolis, smc, grid, or all to compare them."""
    reference: Path | None = None
    """Draws of the posterior to compare with, as posteriordb has them."""
    out: Path | None = None
    """A folder for the table, draws and figures; none are written unless given."""
    seed: int = 0
    """Everything random follows from it."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        super().check()
        models.chosen(models.parse(self.model), self.columns)
        if self.method != ALL:
            methods.named(self.method)
        if self.posterior != Budget.posterior and self.method not in FAMILIES:
            raise InputError(f"--posterior is of {', '.join(FAMILIES)}, and --method is {self.method}: leave it out")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"expected --seed in [0, 2^63), got {self.seed}")


class Problem(NamedTuple):
    """A posterior, draws of it that are known by the names of its quantities, and where the data are from."""

    posterior: bayes.Posterior
    reference: Mapping[str, Tensor]
    source: str

    @property
    def title(self) -> str:
        p = self.posterior
        name = p.model.value.name
        of = "" if name == self.source else f" of {self.source}"
        return f"{name}{of}: {p.d} coordinates, {p.num_data.value} data"


def parse(args: list[str]) -> Settings:
    settings = tyro.cli(Settings, args=args, prog=PROGRAM)
    settings.check()
    return settings


def run(settings: Settings) -> None:
    """Nothing is begun before the data are read and the posterior is checked."""
    check_key, fit_key, evidence_key, draws_key = keys.split(keys.key(settings.seed), 4)
    problem = posed(settings, check_key)
    if settings.out is not None:
        files.make(settings.out)
    if settings.method == ALL:
        _compare(settings, problem, fit_key)
        return
    fit = METHODS[settings.method]
    done = comparison.timed(settings.method, partial(fit, problem.posterior, fit_key, settings), problem.posterior)
    if done.found is None:
        raise InputError(f"{settings.method} cannot take this posterior: {done.error}")
    found = examined(problem.posterior, done.found, evidence_key, settings.particles)
    title = f"{problem.title}; {_label(settings)}, {done.seconds:.1f} s"
    screen = text.screen(title, found, done.rows, problem.reference)
    echo(screen)
    if settings.out is not None:
        _write(settings.out, _label(settings), done._replace(found=found), problem, draws_key, screen)
        echo(f"table, draws and figures in {settings.out}")


def posed(settings: Settings, key: Key) -> Problem:
    """The posterior, checked. InputError for data that do not fit the model, or a posterior that is none."""
    ready = models.parse(settings.model)
    table = models.table(ready, settings.data)
    posterior = models.conditioned(ready, table, settings.columns)
    reference = _reference(settings.reference, ready, posterior) if settings.reference is not None else {}
    try:
        bayes.check(posterior, key)
    except ValueError as error:
        raise InputError(f"{table.source}: {error}") from error
    return Problem(posterior, reference, table.source)


def _reference(path: Path, ready: models.Ready, posterior: bayes.Posterior) -> dict[str, Tensor]:
    found = {}
    for name, draws in tables.reference(path).items():
        base, bracket, place = name.partition("[")
        found[f"{ready.reported.get(base, base)}{bracket}{place}"] = draws
    shared = {name: draws for name, draws in found.items() if name in posterior.flat_names}
    if not shared:
        raise InputError(
            f"{path}: expected draws of {', '.join(posterior.flat_names[:4])}, …, got {', '.join([*found][:4])}, …"
        )
    return shared


def _compare(settings: Settings, problem: Problem, key: Key) -> None:
    fitted = []
    for i, (name, fit) in enumerate(METHODS.items()):
        families = dict.fromkeys(("diag", "full", settings.posterior)) if name == "advi" else [settings.posterior]
        for family in families:
            budget = replace(settings, method=name, posterior=family)
            own = partial(fit, problem.posterior, keys.fold_in(key, i), budget)
            done = comparison.timed(_label(budget), own, problem.posterior)
            if done.found is not None:
                look_key = keys.fold_in(keys.fold_in(key, i), 1)
                done = done._replace(found=reconsidered(problem.posterior, done.found, look_key))
            fitted.append(done)
    known = {name: text.moments(draws) for name, draws in problem.reference.items()}
    beside, of = "the reference's", ""
    if not known:
        beside, of = "HMC's", "hmc"
        known = {row.name: (row.mean, row.sd) for each in fitted if each.method == of for row in each.rows}
    found = comparison.compared(fitted, known, of)
    shown = f"{problem.title}\n\n{text.table(found, beside)}"
    echo(shown)
    if settings.out is not None:
        _write_all(settings.out, found, shown)
        echo(f"table in {settings.out}")


def _label(settings: Settings) -> str:
    return f"{settings.method}, {settings.posterior}" if settings.method == "advi" else settings.method


def _write_all(out: Path, found: list[Compared], shown: str) -> None:
    files.write_json(out / TABLE, {"methods": [each._asdict() for each in found]})
    files.write_atomically(out / TEXT, f"{shown}\n".encode())


def _write(out: Path, name: str, done: Fitted, problem: Problem, key: Key, screen: str) -> None:
    found: Found | None = done.found
    assert found is not None
    posterior = problem.posterior
    z = found.resampled(key, DRAWS)
    evidence = {by: {"log_p": each.log_p[0].item(), "standard_error": each.standard_error[0].item()}
                for by, each in found.evidence.items()}  # fmt: skip
    elbo = None if found.approximation is None else found.approximation.elbo.item()
    files.write_json(out / TABLE, {
        "model": posterior.model.value.name, "data": problem.source, "method": name, "seconds": done.seconds,
        "parameters": [row._asdict() for row in done.rows], "elbo": elbo, "k_hat": found.k_hat, "evidence": evidence,
        "verdict": found.verdict, "reliable": found.reliable,
    })  # fmt: skip
    files.write_atomically(out / TEXT, f"{screen}\n".encode())
    checkpoints.save(out / "draws.safetensors", checkpoints.Checkpoint(posterior.reported(z)))
    each = dict(zip(posterior.flat_names, posterior.flat(z).unbind(-1), strict=True))
    files.write_atomically(out / "marginals.png", png(figures.marginals(name, each, problem.reference)))
    files.write_atomically(out / "pairs.png", png(figures.pairs(name, each, problem.reference)))
