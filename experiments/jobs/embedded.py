"""The queue in one file of SQLite, for the processes of one machine.

litequeue hands messages out and keeps their states; beside its table, in the same file and the same transactions, are
what it has not: ids, leases, tries, reasons and results.
"""

import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from litequeue import LiteQueue, MessageStatus

from jensen.experiments.jobs.contract import LOST, Counts, Job, Letter, Taken, Work, check_id, work_of
from jensen.experiments.run.errors import InputError, reason, shown

MARK = 0x6A6E_736E  # SQLite's application_id of these files
TABLES = (
    "CREATE TABLE work (value TEXT NOT NULL)",
    "CREATE TABLE jobs (id TEXT PRIMARY KEY, content BLOB NOT NULL, message TEXT NOT NULL, takings INTEGER NOT NULL"
    " DEFAULT 0, until REAL NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '')",
    "CREATE TABLE results (id TEXT PRIMARY KEY, content BLOB NOT NULL)",
)
SEAL = 32  # bytes of a sha256
PATIENCE = 60.0  # s that an operation waits for those of other processes
CHUNK = 256  # jobs that are put in one transaction


class Messages(LiteQueue):
    """litequeue's, whose operations may be parts of one transaction, which waits for those of other processes."""

    @contextmanager
    def transaction(self, mode: str = "IMMEDIATE") -> Iterator[None]:
        if self.conn.in_transaction:
            yield
        else:
            with super().transaction("IMMEDIATE"):
                yield


