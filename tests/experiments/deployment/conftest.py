import shutil

import pytest

from jensen.experiments import export
from jensen.experiments.deployment import load
from jensen.experiments.programs.finished import read_run


@pytest.fixture(scope="session")
def done(whole):
    """The finished run that is exported: a VAE of binary pixels."""
    return read_run(whole[0])


@pytest.fixture(scope="session")
def written(whole, tmp_path_factory):
    """Its programs, in a folder that no test changes."""
    folder = tmp_path_factory.mktemp("exports") / "programs"
    export.main([str(whole[0]), "--out", str(folder), "--k", "8", "--no-aot", "--no-onnx"])
    return folder


@pytest.fixture(scope="session")
def exported(written):
    return load(written)


@pytest.fixture
def copied(written, tmp_path):
    """A copy, to be damaged."""
    return shutil.copytree(written, tmp_path / "export")


@pytest.fixture(scope="session")
def compiled(whole, tmp_path_factory):
    """A compiled package with noise inside, and the C library."""
    folder = tmp_path_factory.mktemp("exports") / "compiled"
    export.main([str(whole[0]), "--out", str(folder), "--only", "sample", "--no-onnx", "--c-library"])
    return folder
