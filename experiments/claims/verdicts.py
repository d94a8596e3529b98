"""Whether verdicts are true: every method of inference on posteriors that are hard, and known.

Claim    a posterior with a mean off by a quarter of a standard deviation, or a standard deviation off by a fifth, has
         no good verdict: k-hat sees tails and skewness (Yao et al., 2018), R-hat chains that stay where they began,
         climbs from dispersed starts modes that were overlooked, and two estimates of the evidence each other
Command  python -m jensen.experiments.claims.verdicts
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.experiments.claims.checked import check_seed
from jensen.experiments.claims.hard_posteriors import Hard, hard_posteriors
from jensen.experiments.inference.comparison import timed
from jensen.experiments.inference.found import TAILS, Row
from jensen.experiments.inference.methods import METHODS, Budget, named
from jensen.experiments.inference.second_opinions import examined
from jensen.experiments.inference.text import brief
from jensen.experiments.run import files
from jensen.experiments.run.command import command, echo
from jensen.experiments.run.errors import InputError

MEAN, SD = 0.25, 0.2  # how far off a mean, in standard deviations, and a standard deviation, as a share, may be
EVIDENCE = 5.0  # standard errors that log p(x) may be off
SLACK = 0.05  # nats beside them
EXACT = 100_000  # draws that means and standard deviations are known by
FAMILIES = ("diag", "full", "low-rank(1)", "mixture(2)", "flow")
WIDTH = 1.6448536 * 2  # standard deviations from the 5 % to the 95 % point of a normal


@dataclass(frozen=True)
class Settings(Budget):
    """Infer hard posteriors by every method, and check what each says of itself: a table and JSON lines."""

    samples: int = 4000
    """Draws of an approximation."""
    steps: int = 300
    """Draws of each chain after a warm-up of as many, times 10 for Metropolis; steps of SVGD."""
    particles: int = 1000
    """Particles of sequential Monte Carlo, in 20 islands; SVGD takes a tenth of them."""
    methods: tuple[str, ...] = tuple(name for name in METHODS if name != "ep")
    """Which, by their names as of experiments.infer; advi with each of --families."""
    families: tuple[str, ...] = FAMILIES
    """Of advi."""
    only: tuple[str, ...] = ()
    """Parts of the names of posteriors, all unless given."""
    out: Path = Path("runs/verdicts")
    """Folder of rows.jsonl; what it holds of it is replaced."""
    seed: int = 0
    """Everything random follows from it."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        super().check()
        for name in self.methods:
            named(name)
        for family in self.families:
            replace(self, posterior=family, families=()).check()
        if self.only and not chosen(self):
            known = ", ".join(hard.name for hard in hard_posteriors())
            raise InputError(f"expected --only of {known}, got {' '.join(self.only)}: give a part of one's name")
        check_seed(self.seed)


class Judged(NamedTuple):
    """What a method said of a posterior, and what is true; error is why it refused."""

    posterior: str
    method: str
    seconds: float
    reliable: bool = False
    mean_off: float = 0.0
    sd_off: float = 0.0
    evidence_off: bool = False  # an estimate of it, beyond its errors
    said: str = ""
    error: str | None = None
    infers: bool = True  # whether there is something to infer

    @property
    def right(self) -> bool:
        return self.infers and self.mean_off <= MEAN and self.sd_off <= SD

    @property
    def untrue(self) -> bool:
        """Whether what is wrong has a good verdict."""
        return self.error is None and self.reliable and not (self.right and not self.evidence_off)

    @property
    def mark(self) -> str:
        return f"  ← untrue: {brief(self.mean_off, 2)}, {brief(self.sd_off, 2)}" if self.untrue else ""

    @property
    def cell(self) -> str:
        """In a table."""
        if self.error is not None:
            return "refused"
        return f"{'right' if self.right else 'wrong'}{'' if self.reliable else ', doubted'}"


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--samples, --chains or --particles"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.verdicts")
        settings.check()
        rows = run(settings)
        print(f"{table(rows)}\n\n{verdict(rows)}\n\nrows in {settings.out}")