class Embedded:
    """A queue in a file. A process forked from one that has opened it must open it itself."""

    def __init__(self, path: Path, work: Work | None = None):
        """Makes the file where work is given and it is not there. InputError for a file that is no such queue."""
        self.path, self._lock = path, threading.RLock()
        if path.is_dir():
            raise InputError(f"{path} is a folder, and a queue is a file: name one, as {path / 'jobs.queue'}")
        if work is None and not path.is_file():
            raise InputError(f"{path} holds no queue: put jobs into it first")
        with self._sound():
            self._link = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            try:
                self.work = self._opened(work)
                self._messages = Messages(self._link)
            except BaseException:
                self._link.close()
                raise

    def put(self, jobs: Sequence[Job]) -> list[Job]:
        for job in jobs:
            check_id(job.id)
        for start in range(0, len(jobs), CHUNK):
            with self._transaction():
                room = self.work.room - self._messages.qsize()
                for i, job in enumerate(jobs[start : start + CHUNK], start):
                    if self._link.execute("SELECT 1 FROM jobs WHERE id = ?", (job.id,)).fetchone():
                        continue
                    if room <= 0:
                        return [*jobs[i:]]
                    message = self._messages.put(job.id).message_id
                    self._link.execute("INSERT INTO jobs (id, content, message) VALUES (?, ?, ?)",
                                       (job.id, _sealed(job.content), message))  # fmt: skip
                    room -= 1
        return []

    def take(self, most: int) -> list[Taken]:
        taken: list[Taken] = []
        with self._transaction():
            for message in [*self._messages.list_locked(0)]:
                if self._link.execute("SELECT until < ? FROM jobs WHERE id = ?", (_now(), message.data)).fetchone()[0]:
                    self._messages.retry(message.message_id)
            while len(taken) < most and (message := self._messages.pop()) is not None:
                ask = "UPDATE jobs SET takings = takings + 1, until = ? WHERE id = ? RETURNING content, takings"
                content, takings = self._link.execute(ask, (_now() + self.work.lease, message.data)).fetchone()
                job = Job(message.data, self._unsealed(message.data, content))
                taken.append(Taken(job, takings > 1, (message.message_id, takings)))
        return taken

    def prolong(self, taken: Sequence[Taken]) -> None:
        self._lease(taken, self.work.lease)

    def begin(self, taken: Taken) -> bool:
        with self._transaction():
            found = self._own("tries", taken)
            if found is None:
                return False
            if found[0] >= self.work.tries:
                self._messages.mark_failed(taken.receipt[0])
                return False
            ask = "UPDATE jobs SET tries = tries + 1, reason = ? WHERE id = ?"
            self._link.execute(ask, (LOST, taken.job.id))
            return True

    def done(self, taken: Taken, result: bytes) -> None:
        with self._transaction():
            self._link.execute("INSERT OR IGNORE INTO results VALUES (?, ?)", (taken.job.id, _sealed(result)))
            self._messages.done(taken.receipt[0])
            self._messages.prune(include_failed=False)

    def fail(self, taken: Taken, reason: str) -> None:
        with self._transaction():
            found = self._own("tries", taken)
            if found is None:
                return
            self._link.execute("UPDATE jobs SET reason = ? WHERE id = ?", (reason, taken.job.id))
            if found[0] >= self.work.tries:
                self._messages.mark_failed(taken.receipt[0])
            else:
                self._lease([taken], self.work.pause(found[0]))

    def give_back(self, taken: Sequence[Taken]) -> None:
        self._lease(taken, 0)

    def counts(self) -> Counts:
        with self._transaction():
            taken = len([*self._messages.list_locked(0)])
            dead = len([*self._messages.list_failed()])
            done = self._link.execute("SELECT count(*) FROM results").fetchone()[0]
            return Counts(self._messages.qsize() - taken, taken, done, dead)

    def dead(self) -> list[Letter]:
        with self._transaction():
            ids = sorted(message.data for message in self._messages.list_failed())
            ask = "SELECT id, tries, reason FROM jobs WHERE id = ?"
            return [Letter(*self._link.execute(ask, (id_,)).fetchone()) for id_ in ids]

    def revive(self, ids: Sequence[str]) -> None:
        with self._transaction():
            dead = {message.data: message.message_id for message in self._messages.list_failed()}
            for id_ in ids:
                if id_ not in dead:
                    raise InputError(f"{shown(id_)} is no dead letter of {self.path}: see its status")
                self._messages.retry(dead[id_])
                self._link.execute("UPDATE jobs SET takings = 0, tries = 0, reason = '' WHERE id = ?", (id_,))
            if self._messages.qsize() > self.work.room:
                raise InputError(f"{self.path} has no room for {len(ids)} jobs: revive fewer, or start workers")

    def results(self) -> Iterator[tuple[str, bytes]]:
        with self._sound():
            for id_, content in self._link.execute("SELECT id, content FROM results ORDER BY id"):
                yield id_, self._unsealed(id_, content)

    def close(self) -> None:
        with self._lock:
            self._link.close()

    def _lease(self, taken: Sequence[Taken], seconds: float) -> None:
        with self._transaction():
            ask = "UPDATE jobs SET until = ? WHERE id = ? AND takings = ?"
            self._link.executemany(ask, [(_now() + seconds, each.job.id, each.receipt[1]) for each in taken])

    def _own(self, columns: str, taken: Taken) -> tuple | None:
        """Of a job that is still this worker's; None where its lease ran out and another has it, or it is settled."""
        message = self._messages.get(taken.receipt[0])
        if message is None or message.status != MessageStatus.LOCKED:
            return None
        ask = f"SELECT {columns} FROM jobs WHERE id = ? AND takings = ?"
        return self._link.execute(ask, (taken.job.id, taken.receipt[1])).fetchone()

    def _unsealed(self, id_: str, content: bytes) -> bytes:
        if content[:SEAL] != hashlib.sha256(content[SEAL:]).digest():
            raise InputError(f"{self.path} is damaged (in {id_}): restore it, or choose another file")
        return content[SEAL:]

    def _opened(self, work: Work | None) -> Work:
        """What the file's jobs are, which is written into a new one."""
        (mark,), (tables,) = (self._link.execute(ask).fetchone() for ask in
                              ("PRAGMA application_id", "SELECT count(*) FROM sqlite_master"))  # fmt: skip
        if mark != MARK and (tables or work is None):
            raise InputError(f"{self.path} is a database of another program: choose another file")
        if mark != MARK:
            self._make(cast(Work, work))
        (fault,) = self._link.execute("PRAGMA quick_check(1)").fetchone()
        if fault != "ok":
            raise sqlite3.DatabaseError(fault)
        (value,) = self._link.execute("SELECT value FROM work").fetchone()
        found = work_of(value, str(self.path))
        if work is not None and found != work:
            raise InputError(f"{self.path} is a queue of other jobs or limits, {found}: choose another")
        return found

    def _make(self, work: Work) -> None:
        self._link.execute("BEGIN IMMEDIATE")
        if not self._link.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:  # no other process was first
            for table in TABLES:
                self._link.execute(table)
            self._link.execute("INSERT INTO work VALUES (?)", (work.text,))
            self._link.execute(f"PRAGMA application_id = {MARK}")
        self._link.execute("COMMIT")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._sound(), self._messages.transaction():
            yield

    @contextmanager
    def _sound(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except sqlite3.Error as error:
            cure = "restore it, choose another file, or make room"
            raise InputError(f"{self.path} cannot be used as a queue ({reason(error)}): {cure}") from error


def _sealed(content: bytes) -> bytes:
    """After its sha256: SQLite sees damage to its own structure alone."""
    return hashlib.sha256(content).digest() + content


def _now() -> float:
    """Seconds, by a clock that all processes share."""
    return time.time()
