import shutil

import pytest

from tests.experiments.process import FAST, run


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """One uninterrupted run, and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, run(*FAST, "--out", folder)


@pytest.fixture
def finished(whole, tmp_path):
    """A copy of the finished run, to be evaluated or damaged."""
    shutil.copytree(whole[0], tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def refused(capsys):
    """refused(main, *args): the one line on which a command in this process says why it exits with a code, 2."""

    def line(main, *args, code=2):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main(list(map(str, args)))
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1, lines
        assert stopped.value.code == code, lines
        assert code != 2 or lines[0].startswith("error: ")
        return lines[0]

    return line
