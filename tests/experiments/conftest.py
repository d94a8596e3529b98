import shutil

import pytest

from tests.experiments.process import FAST, start


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """One uninterrupted run, and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = start(*FAST, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture
def finished(whole, tmp_path):
    """A copy of the finished run, to be evaluated or damaged."""
    shutil.copytree(whole[0], tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def refused(monkeypatch, capsys):
    """refused(main, *args): the one line on which a command in this process tells why it exits with a code, 2."""

    def told(main, *args, code=2):
        monkeypatch.setattr("sys.argv", ["command", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1, lines
        assert stopped.value.code == code, lines
        assert code != 2 or lines[0].startswith("error: ")
        return lines[0]

    return told
