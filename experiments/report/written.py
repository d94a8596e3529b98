"""Findings as a folder: a text, rows, numbers, and a figure per finding that has one."""

from collections.abc import Sequence
from pathlib import Path

from jensen.experiments.report.drawing import png
from jensen.experiments.run import files
from jensen.experiments.run.files import Json
from jensen.experiments.run.program import Finding
from jensen.experiments.run.replacement import replaced


def write(folder: Path, findings: Sequence[Finding], text: str, numbers: dict[str, Json]) -> None:
    """The folder is written whole, or stays as it was. InputError where it holds files of the user's own."""
    with replaced(folder) as target:
        for finding in findings:
            if finding.figure is not None:
                files.write_atomically(target / f"{finding.name}.png", png(finding.figure))
        files.write_atomically(target / "report.txt", text.encode())
        files.write_rows(target / "rows.jsonl", [row for finding in findings for row in finding.rows])
        files.write_json(target / "report.json", numbers)
