import hashlib
import shutil

import numpy as np
import pytest

from jensen.experiments.report import inference, written
from jensen.experiments.run import session
from tests.experiments.process import FAST, run


def sketch(figure):
    """A stand-in for a figure's file: the same for figures that show the same."""
    shown = hashlib.sha256()
    for axis in figure.axes:
        for drawn in (*(line.get_xydata() for line in axis.lines), *(image.get_array() for image in axis.images)):
            shown.update(np.asarray(drawn, float).tobytes())
    return shown.digest()


@pytest.fixture(scope="session", autouse=True)
def sketches():
    """Commands leave sketches of figures, for drawing takes most of a short run."""
    with pytest.MonkeyPatch.context() as patch:
        for place in (session, written):
            patch.setattr(place, "png", sketch)
        yield


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
def quick_fits(monkeypatch):
    """Fits of q to single images are short: what they are worth is another test's."""
    for name in ("OWN", "FLOW"):
        monkeypatch.setattr(inference, name, inference.Fit(2, 0.01))


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
