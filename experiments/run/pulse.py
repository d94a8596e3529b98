"""How far each rank is, for the others to see: what names the one that a collective waits for in vain."""

import threading
import time
from datetime import timedelta
from typing import NamedTuple

from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous as meet

BEAT = 1.0  # s between two reports of a rank
STILL = 15  # of them that a rank which does not report has missed
LEFT = 2**62  # the count of a rank that has found another lost: it is not lost itself
POLL = 0.05  # s between two looks at what others report; sooner at first


class Report(NamedTuple):
    """A rank's last: how many meetings it has come to, and how often it has reported; -1 before the first."""

    meetings: int = -1
    beats: int = -1


class Pulse:
    """Reports this rank's count of meetings from a thread of its own, which a killed or stopped process has not."""

    def __init__(self, store: Store, rank: int, size: int):
        self.rank, self.others = rank, [other for other in range(size) if other != rank]
        self.count, self._beats = 0, 0
        self.store = PrefixStore("run", store)
        self._reporting, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Before the store goes, for it writes a trace of every call that comes too late."""
        self._ended.set()
        self._thread.join(2 * BEAT)

    def late(self, patience: timedelta) -> list[int]:
        """The ranks that have not come as far as this one in that time, or will not, for they have ceased to report."""
        self._report()
        began = time.monotonic()
        last = dict.fromkeys(self.others, (Report(), began))  # with the time at which it came
        while True:
            now = time.monotonic()
            for rank, (before, _) in last.items():
                report = self._read(rank)
                if report != before:
                    last[rank] = report, now
            behind = [rank for rank, (report, _) in last.items() if report.meetings < self.count]
            silent = [rank for rank in behind if now - last[rank][1] > STILL * BEAT]
            if silent or (behind and now - began > patience.total_seconds()):
                self._leave()
                time.sleep(2.5 * BEAT)  # for the others find the same, and the store may be this process's
                return silent or behind
            if not behind:
                return []
            time.sleep(min(POLL, 0.001 + 0.1 * (now - began)))

    def lost(self) -> list[int]:
        """The ranks that have not come as far as this one, or that do not report any more."""
        before = {rank: self._read(rank) for rank in self.others}
        time.sleep(2.5 * BEAT)
        now = {rank: self._read(rank) for rank in self.others}
        found = [rank for rank in self.others if now[rank].meetings < self.count or now[rank] == before[rank]]
        found = [rank for rank in found if now[rank].meetings != LEFT]
        self._leave()
        return found

    def _leave(self) -> None:
        self.count = LEFT
        self._report()

    def _read(self, rank: int) -> Report:
        name = f"rank {rank}"
        return Report(*map(int, self.store.get(name).split())) if self.store.check([name]) else Report()

    def _report(self) -> None:
        with self._reporting:
            self._beats += 1
            self.store.set(f"rank {self.rank}", f"{self.count} {self._beats}")

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                self._report()
                self._ended.wait(BEAT)
        except RuntimeError:
            return  # the store has ended, and its run with it


def rendezvous(restarts: int, patience: timedelta) -> tuple[Store, int, int]:
    """The store that torchrun's processes share, this one's rank, and their number.

    The store outlives a restart, and what it holds of ranks that have ended must not be read as of new ones.
    """
    store, rank, size = next(meet("env://", timeout=patience))
    return PrefixStore(f"start {restarts}", store), rank, size
