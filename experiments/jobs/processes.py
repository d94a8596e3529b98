"""Workers as processes: each loads the export anew, and one that dies is replaced."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from jensen.experiments.deployment import load
from jensen.experiments.deployment.manifest import MANIFEST
from jensen.experiments.jobs.contract import Work
from jensen.experiments.jobs.engines import Place
from jensen.experiments.jobs.worker import STUCK, Worker
from jensen.experiments.run import files
from jensen.experiments.run.command import command, echo
from jensen.experiments.run.errors import InputError, InterruptError

METHODS = multiprocessing.get_all_start_methods()
METHOD: Any = "forkserver" if "forkserver" in METHODS else "spawn"  # a server that has torch forks workers in no time
REFUSED = 2  # the exit code of `command` for what another worker would meet too


@dataclass(frozen=True)
class Task:
    """What one worker does."""

    place: Place
    folder: Path  # of the export
    limit: float
    wait: float
    stay: bool
    threads: int

    def __call__(self) -> None:
        """In a process of its own."""
        torch.set_num_threads(self.threads)
        with closing(self.place.open()) as queue:
            check_export(self.folder, queue.work)
            function = load(self.folder, digest=queue.work.digest, only=(queue.work.function,))[queue.work.function]
            Worker(queue, function, self.limit, self.wait).run(self.stay)


def check_export(folder: Path, work: Work) -> None:
    """InputError for another export than the one whose rows a queue's jobs are."""
    digest = files.digest(folder / MANIFEST)
    if digest != work.digest:
        raise InputError(f"the queue's jobs are of the export {work.digest}, got {digest} in {folder}: pass that one")


def processes(task: Callable[[], None]) -> Callable[[], BaseProcess]:
    """What starts a worker."""
    context = multiprocessing.get_context(METHOD)
    context.set_forkserver_preload([__name__])

    def start() -> BaseProcess:
        process = context.Process(target=_quietly, args=(task,))
        process.start()
        return process

    return start


def supervised(start: Callable[[], BaseProcess], n: int) -> None:
    """Keeps n workers until each has ended well. InputError where one is refused what all need; then all end."""
    workers = [start() for _ in range(n)]
    try:
        while workers:
            wait([each.sentinel for each in workers])
            ended = [each for each in workers if each.exitcode is not None]
            workers = [each for each in workers if each not in ended]
            for each in ended:
                if each.exitcode == REFUSED:
                    raise InputError("a worker could not go on, for the reason above: the others have ended too")
                if each.exitcode:
                    workers.append(start())
                    echo(f"worker {each.pid} {_how(each.exitcode)}: {workers[-1].pid} is in its place")
    finally:
        _end(workers)


def _end(workers: Sequence[BaseProcess]) -> None:
    """What they have goes to others."""
    for each in workers:
        each.terminate()
    for each in workers:
        each.join(10)
        each.kill()


def _how(code: int) -> str:
    if code == STUCK:
        return "took too long"
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _quietly(task: Callable[[], None]) -> None:
    """An interrupt is the supervisor's to report."""
    with command("run it again", "--batch"):
        try:
            task()
        except InterruptError as stop:
            sys.exit(stop.exit_code)
