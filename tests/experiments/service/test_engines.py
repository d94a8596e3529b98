"""Engines: the same rows wherever they are computed, several exports at once, and what cannot be loaded."""

import asyncio
import shutil
import sys

import pytest
import torch

from jensen.core import keys
from jensen.experiments.deployment import load
from jensen.experiments.run.errors import InputError
from jensen.experiments.service import messages
from jensen.experiments.service.engines import frames
from jensen.experiments.service.engines.copies import Copies
from jensen.experiments.service.engines.processes import Processes
from jensen.experiments.service.engines.threads import Threads
from tests.experiments.service.conftest import LATENT

WIDTH = 16
Z = (keys.normal(keys.key(1), (WIDTH, LATENT)),)


def on(engine, work):
    """What a coroutine function of the engine returns."""

    async def run():
        built = engine()
        await built.start()
        try:
            return await work(built)
        finally:
            await built.close()

    return asyncio.run(run())


def processes(workers=2):
    return lambda: Processes(WIDTH, workers)


@pytest.mark.parametrize("engine", [lambda: Threads(WIDTH), processes()], ids=["threads", "processes"])
def test_an_engine_computes_the_exports_own_rows(engine, exports, tmp_path):
    """Of two exports side by side, with the bits of a call here; a damaged one leaves them as they were."""
    damaged = shutil.copytree(exports[0], tmp_path / "damaged")
    (damaged / "params.safetensors").write_bytes(b"")
    own = [load(export) for export in exports]

    async def work(engine):
        loaded = await engine.load(exports)
        for functions, model in zip(own, loaded, strict=True):
            assert model.functions == {name: function.signature for name, function in functions.items()}
            (found,) = await engine.run(model, "decode", Z)
            assert torch.equal(found, functions["decode"](*Z))
        assert len({model.key for model in loaded}) == len({model.digest for model in loaded}) == 2
        with pytest.raises(InputError, match=f"{damaged}.*params.safetensors"):
            await engine.load([damaged])
        with pytest.raises(InputError, match="holds no export"):
            await engine.load([tmp_path])
        with pytest.raises(Exception, match=r"shape|size"):
            await engine.run(loaded[0], "decode", (torch.zeros(WIDTH, LATENT + 1),))
        await engine.retire(loaded[1])
        again = await asyncio.gather(*(engine.run(loaded[0], "decode", Z) for _ in range(5)))
        assert all(torch.equal(found, own[0]["decode"](*Z)) for (found,) in again)
        assert all(seat.worker for seat in engine.seats())

    on(engine, work)


def test_a_process_that_ends_as_it_loads_is_one_line(exports, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(InputError, match=f"loads {exports[0]} has ended"):
        on(processes(), lambda engine: engine.load(exports[:1]))


def test_copies_are_what_was_loaded(exports):
    copies = Copies()
    (loaded,) = copies.add(exports[:1])
    assert load(copies.folder(loaded.key)).manifest.functions == loaded.functions
    assert copies.named(f"{copies.folder(loaded.key)} is damaged") == f"{exports[0]} is damaged"
    copies.drop(loaded.key)
    assert not copies.folder(loaded.key).exists()
    copies.close()
    assert not copies.folder(loaded.key).parent.exists()


def test_messages_are_what_was_sent():
    """Of every dtype, without rows, and of a link that ends in the middle."""

    async def read(content):
        reader = asyncio.StreamReader()
        reader.feed_data(content)
        reader.feed_eof()
        return await messages.read(reader)

    rows = (*Z, torch.arange(6).reshape(3, 2).T, torch.zeros(0, 3, dtype=torch.float64))
    head, arrays = asyncio.run(read(messages.packed({"key": "1"}, frames.saved(rows))))
    assert head == {"key": "1"}
    for found, row in zip(frames.opened(arrays), rows, strict=True):
        assert found.dtype == row.dtype
        assert torch.equal(found, row)
    assert frames.opened(asyncio.run(read(messages.packed({})))[1]) == ()
    with pytest.raises(asyncio.IncompleteReadError):
        asyncio.run(read(messages.packed({}, frames.saved(rows))[:-1]))
