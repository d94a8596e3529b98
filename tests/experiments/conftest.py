import pytest

from tests.experiments.process import FAST, start


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """One uninterrupted run, and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = start(*FAST, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout
