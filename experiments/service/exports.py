"""Where the export of a folder is: there, inside a run's folder, or made of the run."""

from pathlib import Path

from jensen.experiments.deployment.manifest import MANIFEST

K = 64  # samples of a score


def exported(folder: Path, place: Path) -> Path:
    """The folder of an export; a run that has none is exported to `place`, as programs. InputError for any other."""
    for found in (folder, folder / "export"):
        if (found / MANIFEST).is_file():
            return found
    from jensen.experiments.deployment import kinds, writing  # with all that trains: exports are served without it
    from jensen.experiments.deployment.writing import Forms
    from jensen.experiments.programs.finished import read_run
    from jensen.experiments.run.folder import opened

    with opened(folder):
        done = read_run(folder, "cpu")
        writing.write(done.folder, done.kind, kinds.functions(done, K), place, Forms(False, False, False))
    return place
