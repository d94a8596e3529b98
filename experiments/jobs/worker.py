"""A worker: takes jobs, computes them together, and is done with each once its result is stored."""

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import torch

from jensen.experiments.deployment import Function
from jensen.experiments.jobs.batches import computed
from jensen.experiments.jobs.contract import Queue, Taken
from jensen.experiments.run.errors import InputError, reason

STUCK = 70  # the exit code of a worker whose computation took too long
IDLE = 0.1  # s until an empty queue is asked again: what others have may come back


class Worker:
    """Of one queue.

    Jobs that were handed out before are computed alone, for one of them may be what a worker died of; of a batch that
    fails, each. `limit` is in seconds: a computation that takes longer ends the process, and its jobs go to others.
    """

    def __init__(self, queue: Queue, function: Function, limit: float = 300.0, wait: float = 0.1):
        """wait: seconds for a batch to fill."""
        self.queue, self.function, self._wait = queue, function, wait
        self._beat = Beat(queue, limit)

    def run(self, stay: bool = False) -> None:
        """Until all jobs are done or dead; with `stay` for ever. What it has when it is interrupted goes to others."""
        with self._beat:
            while stay or self.queue.counts().open:
                taken = self._gathered()
                if taken:
                    self._work(taken)
                else:
                    time.sleep(IDLE)

    def _gathered(self) -> list[Taken]:
        most = self.queue.work.batch
        taken = self.queue.take(most)
        if taken and len(taken) < most and self._wait:
            time.sleep(self._wait)
            taken += self.queue.take(most - len(taken))
        return taken

    def _work(self, taken: Sequence[Taken]) -> None:
        left = self._beat.taken = list(taken)
        try:
            fresh = [each for each in taken if not each.again]
            for each, result in zip(fresh, self._together(fresh), strict=False):
                self.queue.done(each, result)
                left.remove(each)
            for each in tuple(left):
                self._alone(each)
                left.remove(each)
        except BaseException:
            with suppress(InputError):
                self.queue.give_back(left)
            raise
        finally:
            self._beat.taken = []

    def _together(self, taken: Sequence[Taken]) -> list[bytes]:
        """Their results; none where one of them spoils it for all, or there is but one."""
        if len(taken) < 2:
            return []
        try:
            return self._computed(taken)
        except Exception:  # each is tried alone, and says then what it fails of
            return []

    def _alone(self, taken: Taken) -> None:
        if not self.queue.begin(taken):
            return
        try:
            (result,) = self._computed([taken])
        except Exception as error:  # of the function, of whatever kind
            self.queue.fail(taken, f"{type(error).__name__}: {reason(error)}")
        else:
            self.queue.done(taken, result)

    @torch.no_grad()
    def _computed(self, taken: Sequence[Taken]) -> list[bytes]:
        with self._beat.computing():
            return computed(self.function, [each.job.content for each in taken], self.queue.work.batch)


class Beat:
    """Prolongs the leases of what its worker has, from a thread of its own, while no computation takes too long."""

    def __init__(self, queue: Queue, limit: float):
        self.taken: list[Taken] = []
        self._queue, self._limit, self._since = queue, limit, None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @contextmanager
    def computing(self) -> Iterator[None]:
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    def _run(self) -> None:
        while not self._ended.wait(min(self._queue.work.lease / 3, self._limit / 2)):
            since, taken = self._since, tuple(self.taken)
            if since is not None and time.monotonic() - since > self._limit:
                print(f"a computation took more than {self._limit:g} s: the worker ends", file=sys.stderr, flush=True)
                os._exit(STUCK)
            if taken:
                with suppress(InputError):  # which the worker's own next call meets too
                    self._queue.prolong(taken)
