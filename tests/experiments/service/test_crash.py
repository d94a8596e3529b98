"""The crash demonstration: its timeline, its exit code where something was lost or wrong, and what it refuses."""

import asyncio
import contextlib
import io
import re

import pytest

from jensen.experiments import crash
from jensen.experiments.crashes import command_line
from jensen.experiments.crashes.clients import Clients
from jensen.experiments.crashes.expected import drawing, replies
from jensen.experiments.deployment import writing
from jensen.experiments.deployment.functions import Functions
from jensen.experiments.deployment.writing import Forms
from jensen.experiments.run.errors import InputError
from tests.experiments.service.conftest import ROWS, tree


def demonstrated(*args):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        crash.main(list(map(str, args)))
    return printed.getvalue()


@pytest.mark.slow
def test_workers_are_killed_and_nothing_is_lost(exports):
    printed = demonstrated(exports[0], "--kills", "2", "--clients", "8", "--pause", "0.5")
    assert len(re.findall(r"worker \d+ killed with a batch under way", printed)) == 2
    seconds = [float(each) for each in re.findall(r"in its place after ([\d.]+) s", printed)]
    assert len(seconds) == 2
    assert max(seconds) < 5
    answered, retried = map(int, re.search(r"answered (\d+), retried (\d+) batches, refused 0", printed).groups())
    assert answered > 50
    assert retried >= 1
    assert "lost 0, wrong 0" in printed


@pytest.mark.slow
def test_without_a_folder_a_decoder_is_made():
    assert "lost 0, wrong 0" in demonstrated("--kills", "1", "--clients", "2", "--pause", "0.2")


@pytest.mark.slow
def test_a_wrong_reply_is_told_by_the_exit_code(exports, monkeypatch):
    """Of what is expected by mistake."""
    monkeypatch.setattr(command_line, "replies", lambda *of: replies(*of)[::-1])
    with pytest.raises(SystemExit) as stop:
        demonstrated(exports[0], "--kills", "1", "--clients", "2", "--pause", "0.2")
    assert stop.value.code == 1


@pytest.mark.parametrize(("expected", "became"), [(1, "wrong"), (0, "right")])
def test_a_reply_is_that_of_its_seed(plain, exports, expected, became):
    """Another model's replies are wrong; each client goes on after a connection that breaks."""
    bodies = replies(drawing(exports[expected]), 5, 2, 16)

    async def asked(port):
        clients = Clients(port, "/v1/toy/sample", 2, bodies)
        asking = asyncio.create_task(clients.ask(0))
        await asyncio.sleep(0.3)
        clients.stopping = True
        await asking
        return clients.counts

    assert set(asyncio.run(asked(plain.port))) == {became}
    assert set(asyncio.run(asked(1))) == {"lost"}


def test_bad_settings_are_one_line(refused, tmp_path, exports):
    for args, expected in (
        ([tmp_path / "none"], "none"),
        (["--kills", "0"], "--kills"),
        (["--workers", "-1"], "--workers"),
        (["--clients", "1001"], "--clients"),
        (["--pause", "nan"], "--pause"),
    ):
        assert expected in refused(crash.main, *args), args


def test_an_export_that_draws_nothing_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    only = Functions(tree(), {"decode": ROWS["decode"]}, {})
    writing.write(tmp_path, "toy", only, tmp_path / "export", Forms(False, False, False))
    with pytest.raises(InputError, match="draws nothing, but has decode"):
        drawing(tmp_path / "export")
