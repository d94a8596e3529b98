import asyncio
import contextlib
import gc
import http.client
import io
import json
import threading

import orjson
import pytest
import safetensors.torch
import torch

from jensen.core import keys
from jensen.experiments.deployment import Argument, Signature, writing
from jensen.experiments.deployment.functions import KEY, Functions, Rows, by_row
from jensen.experiments.deployment.loading import Function
from jensen.experiments.deployment.writing import Forms
from jensen.experiments.service.application import Service
from jensen.experiments.service.bodies import BINARY, JSON
from jensen.experiments.service.engines.threads import Threads
from jensen.experiments.service.models import Models, Version
from jensen.experiments.service.observed import Log, Metrics
from jensen.experiments.service.server import Server
from jensen.experiments.service.settings import Limits
from tests.experiments.process import PATIENCE

LATENT, PIXELS = 5, 7
Z = Argument("z", "float32", (LATENT,), "a latent per row", -100, 100)
TOKEN = "a token of many letters"


def tree(seed=0):
    return {"w": keys.normal(keys.key(seed), (LATENT, PIXELS))}


def decode(tree, z):
    return torch.sigmoid(torch.tanh(z) @ tree["w"])


def sample(tree, key):
    return decode(tree, keys.normal(key, (LATENT,)))


ROWS = {
    "decode": Rows("the mean of data", decode, (Z,), (("mean", "in [0, 1]"),)),
    "sample": Rows("a draw", by_row(sample), (KEY,), (("mean", "in [0, 1]"),)),
}


def function(name, call):
    """A function of the service, of any callable of rows."""
    rows = ROWS[name]
    outputs = (Argument("mean", "float32", (PIXELS,), "in [0, 1]"),)
    return Function(name, Signature(rows.about, rows.inputs, outputs, ""), "program", call)


def held(calls):
    """A build of a service: a model of these callables, in the front's threads."""

    async def build(models):
        loaded = models.engine.hold("0" * 64, {each: function(each, call) for each, call in calls.items()})
        models.put(models.made(Version("toy"), None, loaded))

    return build


def read(*folders):
    """A build of a service: the exports in folders as versions of a model, in whatever engine."""

    async def build(models):
        await models.load({Version("toy", i): folder for i, folder in enumerate(folders, 1)})

    return build


def calls(seed=0):
    weights = tree(seed)
    return {name: lambda *given, of=rows.call: of(weights, *given) for name, rows in ROWS.items()}


def write_export(folder, seed):
    """An export of the same functions with other parameters."""
    source = folder.parent / "source"
    source.mkdir(exist_ok=True)
    (source / "config.json").write_text("{}")
    writing.write(source, "toy", Functions(tree(seed), ROWS, {}), folder, Forms(False, False, False))
    return folder


@pytest.fixture(scope="session")
def exports(tmp_path_factory):
    """Two exports that differ in their parameters."""
    place = tmp_path_factory.mktemp("exports")
    return [write_export(place / str(seed), seed) for seed in range(2)]


class Running:
    """A service in a thread: its address, its log, and requests to it."""

    def __init__(self, limits, tokens, build, engine=None):
        self.log = io.StringIO()
        self._begun = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(limits, tokens, build, engine)), daemon=True
        )
        self._thread.start()
        assert self._begun.wait(PATIENCE)

    async def _serve(self, limits, tokens, build, engine):
        metrics = Metrics()

        self.engine = Threads(limits.width) if engine is None else engine(limits)
        await self.engine.start()
        models = Models(self.engine, limits, metrics)
        await build(models)
        self.service = Service(models, limits, metrics, Log(self.log), tokens)
        self.server = Server(self.service, "127.0.0.1", 0, 5)
        self.loop = asyncio.get_running_loop()
        serving = asyncio.create_task(self.server.serve())
        while not self.server.started:
            await asyncio.sleep(0.005)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self._begun.set()
        await serving
        self.service.models.close()
        self.service.close()
        await self.engine.close()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def send(self, method, path, content=None, connection=None, **headers):
        """Status, headers and content."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(connection or self.connect()) as link:
            link.request(method, path, content, headers)
            reply = link.getresponse()
            return reply.status, dict(reply.headers), reply.read()

    def get(self, path):
        status, _, content = self.send("GET", path)
        return status, content

    def post(self, path, body, **headers):
        """Status and JSON."""
        status, _, content = self.send("POST", path, orjson.dumps(body), content_type=JSON, **headers)
        return status, json.loads(content)

    def arrays(self, path, tensors, **headers):
        """Status and content, of a binary body."""
        body = safetensors.torch.save({name: value.contiguous() for name, value in tensors.items()})
        status, _, content = self.send("POST", path, body, content_type=BINARY, **headers)
        return status, content

    @property
    def lines(self):
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def drain(self):
        with contextlib.suppress(RuntimeError):  # where it has drained
            self.loop.call_soon_threadsafe(self.server.drain)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@pytest.fixture(scope="session")
def plain():
    """A service of the functions, for requests that leave nothing behind."""
    running = Running(Limits(wait=0.002), (), held(calls()))
    yield running
    running.drain()


@pytest.fixture
def serve(caplog):
    """serve(calls={...}, tokens=(), build=None, engine=None, **limits): a service, stopped without a fault."""
    with contextlib.ExitStack() as stack:

        def started(of=None, tokens=(), build=None, engine=None, **limits):
            bounds = Limits(**{"wait": 0.002, **limits})
            running = Running(bounds, tokens, build or held(of or calls()), engine)
            stack.callback(running.drain)
            return running

        yield started
    gc.collect(1)
    assert not [each for each in caplog.records if each.name == "asyncio" and each.levelno > 20], caplog.text
