"""Infer a Bayesian model's parameters: a table with its diagnostics, the evidence twice, and a verdict in words.

Command  python -m jensen.experiments.infer --model eight-schools --method advi --posterior spline
         python -m jensen.experiments.infer --model eight-schools --method all --out runs/schools
"""

import sys

from jensen.experiments.run.command import command


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--samples, --chains or --particles"):
        from jensen.experiments.inference.command_line import parse, run

        run(parse(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    main()
