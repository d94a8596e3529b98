"""Draw from a finished run of experiments.train: images or points to a picture, or text to the terminal.

Claim    what a model has learned is seen in what it draws, and one seed draws the same again
Command  python -m jensen.experiments.sample RUN_FOLDER
"""

import sys

from jensen.experiments.run.command import command


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--n or --length"):
        from jensen.experiments.report.sampling import parse, run

        run(parse(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    main()
