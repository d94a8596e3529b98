"""What the service costs beside inference, and its throughput beside a FastAPI handler that calls the decoder itself.

    python -m tests.bench.service

The decoder is 20-400-800-784 (tanh, sigmoid; 957,184 parameters), a request one row, the clients 32 connections in a
process of their own. Server CPU is that of the server's process, less that of the decoder's calls; where processes
compute, it is the front's alone, all of it. FastAPI is in no extra of this project: `pip install fastapi`, or its line
is left out.
"""

import asyncio
import io
import json
import multiprocessing
import socket
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson
import safetensors.torch
import torch
import uvicorn
import uvloop
from torch import Tensor

from jensen.core import keys
from jensen.core.models.latent import vae
from jensen.core.nn import mlp
from jensen.core.trees import Params
from jensen.experiments.deployment import Argument, Function, Signature, writing
from jensen.experiments.deployment.functions import Functions, Rows
from jensen.experiments.deployment.writing import Forms
from jensen.experiments.service.application import Service
from jensen.experiments.service.bodies import BINARY, JSON
from jensen.experiments.service.engines.processes import Processes
from jensen.experiments.service.engines.threads import Threads
from jensen.experiments.service.models import Models, Version
from jensen.experiments.service.observed import Log, Metrics
from jensen.experiments.service.server import Server
from jensen.experiments.service.settings import Limits
from tests.bench.deployment import HIDDEN, LATENT, PIXELS, in_torch

CLIENTS, SECONDS, WARM, ROUNDS = 32, 3.0, 1.0, 3
Z = keys.normal(keys.key(3), (1, LATENT)).contiguous()
BODIES = {JSON: orjson.dumps({"z": Z.tolist()}), BINARY: safetensors.torch.save({"z": Z})}
GIVEN, OUTPUT = (Argument("z", "float32", (LATENT,), "a latent"),), ("mean", "in [0, 1]")
PATH = "/v1/model/decode"


class Timed:
    """The decoder, and the CPU seconds of its calls."""

    def __init__(self) -> None:
        model = vae.mlp(PIXELS, HIDDEN[::-1], LATENT)
        params: Params = model.init(keys.key(0), keys.uniform(keys.key(1), (2, PIXELS)).round())
        self.params: Params = params["decoder"]
        self._module, self.seconds = in_torch(self.params), 0.0

    @torch.no_grad()
    def __call__(self, z: Tensor) -> Tensor:
        begun = time.thread_time()
        found = self._module(z)
        self.seconds += time.thread_time() - begun
        return found


def ours(decoder: Timed, batch: int) -> uvicorn.Server:
    """The service with batches of as many rows."""
    return serving(decoder, Limits(batch=batch, wait=0.1))


def serving(decode: Callable[[Tensor], Tensor], limits: Limits) -> uvicorn.Server:
    """The service of one function."""
    signature = Signature("the mean of data", GIVEN, (Argument(OUTPUT[0], "float32", (PIXELS,), OUTPUT[1]),), "")
    metrics = Metrics()
    functions = {"decode": Function("decode", signature, "program", decode)}
    models = Models(engine := Threads(limits.width), limits, metrics)
    models.put(models.made(Version("model"), Path(), engine.hold("0" * 64, functions)))
    return Server(Service(models, limits, metrics, Log(io.StringIO())), "127.0.0.1", 0, 1)


def apart(decoder: Timed, batch: int, workers: int) -> uvicorn.Server:
    """The service with processes that compute; these load an export."""
    limits, metrics = Limits(batch=batch, wait=0.1), Metrics()
    models = Models(engine := Processes(limits.width, workers), limits, metrics)

    class Apart(Server):
        async def serve(self, sockets: Any = None) -> None:
            with self.answering_signals():
                await super().serve(sockets)

        async def startup(self, sockets: Any = None) -> None:
            with tempfile.TemporaryDirectory() as place:
                await models.load({Version("model"): exported(decoder.params, Path(place))})
            await super().startup(sockets)

        async def shutdown(self, sockets: Any = None) -> None:
            await super().shutdown(sockets)
            models.close()
            await engine.close()

    return Apart(Service(models, limits, metrics, Log(io.StringIO())), "127.0.0.1", 0, 1)


