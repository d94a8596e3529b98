"""Compute a finished run's function for thousands of rows by workers that may die: each result once, none lost.

Claim    a job's result is stored before the job is done with, and has the same bytes however often it is computed
Command  python -m jensen.experiments.work put QUEUE FOLDER FUNCTION --from FILE, then `run QUEUE FOLDER`
"""

import sys

from jensen.experiments.run.command import command, installed


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again to go on", "--batch"):
        with installed("queue"):
            from jensen.experiments.jobs.command_line import parse, run
        run(parse(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    main()