def run(settings: Settings) -> list[Judged]:
    """A row for each posterior and method, with a line of each as it is done."""
    files.make(settings.out)
    rows = []
    for hard in chosen(settings):
        exact = None if hard.draws is None else hard.draws(keys.key(settings.seed), EXACT)
        for i, (label, method, budget) in enumerate(contenders(settings)):
            fit = partial(judged, hard, exact, label, method, budget, keys.fold_in(keys.key(settings.seed + 1), i))
            rows.append(fit())
            echo(f"{hard.name:<30}{label:<20}{rows[-1].seconds:7.1f} s  {rows[-1].cell}{rows[-1].mark}")
    files.write_rows(settings.out / "rows.jsonl", [{**row._asdict(), "untrue": row.untrue} for row in rows])
    return rows


def chosen(settings: Settings) -> list[Hard]:
    """The posteriors of --only, all unless given."""
    every = hard_posteriors()
    return [hard for hard in every if not settings.only or any(part in hard.name for part in settings.only)]


def contenders(settings: Settings) -> list[tuple[str, str, Budget]]:
    """A label, a method and its budget."""
    found = []
    for name in settings.methods:
        if name != "advi":
            found.append((name, name, settings))
            continue
        found += [(f"advi, {family}", name, replace(settings, posterior=family)) for family in settings.families]
    return found


def judged(hard: Hard, exact: Tensor | None, label: str, method: str, budget: Budget, key: Key) -> Judged:
    """One method's word on one posterior."""
    fit_key, look_key = keys.split(key)

    def fit():
        found = METHODS[method](hard.posterior, fit_key, budget)
        return examined(hard.posterior, found, look_key, budget.particles)

    done = timed(label, fit, hard.posterior)
    if done.found is None:
        return Judged(hard.name, label, done.seconds, error=done.error, infers=exact is not None)
    found = done.found
    mean_off, sd_off = (0.0, 0.0) if exact is None else distances(done.rows, exact, hard.heavy)
    return Judged(
        hard.name,
        label,
        done.seconds,
        found.reliable,
        mean_off,
        sd_off,
        any(
            abs(each.log_p[0].item() - hard.log_evidence) > EVIDENCE * each.standard_error[0].item() + SLACK
            for each in found.evidence.values()
        ),
        found.verdict,
        infers=exact is not None,
    )


def distances(rows: Sequence[Row], exact: Tensor, heavy: bool) -> tuple[float, float]:
    """The largest distances of a mean and of a standard deviation; with heavy tails by the 5 % and 95 % points."""
    means, sds = [], []
    for row, x in zip(rows, exact.T, strict=True):
        middle, spread, mean, sd = row.mean, row.sd, x.mean().item(), x.std().item()
        if heavy:
            low, high = torch.quantile(x, x.new_tensor(TAILS)).tolist()
            middle, spread = (row.low + row.high) / 2, (row.high - row.low) / WIDTH
            mean, sd = (low + high) / 2, (high - low) / WIDTH
        means.append(abs(middle - mean) / sd)
        sds.append(abs(spread / sd - 1))
    return max(means), max(sds)


def table(rows: Sequence[Judged]) -> str:
    """A block for each posterior, a line for each method."""
    lines = [f"{'':<24}{'verdict':<18}{'mean off':>10}{'sd off':>10}{'seconds':>10}"]
    for name in dict.fromkeys(row.posterior for row in rows):
        lines += ["", name]
        for row in (row for row in rows if row.posterior == name):
            line = f"  {row.method:<22}{row.cell:<18}"
            if row.error is None:
                line += f"{brief(row.mean_off, 2):>10}{brief(row.sd_off, 2):>10}{row.seconds:>10.1f}"
            lines.append(line + row.mark)
    return "\n".join(lines)


def verdict(rows: Sequence[Judged]) -> str:
    """How many were wrong with a good verdict, and how many right without one."""
    untrue = [f"{row.method} on {row.posterior}" for row in rows if row.untrue]
    doubted = sum(row.right and not row.reliable and row.error is None for row in rows)
    said = f"{len(untrue)} of {len(rows)} verdicts are untrue" + (f": {'; '.join(untrue)}" if untrue else "")
    return f"{said}; {doubted} that are right have doubts"