def exported(params: Params, place: Path) -> Path:
    """An export of the decoder."""
    rows = Rows("the mean of data", lambda tree, z: torch.sigmoid(mlp.apply(tree, z, torch.tanh)), GIVEN, (OUTPUT,))
    (place / "config.json").write_text("{}")
    writing.write(
        place, "decoder", Functions(params, {"decode": rows}, {}), place / "export", Forms(False, False, False)
    )
    return place / "export"


def theirs(decoder: Timed) -> uvicorn.Server:
    """FastAPI's handler, a call for each request."""
    from fastapi import FastAPI, Request, Response

    app = FastAPI()

    async def decode(request: Request) -> Response:
        z = safetensors.torch.load(await request.body())["z"]
        return Response(safetensors.torch.save({"mean": decoder(z)}), media_type=BINARY)

    app.add_api_route(PATH, decode, methods=["POST"])
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))


def serve(build: Callable[..., uvicorn.Server], args: tuple[Any, ...], pipe: Connection) -> None:
    """In a process of its own: its port, and at each word the CPU seconds of it and of the decoder."""
    torch.set_num_threads(1)
    decoder = Timed()
    listening = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        pipe.recv()
        pipe.send((time.process_time(), decoder.seconds))

    async def run() -> None:
        asyncio.get_running_loop().add_reader(pipe.fileno(), answer)
        pipe.send(listening.getsockname()[1])
        await build(decoder, *args).serve([listening])

    uvloop.run(run())


def load(port: int, kind: str, seconds: float) -> int:
    """Replies to clients that each ask again at once."""
    content = BODIES[kind]
    head = f"POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\ncontent-length: {len(content)}\r\n\r\n"

    async def ask(end: float) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        count = 0
        while time.monotonic() < end:
            writer.write(head.encode() + content)
            reply = await reader.readuntil(b"\r\n\r\n")
            assert reply.startswith(b"HTTP/1.1 200"), reply
            await reader.readexactly(int(reply.lower().partition(b"content-length:")[2].split()[0]))
            count += 1
        writer.close()
        return count

    async def all_of_them() -> int:
        end = time.monotonic() + seconds
        return sum(await asyncio.gather(*(ask(end) for _ in range(CLIENTS))))

    return uvloop.run(all_of_them())


def measured(build: Callable[..., uvicorn.Server], args: tuple[Any, ...], kind: str) -> dict[str, float]:
    """Requests a second, and milliseconds of the server's CPU for each: in all, and beyond the decoder."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=serve, args=(build, args, there), daemon=True)
    process.start()
    port = here.recv()
    load(port, kind, WARM)
    found = []
    for _ in range(ROUNDS):
        marks, begun = [_mark(here)], time.monotonic()
        count = load(port, kind, SECONDS)
        passed = time.monotonic() - begun
        marks.append(_mark(here))
        total, decoder = (1000 * (after - before) / count for before, after in zip(*marks, strict=True))
        found.append((count / passed, total, total - decoder))
    process.terminate()
    process.join()
    rate, total, beyond = sorted(found)[ROUNDS // 2]
    return {"requests/s": round(rate, 1), "CPU ms": round(total, 3), "beyond the decoder, ms": round(beyond, 3)}


def _mark(pipe: Connection) -> tuple[float, float]:
    pipe.send("now")
    return pipe.recv()


def main() -> None:
    """A line of JSON for each server and type of body."""
    cases: list[tuple[str, Callable[..., uvicorn.Server], tuple[Any, ...], str]] = [
        ("ours, batches of 32", ours, (32,), BINARY),
        ("ours, batches of 32", ours, (32,), JSON),
        ("ours, batches of 10", ours, (10,), BINARY),
        ("ours, batches of 16 in 2 processes", apart, (16, 2), BINARY),
    ]
    if find_spec("fastapi"):
        cases.append(("FastAPI, the decoder for each", theirs, (), BINARY))
    for name, build, args, kind in cases:
        print(json.dumps({"server": name, "body": kind, **measured(build, args, kind)}), flush=True)


if __name__ == "__main__":
    main()
