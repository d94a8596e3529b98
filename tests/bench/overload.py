"""Ten times the load that a slow model can take: what becomes of each request, and how soon a refusal comes.

    python -m tests.bench.overload --seconds 30

The model takes 0.1 s for a batch of 10 rows; requests of one row come at 1,000 a second, whether or not others have
been answered (open loop, exponential gaps), from a process of its own. A reply's time is counted from the moment at
which its request was due, so that a generator that falls behind makes it no shorter; how far it does is printed too.
"""

import argparse
import asyncio
import json
import multiprocessing
import re
import socket
import time
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any
from urllib.request import urlopen

import orjson
import torch
import uvloop
from torch import Tensor

from jensen.experiments.service.batching import Batcher
from jensen.experiments.service.settings import Limits
from tests.bench.open_loop import load
from tests.bench.service import LATENT, PATH, PIXELS, serving

BATCH, SECONDS_OF_A_BATCH, TIMES = 10, 0.1, 10
RATE = TIMES * BATCH / SECONDS_OF_A_BATCH
LIMITS = Limits(batch=BATCH, wait=0.05, queue=60, rows=60, deadline=0.6)
BODY = orjson.dumps({"z": torch.zeros(1, LATENT).tolist()})
REQUEST = b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%b" % (PATH.encode(), len(BODY), BODY)
REJECTED = ("429", "503")


def slow(z: Tensor) -> Tensor:
    time.sleep(SECONDS_OF_A_BATCH)
    return torch.zeros(len(z), PIXELS)


def serve(pipe: Connection) -> None:
    """In a process of its own: its port, and at a word the deepest that its queue has been."""
    torch.set_num_threads(1)
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    deepest, submit = [0], Batcher.submit

    def submitted(self: Batcher, *args: Any) -> Any:
        asked = submit(self, *args)
        deepest.append(max(deepest.pop(), self.rows))  # which a submission alone makes deeper
        return asked

    Batcher.submit = submitted

    def answer() -> None:
        pipe.recv()
        pipe.send(deepest[0])

    async def run() -> None:
        asyncio.get_running_loop().add_reader(pipe.fileno(), answer)
        pipe.send(listening.getsockname()[1])
        await serving(slow, LIMITS).serve([listening])

    uvloop.run(run())


def measured(seconds: float) -> dict[str, Any]:
    """Counts of the client's and of /metrics by status, the deepest queue, and milliseconds."""
    spawn = multiprocessing.get_context("spawn")
    (server, server_end), (client, client_end) = spawn.Pipe(), spawn.Pipe()
    serving = spawn.Process(target=serve, args=(server_end,), daemon=True)
    serving.start()
    server_end.close()  # so that the end of either process is the end of the wait for it
    try:
        port = server.recv()
        asked = (port, REQUEST, RATE, seconds, LIMITS.deadline + 3, client_end)
        loading = spawn.Process(target=load, args=asked, daemon=True)
        loading.start()
        client_end.close()
        sent, lags, times = client.recv()
        loading.join()
        server.send("now")
        deepest = server.recv()
        metrics = urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    finally:
        serving.terminate()
        serving.join()
    rejects = [each for status in REJECTED for each in times.get(status, [])]
    return {
        "sent": sent,
        "client": dict(sorted(Counter({status: len(each) for status, each in times.items()}).items())),
        "service": _counts(metrics),
        "deepest queue": f"{deepest} of {LIMITS.queue}",
        "rejects, ms": _quantiles(rejects),
        "answers, ms": _quantiles(times.get("200", [])),
        "the generator's lag, ms": _quantiles(lags),
    }


def _counts(metrics: str) -> dict[str, int]:
    """Replies of the function by status."""
    found = re.findall(r'^jensen_requests_total\{function="decode".*status="(\d+)".*\} (\S+)$', metrics, re.MULTILINE)
    return {status: int(float(count)) for status, count in sorted(found)}


def _quantiles(times: list[float]) -> dict[str, float]:
    ordered = sorted(times) or [float("nan")]
    return {f"p{q:g}": round(1000 * ordered[int(len(ordered) * q / 100)], 2) for q in (50, 99, 99.9)} | {
        "most": round(1000 * ordered[-1], 2)
    }


def main() -> None:
    """A line of JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=30.0)
    print(json.dumps(measured(options.parse_args().seconds)))


if __name__ == "__main__":
    main()
