"""Export a finished run of experiments.train: parameters, torch.export programs, AOTInductor packages and ONNX models.

Claim    what a run has learned can be called without the code that trained it, with the same values to the rounding
Command  python -m jensen.experiments.export RUN_FOLDER
"""

import sys

from jensen.experiments.run.command import command


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--k"):
        from jensen.experiments.deployment.command_line import parse, run

        run(parse(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    main()
