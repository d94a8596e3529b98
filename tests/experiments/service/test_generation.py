"""Texts that are drawn together: the library's draws, whole characters, places that are freed, and every end."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from functools import partial

import orjson
import pytest
import torch

from jensen.core import keys
from jensen.core.models.autoregressive import sampling, transformer
from jensen.core.models.autoregressive.sampling import Choice
from jensen.experiments import sample
from jensen.experiments.data.alphabets import Bytes
from jensen.experiments.deployment import Argument, Function, Manifest, Signature, sequences, tracing
from jensen.experiments.deployment.functions import dtype_of
from jensen.experiments.deployment.manifest import DRAWING, MANIFEST, Machine, read_manifest, write_manifest
from jensen.experiments.run import files
from jensen.experiments.service.breaker import Breaker
from jensen.experiments.service.engines import LostWorkerError
from jensen.experiments.service.errors import Refused
from jensen.experiments.service.generation import Generator
from jensen.experiments.service.models import Version
from jensen.experiments.service.prompts import read
from jensen.experiments.service.settings import Limits
from tests.experiments.process import PATIENCE, run, until
from tests.experiments.service.conftest import JSON, Running

CONTEXT = 512
MODEL = transformer.build(256, features=8, layers=1, heads=2, context=CONTEXT)
PARAMS = MODEL.init(keys.key(0))
PATH, EVENTS, LINES = "/v1/toy/generate", "text/event-stream", "application/jsonl"


FUNCTIONS = sequences.functions(MODEL, {"params": {"model": PARAMS}, "state": {}}, CONTEXT, {}).only(DRAWING)


def signature(rows):
    """As an export has it."""
    found = rows.call(FUNCTIONS.tree, *tracing.example(rows.inputs, 1))
    outputs = zip(rows.outputs, found, strict=True)
    of = tuple(Argument(name, dtype_of(y), tuple(y.shape[1:]), about) for (name, about), y in outputs)
    return Signature(rows.about, rows.inputs, of, "")


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """What the front reads of an export, of a transformer over bytes that has learned nothing: no UTF-8 to speak of."""
    folder, signatures = tmp_path_factory.mktemp("texts"), {n: signature(rows) for n, rows in FUNCTIONS.rows.items()}
    write_manifest(folder, Manifest("lm", "", Machine(), signatures, {}, {}, FUNCTIONS.sequences))
    return folder


def toy(folder):
    """A build of a service: the model, in the front's threads, without a program."""

    async def build(models):
        calls = {name: partial(rows.call, FUNCTIONS.tree) for name, rows in FUNCTIONS.rows.items()}
        functions = {n: Function(n, of, "program", calls[n]) for n, of in read_manifest(folder).functions.items()}
        models.put(models.made(Version("toy"), folder, models.engine.hold(files.digest(folder / MANIFEST), functions)))

    return build


@pytest.fixture(scope="module")
def texts(export):
    running = Running(Limits(wait=0.002), (), toy(export))
    yield running
    running.drain()


def drawn(seed, tokens, prompt="", **choice):
    """The library's text."""
    known = torch.tensor([list(prompt.encode())]) if prompt else None
    x = sampling.draw(MODEL, PARAMS, keys.key(seed), 1, tokens, known, Choice(**choice))[0]
    return bytes(x.tolist()).decode(errors="replace")


def streamed(texts, body, accept):
    """Status, the parts' text, the last line, and every byte."""
    status, headers, content = texts.send("POST", PATH, orjson.dumps(body), content_type=JSON, accept=accept)
    assert headers["content-type"] == accept
    lines = content.decode().split("\n\n" if accept == EVENTS else "\n")
    *parts, last = [json.loads(line.removeprefix("data: ")) for line in lines if line]
    return status, "".join(part["text"] for part in parts), last, content


@pytest.mark.parametrize(
    ("prompt", "choice"),
    [("", {}), ("a prompt", {}), ("né", {"temperature": 0.5, "top_k": 9}), ("x", {"nucleus": 0.3, "min_p": 0.9}),
     ("y", {"temperature": 0})],
)  # fmt: skip
def test_a_text_is_what_the_library_draws(prompt, choice, texts):
    status, reply = texts.post(PATH, {"prompt": prompt, "tokens": 40, "seed": 3, **choice})
    assert (status, reply["reason"], reply["symbols"], reply["seed"]) == (200, "length", 40, 3)
    assert reply["text"] == drawn(3, 40, prompt, **choice)


@pytest.mark.parametrize("accept", [EVENTS, LINES])
def test_a_stream_is_the_text_in_whole_characters(accept, texts):
    status, text, last, _ = streamed(texts, {"prompt": "é", "tokens": 60, "seed": 5}, accept)
    assert (status, text) == (200, drawn(5, 60, "é"))
    assert {"reason": "length", "symbols": 60, "seed": 5}.items() <= last.items()
    assert last["digest"]


