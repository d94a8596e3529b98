"""python -m tests.bench.gpu [--small]: `make gpu-bench`, which needs no test framework.

The kernels first, then the training steps. It starts nothing new after `--seconds`, and says what was left out.
"""

import argparse
import time
from collections.abc import Callable

import torch

from tests.bench import evidence, gradients, iwae, kernels, record, steps
from tests.bench.race import Race, Row, measure

RACES = (iwae.step, gradients.paths, gradients.scores, steps.vae_step, steps.elbo, evidence.five_thousand)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="the kernels at sizes that show that everything runs")
    parser.add_argument("--seconds", type=float, default=200, help="after which nothing new is started")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sizes = kernels.SMALL if options.small else kernels.Sizes()
    copy = kernels.copied(device, sizes)
    print(f"a copy moves {copy:.0f} GB/s")
    work = [lambda each=each: kernels.rows(each, copy) for each in kernels.operations(device, sizes)]
    if not options.small:
        work += [lambda build=build: timed(build(device)) for build in RACES]
    rows, left = within(options.seconds, work)
    if options.small:
        record.tables(rows)
    else:
        record.record(rows, device)
    print(f"{left} of {len(work)} benches left out: {options.seconds:.0f} s had passed" if left else "")


def within(seconds: float, work: list[Callable[[], list[Row]]]) -> tuple[list[Row], int]:
    """The rows of what was started in time, and how much was not."""
    rows, end = [], time.monotonic() + seconds
    for done, each in enumerate(work):
        if time.monotonic() > end:
            return rows, len(work) - done
        torch.compiler.reset()  # the compiler allows one function, a gradient's wrapper, few closures
        rows += each()
    return rows, 0


def timed(race: Race) -> list[Row]:
    return [measure(race, name) for name in race.candidates]


if __name__ == "__main__":
    main()
