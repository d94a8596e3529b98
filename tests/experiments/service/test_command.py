"""The command: a run or an export in a process of its own, signals, and what it refuses."""

import json
import signal
import subprocess
import sys
import urllib.request

import pytest

from jensen.experiments import serve
from jensen.experiments.service.command_line import Settings
from tests.experiments.process import PATIENCE


def sample(port, name, body):
    address, headers = f"http://127.0.0.1:{port}/v1/{name}/sample", {"content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(address, json.dumps(body).encode(), headers)) as reply:
        return json.load(reply)


def test_the_command_serves_reloads_and_drains(exports, tmp_path):
    """Loopback, a port of the system's choice, SIGHUP reads the models again, SIGTERM ends it with code 0."""
    command = [sys.executable, "-m", "jensen.experiments.serve", f"toy={exports[0]}", "--port", "0", "--wait", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            serving = json.loads(process.stderr.readline())
            assert (serving["event"], serving["host"]) == ("serving", "127.0.0.1")
            assert sample(serving["port"], "toy", {"seed": 1})["seed"] == 1
            assert json.loads(process.stderr.readline())["status"] == 200
            process.send_signal(signal.SIGHUP)
            assert json.loads(process.stderr.readline())["event"] == "swap"
            process.send_signal(signal.SIGTERM)
            assert json.loads(process.stderr.readline())["event"] == "drain"
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


def test_bad_settings_are_one_line(refused, exports, tmp_path):
    short = tmp_path / "token"
    short.write_text("short")
    export = str(exports[0])
    for args, expected in (
        ([], "expected a folder"),
        ([tmp_path / "none"], "none"),
        ([export, export, f"{export}"], "NAME=FOLDER"),
        ([f"a/b={export}"], "NAME=FOLDER"),
        ([f"a@x={export}"], "NAME@VERSION=FOLDER"),
        ([f"a@0={export}"], "NAME@VERSION=FOLDER"),
        ([f"a@2={export}", f"a@2={export}"], "a@2"),
        ([export, "--workers", "0"], "--workers"),
        ([export, "--host", "0.0.0.0"], "--token-file"),
        ([export, "--host", "::"], "--token-file"),
        ([export, "--port", "70000"], "--port"),
        ([export, "--batch", "0"], "--batch"),
        ([export, "--rows", "1000"], "--queue"),
        ([export, "--deadline", "nan"], "--deadline"),
        ([export, "--threads", "0"], "--threads"),
        ([export, "--rate", "-1"], "--rate"),
        ([export, "--rate", "1e-300"], "--rate"),
        ([export, "--burst", "0"], "--burst"),
        ([export, "--token-file", short], "16 characters"),
        ([export, "--token-file", tmp_path / "none"], "none"),
    ):
        assert expected in refused(serve.main, *args), args


def test_a_library_that_is_not_installed_is_one_line(refused, monkeypatch):
    monkeypatch.delitem(sys.modules, "jensen.experiments.service.command_line")
    monkeypatch.delitem(sys.modules, "jensen.experiments.service.stopping")
    monkeypatch.delattr("jensen.experiments.service.stopping")
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert "uvloop is not installed: pip install 'jensen[experiments,serve]'" in refused(serve.main, "folder")


def test_the_first_model_has_a_name():
    settings = Settings(models=("one", "b=two", "b@2=two", "three/c"))
    assert list(map(str, settings.folders)) == ["model@1", "b@1", "b@2", "c@1"]


@pytest.mark.slow
def test_a_run_is_exported_and_served(whole):
    command = [sys.executable, "-m", "jensen.experiments.serve", str(whole[0]), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            port = json.loads(process.stderr.readline())["port"]
            assert len(sample(port, "model", {"seed": 1, "n": 3})["outputs"]["mean"]) == 3
        finally:
            process.terminate()
            process.wait(PATIENCE)
