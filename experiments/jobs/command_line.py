"""The command line of queues: put jobs, run workers, see where the jobs are, revive dead ones, gather the results."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from jensen.experiments.deployment.command_line import EXPORT
from jensen.experiments.deployment.manifest import MANIFEST, Signature, read_manifest
from jensen.experiments.jobs import gathering, processes, producer
from jensen.experiments.jobs.contract import Counts, Queue, Work
from jensen.experiments.jobs.engines import Place
from jensen.experiments.run import files
from jensen.experiments.run.command import echo
from jensen.experiments.run.errors import InputError, shown

PROGRAM = "python -m jensen.experiments.work"
TEST = "test"
MOST = 20  # dead letters that are shown
Folder = Annotated[Path, tyro.conf.Positional]


@dataclass(frozen=True, kw_only=True)
class Put(Place):
    """Put a job per row into a queue, which is made unless it is there."""

    model: Folder
    """Folder of experiments.export, or of a run that has an export."""
    function: Annotated[str, tyro.conf.Positional]
    """The function whose rows they are, such as encode or sample."""
    rows: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """File of safetensors with a tensor of rows for each input, or .npy of the only one; `test` for a run's own test
    images. Without it, seeds alone."""
    n: int | None = None
    """Jobs of a function that takes nothing but a seed."""
    seed: int = 0
    """Of what the function draws: row i draws with the key [seed, 0, i]."""
    name: str | None = None
    """Jobs are called NAME-000000000 and so on; after their function and content unless given."""
    room: int = Work.room
    """Jobs that wait or are taken, at most."""
    batch: int = Work.batch
    """Jobs that a worker computes together, at most."""
    tries: int = Work.tries
    """Of a job alone, until it is a dead letter."""
    lease: float = Work.lease
    """Seconds from a worker's last sign of life until its jobs go to others."""
    block: bool = True
    """Wait where the queue is full; --no-block ends then, and is run again to go on."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        super().check()
        if self.n is not None and self.rows is not None:
            raise InputError(f"got --n {self.n} and --from {self.rows}, whose rows are counted: leave one out")
        if self.n is not None and not 1 <= self.n < 2**31:
            raise InputError(f"expected --n from 1 to {2**31 - 1}, got {self.n}: pass how many jobs there are to be")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"expected --seed from 0 to 2^63 - 1, got {self.seed}: leave it out for 0")

    def run(self) -> None:
        folder = export_of(self.model)
        digest = files.digest(folder / MANIFEST)
        work = Work(digest, self.function, self.room, self.batch, self.tries, self.lease)
        work.check()
        signature = declared(folder, digest, self.function)
        if self.rows == Path(TEST):
            from jensen.experiments.programs.finished import read_assessed  # with all that trains

            rows = {"x": read_assessed(self.model, "cpu").images.test}
        else:
            rows = producer.arrays(self.rows, signature) if self.rows is not None else {}
        jobs = producer.jobs(self.function, signature, rows, self.seed, self.n, self.name)
        with closing(self.make(work)) as queue:
            producer.put_all(queue, jobs, float("inf") if self.block else 0)
            echo(f"{len(jobs)} jobs, {jobs[0].id} to {jobs[-1].id}\n{said(queue.counts())}")


@dataclass(frozen=True, kw_only=True)
class Run(Place):
    """Compute a queue's jobs until all are done or dead. A worker that dies is replaced."""

    model: Folder
    """The folder that the jobs were put with, or a copy of its export."""
    workers: int = 1
    """Processes."""
    threads: int = 1
    """torch's threads in each."""
    limit: float = 300.0
    """Seconds that a computation may take; a worker that takes longer ends, and its jobs go to others."""
    wait: float = 0.1
    """Seconds for a batch to fill."""
    stay: bool = False
    """Wait for more jobs where none are left."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        super().check()
        for name in ("workers", "threads"):
            if not 1 <= getattr(self, name) <= 1024:
                raise InputError(f"expected --{name} from 1 to 1024, got {getattr(self, name)}: leave it out for 1")
        for name, low in (("limit", 0.1), ("wait", 0.0)):
            if not low <= getattr(self, name) <= 86_400:
                raise InputError(f"expected --{name} from {low:g} to 86400, got {getattr(self, name)}: leave it out")

    def run(self) -> None:
        folder = export_of(self.model)
        with closing(self.open()) as queue:
            processes.check_export(folder, queue.work)
            task = processes.Task(self, folder, self.limit, self.wait, self.stay, self.threads)
            processes.supervised(processes.processes(task), self.workers)
            echo(status(queue))


@dataclass(frozen=True, kw_only=True)
class Status(Place):
    """Say how many jobs wait, are taken, done and dead, and what the dead ones died of."""

    def run(self) -> None:
        with closing(self.open()) as queue:
            echo(status(queue))


@dataclass(frozen=True, kw_only=True)
class Revive(Place):
    """Put dead jobs back, with all of their tries."""

    ids: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """The jobs; all dead ones unless given."""

    def run(self) -> None:
        with closing(self.open()) as queue:
            queue.revive(self.ids or [letter.id for letter in queue.dead()])
            echo(status(queue))


@dataclass(frozen=True, kw_only=True)
class Results(Place):
    """Write the results that there are to one file of safetensors, by the ids of their jobs."""

    out: Path = Path("results.safetensors")
    """The file."""

    def run(self) -> None:
        with closing(self.open()) as queue:
            n = gathering.write(queue, self.out)
            echo(f"{n} results in {self.out}\n{said(queue.counts())}")


Settings = Put | Run | Status | Revive | Results
COMMANDS = {"put": Put, "run": Run, "status": Status, "revive": Revive, "results": Results}


def parse(args: list[str]) -> Settings:
    if args[:1] not in (["--help"], ["-h"]) and (not args or args[0] not in COMMANDS):
        got = args[0] if args else "none"
        raise InputError(f"expected what to do, one of {', '.join(COMMANDS)}, got {got}: see {PROGRAM} --help")
    if args[0] in COMMANDS:
        settings = tyro.cli(COMMANDS[args[0]], args=args[1:], prog=f"{PROGRAM} {args[0]}")
    else:
        settings = tyro.extras.subcommand_cli_from_dict(COMMANDS, args=args, prog=PROGRAM, description=__doc__)
    settings.check()
    return settings


def run(settings: Settings) -> None:
    settings.run()


def export_of(folder: Path) -> Path:
    """The export in a folder. InputError where there is none."""
    for found in (folder, folder / EXPORT):
        if (found / MANIFEST).is_file():
            return found
    raise InputError(f"{folder} holds no export: run `python -m jensen.experiments.export {folder}` first")


def declared(folder: Path, digest: str, name: str) -> Signature:
    """What a function takes, by the manifest alone. InputError where the export has no such function."""
    functions = read_manifest(folder, digest).functions
    if name not in functions:
        raise InputError(f"expected one of {', '.join(functions)}, got {shown(name)}: see {folder / MANIFEST}")
    return functions[name]


def said(counts: Counts) -> str:
    """One line."""
    return f"{counts.waiting} waiting, {counts.taken} taken, {counts.done} done, {counts.dead} dead"


def status(queue: Queue) -> str:
    """The counts, and the dead letters."""
    letters = queue.dead()
    lines = [f"  {each.id}: {each.reason} ({each.tries} tries)" for each in letters[:MOST]]
    more = [f"  and {len(letters) - MOST} more"] if len(letters) > MOST else []
    return "\n".join([f"{queue.work.function}: {said(queue.counts())}", *lines, *more])
