"""python -m tests.bench.record FILE: prints a --benchmark-json file as tables, and appends its rows to results.csv."""

import argparse
import configparser
import csv
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from itertools import groupby
from pathlib import Path

import torch

from tests.bench.race import Row

ROOT = Path(__file__).parents[2]
RESULTS, ON_GPU = (Path(__file__).parent / name for name in ("results.csv", "gpu.csv"))
MACHINE = ("device", "cpu", "threads", "torch", "triton", "python")  # rows with the same can be compared
COLUMNS = (
    *("group", "name", "unit", "median", "iqr", "rounds", "ratio", "ratio_iqr"),
    *(*MACHINE, "jensen", "commit", "date", "load"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    runs = json.loads(parser.parse_args().file.read_text())["benchmarks"]
    record([row for run in runs for row in run["extra_info"]["rows"]], "cpu")


def record(rows: list[Row], device: str, results: Path = RESULTS) -> None:
    """Prints rows and keeps them, each with the machine, the versions and the commit."""
    where = about(device)
    tables(rows)
    print(f"\n{shown_where(where)}")
    keep(rows, where, results)


def keep(rows: list[Row], where: Row, results: Path) -> None:
    """Appends rows, each with the machine, the versions and the commit."""
    new = not results.exists()
    with results.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        for row in rows:
            writer.writerow({name: shown(value) for name, value in {**row, **where}.items()})


def shown_where(where: Row) -> str:
    return ", ".join(f"{name} {where[name]}" for name in (*MACHINE, "commit", "load"))


def tables(rows: list[Row]) -> None:
    """One table per group: medians, and ratios to the baseline's with their interquartile ranges."""
    for group, members in groupby(rows, lambda row: row["group"]):
        print(f"\n{group}")
        for row in members:
            spread = f" ± {row['ratio_iqr']:.2f}" if row["ratio_iqr"] else ""
            print(f"  {row['name']:<44}{row['median']:10.3f} {row['unit']:<8}{row['ratio']:9.2f} x{spread}")


def shown(value: str | int | float) -> str | int:
    return f"{value:.4g}" if isinstance(value, float) else value


def about(device: str) -> Row:
    """The device, the versions, the commit and the load."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    dirty = git("status", "--porcelain", "core", "kernels", "estimators", "experiments")
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "cpu": cpu(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "triton": version("triton"),
        "python": platform.python_version(),
        "jensen": setup["metadata"]["version"],
        "commit": git("rev-parse", "--short=10", "HEAD") + ("+" if dirty else ""),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "load": round(os.getloadavg()[0], 1),
    }


def cpu() -> str:
    """The processor's model and its widest vectors, which decide what matrix products cost."""
    try:
        lines = dict(line.split("\t: ", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if "\t: " in line)
    except OSError:
        return platform.processor() or platform.machine()
    name = lines.get("model name", platform.machine())
    return f"{name} {torch.backends.cpu.get_cpu_capability()}"


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def git(*arguments: str) -> str:
    """What git prints; nothing where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


if __name__ == "__main__":
    main()
