"""Finished runs of language models, assessed: all of the test text, and where what is found goes."""

from collections.abc import Sequence
from pathlib import Path

from jensen.experiments.programs import KINDS, Lm
from jensen.experiments.programs.finished import read_run
from jensen.experiments.report.text import assessed
from jensen.experiments.report.written import write
from jensen.experiments.run.command import echo
from jensen.experiments.run.folder import EVALUATION, read_config
from jensen.experiments.run.ranks import Ranks
from jensen.experiments.run.replacement import check_replaceable


def are_of_text(folders: Sequence[Path]) -> bool:
    """Whether all runs are of language models. InputError for a folder that holds no run."""
    return all(isinstance(read_config(folder, tuple(KINDS.values())), Lm) for folder in folders)


def judge_text(folders: Sequence[Path], device: str | None, ranks: Ranks) -> None:
    """Each run's report, rows and figure go to its folder's evaluation/; nothing is begun before all are read."""
    runs = [read_run(folder, device) for folder in folders]
    for run in runs if ranks.first else ():
        check_replaceable(run.folder / EVALUATION)
    for run in runs:
        ranks.meet()  # the first has written, and all have read
        program, data = run.prepared.program, run.prepared.data
        found = assessed(program.model, run.params["model"], data, program.batches.length, ranks)
        if not ranks.first:
            continue
        text = "\n".join([program.title, "", *(finding.summary for finding in found)])
        target = run.folder / EVALUATION
        write(target, found, text, {finding.name: finding.rows for finding in found})
        echo(f"{text}\nreport, rows and figure in {target}\n")
