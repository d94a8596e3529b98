"""Processes that know each other, as torchrun starts them: forked, so that each begins with what was imported."""

import json
import os
import signal
import socket
import time

from jensen.experiments.run import pulse, ranks
from jensen.experiments.run.ranks import joined

SECONDS = 60  # that a group of them may take


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def on(size, work, patience=20.0):
    """work(ranks) in `size` processes as torchrun starts them: what each returned, or its error's text."""
    port, pipes, pids = free_port(), [], []
    for rank in range(size):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            os.environ |= {
                "RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test", "TORCHELASTIC_RESTART_COUNT": "0",
            }  # fmt: skip
            ranks.PATIENCE, pulse.BEAT = ranks.timedelta(seconds=patience), 0.1
            try:
                with joined("cpu") as own:
                    result = {"ok": work(own)}
            except BaseException as error:
                result = {"error": type(error).__name__, "text": str(error)}
            os.write(write, json.dumps(result).encode())
            os._exit(0)
        os.close(write)
        pipes.append(read)
        pids.append(pid)
    return Group(pids, pipes)


class Group:
    def __init__(self, pids, pipes):
        self.pids, self.pipes = pids, pipes

    def kill(self, rank, signum=signal.SIGKILL):
        os.kill(self.pids[rank], signum)

    def results(self, lost=None):
        """By rank; None for one that was killed, as `lost` is once the others have ended."""
        limit, found = time.monotonic() + SECONDS, {}
        for rank in sorted(range(len(self.pids)), key=lambda rank: rank == lost):
            if rank == lost:
                self.kill(rank)
            while os.waitpid(self.pids[rank], os.WNOHANG) == (0, 0):
                if time.monotonic() > limit:
                    for other in self.pids:
                        os.kill(other, signal.SIGKILL)
                    raise AssertionError(f"rank {rank} has not ended")
                time.sleep(0.01)
            text = os.read(self.pipes[rank], 2**16)
            os.close(self.pipes[rank])
            found[rank] = json.loads(text) if text else None
        return [found[rank] for rank in range(len(self.pids))]
