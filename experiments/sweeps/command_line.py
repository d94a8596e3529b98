"""The command line of sweeps: options of its own, and after -- a command of experiments.train."""

import argparse
import itertools
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from jensen.experiments.run import files
from jensen.experiments.run.cluster import check_installed
from jensen.experiments.run.command import echo
from jensen.experiments.run.errors import InputError
from jensen.experiments.sweeps.engines import ENGINES, RAY
from jensen.experiments.sweeps.plan import Plan, Trial
from jensen.experiments.sweeps.table import table
from jensen.experiments.sweeps.trials import Ended, numbers

PROGRAM = "python -m jensen.experiments.sweep"
ROWS, TABLE = "trials.jsonl", "table.txt"


class Asked(NamedTuple):
    """A plan, and how it is carried out and shown."""

    plan: Plan
    engine: str
    shown: Sequence[str]


def parse(args: list[str]) -> Asked:
    """InputError for what cannot work, before anything is run."""
    own = [*itertools.takewhile(lambda arg: arg != "--", args)]
    command = args[len(own) + 1 :]
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Train over settings and seeds; run again, a sweep goes on.",
        usage=f"{PROGRAM} [options] -- KIND [options of experiments.train]", allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--over", nargs="+", action="append", default=[], metavar=("OPTION", "VALUE"),
                        help="an option of the command, without its dashes, and the values it takes")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3, help="runs of each setting")
    parser.add_argument("--engine", choices=[*ENGINES], default="process", help="where trials run")
    parser.add_argument("--show", action="append", default=[], metavar="NUMBER", help="a number of the reports")
    parser.add_argument("--out", type=Path, default=Path("runs/sweep"), help="the sweep's folder")
    found = parser.parse_args(own)
    varied = {}
    for name, *values in found.over:
        name = name.removeprefix("--")
        if not values:
            raise InputError(f"expected values of --over {name}, as in --over {name} 1 2, got none")
        if name in varied:
            raise InputError(f"--over {name} is given twice: give all its values once")
        varied[name] = tuple(values)
    plan = Plan(tuple(command), varied, found.seeds, found.out)
    plan.check()
    if found.engine == RAY:
        check_installed(f"--engine {RAY}")
    return Asked(plan, found.engine, found.show)


def run(asked: Asked) -> list[Ended]:
    """Carries out what has not ended well, and leaves rows and the table in the folder, anew after every trial."""
    plan, trials = asked.plan, asked.plan.trials
    plan.keep()
    ended = {trial: Ended(trial, found) for trial in trials if (found := numbers(_folder(trial))) is not None}
    waiting = [trial for trial in trials if trial not in ended]
    echo(f"{len(trials)} trials, {len(ended)} of them done, in {plan.out}")
    _write(asked, ended)
    with closing(ENGINES[asked.engine](waiting)) as results:
        for each in results:
            ended[each.trial] = each
            _write(asked, ended)
            echo(f"{len(ended)} of {len(trials)}   {each.trial}   {f'failed: {each.error}' if each.error else 'done'}")
    in_order = [ended[trial] for trial in trials]
    echo(f"\n{table(in_order, asked.shown)}\n\nrows and table in {plan.out}")
    failed = [each for each in in_order if each.error]
    if failed:
        first = failed[0]
        raise InputError(f"{len(failed)} of {len(trials)} trials failed, the first {first.trial}: {first.error}")
    return in_order


def _write(asked: Asked, ended: dict[Trial, Ended]) -> None:
    results = [ended[trial] for trial in asked.plan.trials if trial in ended]
    files.write_rows(asked.plan.out / ROWS, [each.row() for each in results])
    if any(each.numbers for each in results):
        files.write_atomically(asked.plan.out / TABLE, f"{table(results, asked.shown)}\n".encode())


def _folder(trial: Trial) -> Path:
    return Path(trial.args[-1])
