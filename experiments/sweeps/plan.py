"""A sweep's trials: every combination of the varied options with every seed, each a command of experiments.train."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jensen.experiments.programs.command_line import parse
from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError, shown
from jensen.experiments.run.session import Settings

PLAN = "sweep.json"


class Trial(NamedTuple):
    """One run of a sweep: its varied options with their values, its seed, and the arguments of its command."""

    varied: tuple[tuple[str, str], ...]
    seed: int
    args: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join([f"--{name} {value}" for name, value in self.varied] + [f"--seed {self.seed}"])

    def settings(self) -> tuple[str, Settings]:
        """The kind of its run, and its settings. InputError or SystemExit for what experiments.train would refuse."""
        return parse([*self.args])


@dataclass(frozen=True)
class Plan:
    """What is varied, over how many seeds, and the command that all trials share."""

    command: tuple[str, ...]  # a kind or a recipe, then options
    varied: Mapping[str, tuple[str, ...]]  # values by option
    seeds: int
    out: Path

    def check(self) -> None:
        """Raises an InputError for what cannot work; every trial's settings are checked, before any is run."""
        if not self.command or self.command[0].startswith("-"):
            raise InputError("expected what to train, such as `-- vae --steps 500`, after the sweep's own options")
        if self.seeds < 1:
            raise InputError(f"expected --seeds of at least 1, got {self.seeds}")
        own = {f"--{name}" for name in (*self.varied, "seed", "out")}
        for arg in self.command:
            if arg.partition("=")[0] in own:
                raise InputError(f"{arg.partition('=')[0]} is the sweep's to set: leave it out of the command")
        for name, values in self.varied.items():
            if len(set(values)) < len(values):
                raise InputError(f"--over {name} has a value twice: {' '.join(values)}")
        for trial in self.trials:
            trial.settings()

    @property
    def trials(self) -> list[Trial]:
        """In the order of the varied values, seeds innermost."""
        found = []
        for values in itertools.product(*self.varied.values()):
            varied = tuple(zip(self.varied, values, strict=True))
            options = [part for name, value in varied for part in (f"--{name}", *value.split())]
            for seed in range(self.seeds):
                folder = self.out.joinpath(*(_folder(name, value) for name, value in varied), f"seed-{seed}")
                args = (*self.command, *options, "--seed", str(seed), "--out", str(folder))
                found.append(Trial(varied, seed, args))
        return found

    def keep(self) -> None:
        """Writes the command into the folder. InputError where the folder is of a sweep of another one."""
        path = self.out / PLAN
        own = {"command": [*self.command]}
        if path.exists():
            before = files.read_json(path, "remove it, or choose another --out")
            if before != own:
                raise InputError(f"{self.out} holds a sweep of another command: choose another --out")
            return
        files.make(self.out)
        if any(self.out.iterdir()):
            raise InputError(f"{self.out} is not empty and holds no sweep: choose another --out")
        files.write_json(path, own)


def _folder(name: str, value: str) -> str:
    text = "-".join([name, *value.split()])
    if "/" in text or text.startswith("."):
        raise InputError(f"expected values of --over that can name a folder, got {shown(value)}")
    return text
