"""The claims are listed by what is in their folder, and run by name."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jensen.experiments import claims, reproduce
from jensen.experiments.claims import bounds


def test_every_script_with_a_command_is_listed_with_its_first_line(capsys):
    reproduce.main([])
    listed = capsys.readouterr().out.splitlines()
    folder = Path(claims.__path__[0])
    scripts = sorted(path.stem for path in folder.glob("*.py") if "__main__" in path.read_text())
    assert [line.split()[0] for line in listed] == scripts
    for line in listed:
        name, _, words = line.partition(" ")
        assert (ast.get_docstring(ast.parse((folder / f"{name}.py").read_text())) or "").startswith(words.strip())


def test_claims_are_listed_where_text_is_ascii():
    code = "from jensen.experiments import reproduce; reproduce.main([])"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line.split()[0].decode() for line in done.stdout.splitlines()] == list(reproduce.scripts())


def test_a_name_runs_its_claim_with_its_options(monkeypatch):
    calls = []
    monkeypatch.setattr(bounds, "main", calls.append)
    reproduce.main(["bounds", "--draws", "5"])
    assert calls == [["--draws", "5"]]


@pytest.mark.parametrize(("name", "fix"), [("bound", "did you mean bounds?"), ("zzz", "choose one of ")])
def test_an_unknown_name_is_one_clear_line(name, fix, refused):
    line = refused(reproduce.main, name)
    assert line.startswith(f"error: expected a claim's name, got {name}: {fix}")
    assert "bounds" in line