def test_one_seed_has_the_same_bytes_beside_others(texts):
    """More clients than places, at lengths of their own: each joins where another has left."""
    bodies = [{"prompt": "p" * (i % 3), "tokens": 20 + 7 * i, "seed": i} for i in range(14)]
    alone = [streamed(texts, body, LINES)[3] for body in bodies[::5]]
    found = {}

    def ask(i):
        found[i] = streamed(texts, bodies[i], LINES)[3]

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(bodies))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [found[i] for i in range(0, len(bodies), 5)] == alone


@pytest.mark.parametrize(
    ("body", "status", "field", "error"),
    [
        ({"prompt": "a" * CONTEXT}, 413, "prompt", f"expected at most {CONTEXT - 1} bytes, got {CONTEXT}"),
        ({"prompt": "a" * 500, "tokens": 13}, 400, "tokens", "expected a whole number from 1 to 12, got 13"),
        ({"tokens": 0}, 400, "tokens", "expected a whole number from 1 to 512, got 0"),
        ({"tokens": True}, 400, "tokens", "got true"),
        ({"prompt": 3}, 400, "prompt", "expected text, got 3"),
        ({"seed": -1}, 400, "seed", "got -1"),
        ({"temperature": -1}, 400, "temperature", "expected temperature of at least 0, got -1"),
        ({"temperature": "hot"}, 400, "temperature", "expected a number, got text"),
        ({"top_k": 0}, 400, "top_k", "expected top_k of at least 1, got 0"),
        ({"top_k": 1.5}, 400, "top_k", "expected a whole number, got 1.5"),
        ({"nucleus": 2}, 400, "nucleus", "expected nucleus of at most 1, got 2"),
        ({"min_p": 2**63}, 400, "min_p", "expected a number, got 9223372036854775808"),
        ({"top_p": 0.9}, 400, "top_p", "it is no setting of generation"),
        ({"prompt": ["a"]}, 400, "prompt", "expected text, got a list"),
        ({"seed": None}, 400, "seed", "got null"),
        ([], 400, "body", "it is no JSON object"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(body, status, field, error, texts):
    found, reply = texts.post(PATH, body)
    assert (found, reply["field"]) == (status, field)
    assert error in reply["error"]
    assert reply["fix"]


def test_other_types_of_bodies_and_the_functions_inside_are_refused(texts):
    assert texts.send("POST", PATH, b"{}", content_type="text/plain")[0] == 415
    assert texts.send("POST", PATH, b'{"prompt": "\\ud800"}', content_type=JSON)[0] == 400
    for name in ("step", "prefill"):
        status, reply = texts.post(f"/v1/toy/{name}", {})
        assert (status, reply["error"]) == (404, "toy has no such function, but generate")
    listed = json.loads(texts.get("/openapi.json")[1])["paths"]
    assert set(listed[PATH]["post"]["requestBody"]["content"][JSON]["schema"]["properties"]) >= {"prompt", "top_k"}


def stuck(texts):
    """Texts that have a place."""
    return [each for each in texts.service.models["toy"].generator._places if each is not None and each.wanted]


def test_a_client_that_leaves_frees_its_place(texts):
    body = orjson.dumps({"tokens": CONTEXT, "seed": 1})
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\naccept: {LINES}\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", texts.port)) as link:
        link.sendall(head.encode() + body)
        assert b"200 OK" in link.recv(1000)
    until(lambda: not stuck(texts))
    left = [line for line in texts.lines if line.get("status") == 499]
    assert left or texts.lines[-1]["status"] == 200  # where it was done before it was seen to leave


def test_a_service_that_closes_ends_streams_with_the_reason(export, serve):
    running = serve(build=toy(export))
    found = []
    asking = threading.Thread(target=lambda: found.append(streamed(running, {"tokens": CONTEXT, "seed": 1}, EVENTS)))
    asking.start()
    until = time.monotonic() + 5
    while not stuck(running) and time.monotonic() < until:
        time.sleep(0.001)
    running.drain()
    asking.join()
    ((status, text, last, _),) = found
    assert (status, last["reason"], last["error"]) == (200, "closing", "the service is closing")
    assert drawn(1, CONTEXT).startswith(text.rstrip("\ufffd"))


class Fake:
    """Functions of an export whose symbol is its position, and what they were called with."""

    def __init__(self, export, **limits):
        self.manifest = read_manifest(export)
        self.calls, self.faults, self.gate = [], [], asyncio.Event()
        self.gate.set()
        self.limits = Limits(**limits)
        signatures = self.manifest.functions
        self.generator = Generator(self.call, signatures, self.manifest.sequences, Bytes(), self.limits, Breaker(3, 60))
        self.generator.start()

    async def call(self, name, rows):
        await self.gate.wait()
        await asyncio.sleep(0)
        self.calls.append(name)
        if self.faults:
            raise self.faults.pop()
        memory = rows[-2:] if name == "step" else tuple(torch.zeros(1, *each.shape[1:]) for each in self.memory())
        return (65 + rows[1] % 26, *memory)

    def memory(self):
        return [torch.zeros(1, *each.shape) for each in self.manifest.functions["step"].inputs[-2:]]

    def ask(self, tokens, buffer=999, **body):
        prompt = read({"tokens": tokens, **body}, self.manifest.sequences, Bytes(), 99, 999)
        return self.generator.submit(prompt, buffer)


async def text(stream):
    async with asyncio.timeout(10):
        return "".join([part async for part in stream.parts()])


def asynchronous(test):
    """Runs it on a loop of its own, with a `fake(**limits)` whose tasks end with it."""

    def run(export):
        async def running():
            fakes = []

            def fake(**limits):
                fakes.append(Fake(export, **limits))
                return fakes[-1]

            try:
                await test(fake)
            finally:
                for each in fakes:
                    each.generator.close()

        asyncio.run(running())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@asynchronous
async def test_texts_share_steps_and_wait_for_places(fake):
    of = fake(batch=2, queue=3)
    streams = [of.ask(4) for _ in range(3)]
    with pytest.raises(Refused) as refused:
        of.ask(4)
    assert (refused.value.status, refused.value.retry_after) == (429, 1)
    assert [await text(each) for each in streams] == ["ABCD"] * 3
    assert len(of.calls) < 3 * 4  # as many as they would take alone


@asynchronous
async def test_a_text_that_is_left_makes_room_at_the_next_symbol(fake):
    of = fake(batch=1)
    first, second = of.ask(500), of.ask(2)
    await first.begun()
    first.end("gone")
    assert await text(second) == "AB"
    assert len(of.calls) < 20


@asynchronous
async def test_a_slow_reader_is_ended_and_holds_up_nobody(fake):
    of = fake(batch=2)
    slow, other = of.ask(500, buffer=3), of.ask(100)
    assert len(await text(other)) == 100
    assert (slow.reason, await text(slow)) == ("slow reader", "ABC")


@asynchronous
async def test_a_text_that_lasts_too_long_is_ended(fake):
    of = fake(text=0.05)
    of.gate.clear()
    stream = of.ask(500)
    await asyncio.sleep(0.1)
    of.gate.set()
    await text(stream)
    assert stream.reason == "deadline"


@asynchronous
async def test_a_lost_worker_costs_no_text_and_a_fault_ends_it(fake):
    of = fake()
    stream = of.ask(5, prompt="ab")
    await stream.begun()
    of.faults.append(LostWorkerError())
    assert await text(stream) == "CDEFG"
    for _ in range(3):
        stream = of.ask(5)
        of.faults.append(RuntimeError("no such memory"))
        await text(stream)
        assert (stream.reason, stream.error.status) == ("failed", 500)
        assert "no such memory" in stream.error.error
    with pytest.raises(Refused) as refused:
        of.ask(5)
    assert refused.value.status == 503


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run of a language model."""
    place = tmp_path_factory.mktemp("lm")
    (place / "text.txt").write_text("one two three four five six seven eight nine ten, at last. " * 20)
    small = ["--width", 8, "--layers", 1, "--context", 32, "--lr-warmup", 1, "--steps", 10, "--batch", 20]
    options = ["--no-compile", "--text", place / "text.txt", "--checkpoint-every", 10, *small]
    run("lm", *options, "--out", place / "run")
    return place / "run"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["thread", "process"])
def test_a_run_is_served_and_its_text_streamed(engine, trained, capsys):
    """What a process streams of a run is what `sample` draws of it."""
    command = [sys.executable, "-m", "jensen.experiments.serve", str(trained), "--port", "0", "--engine", engine]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            port = next(line["port"] for line in map(json.loads, process.stderr) if line["event"] == "serving")
            body = orjson.dumps({"prompt": "one", "tokens": 20, "seed": 3})
            headers = {"content-type": JSON, "accept": EVENTS}
            address = f"http://127.0.0.1:{port}/v1/model/generate"
            with urllib.request.urlopen(urllib.request.Request(address, body, headers)) as reply:
                *parts, last = [json.loads(line[6:]) for line in reply if line.strip()]
        finally:
            process.terminate()
            process.wait(PATIENCE)
    capsys.readouterr()
    sample.main([str(trained), "--prompt", "one", "--length", "20", "--seed", "3"])
    assert f"one{''.join(part['text'] for part in parts)}\n" == capsys.readouterr().out
    assert (last["reason"], last["symbols"]) == ("length", 20)
