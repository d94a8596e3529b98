"""python -m tests.bench.gpu [--small]: `make gpu-bench`, which needs no test framework.

Two training steps first, then the kernels, the sizes from which they pay, and other races. Rows are kept as they are
found, and what fails is reported. It starts nothing new after `--seconds`, and says what was left out.
"""

import argparse
import re
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch

from tests.bench import evidence, gradients, iwae, kernels, record, sizes, steps
from tests.bench.race import Race, Row, measure

RACES = (iwae.step, steps.vae_step, steps.elbo, gradients.paths, gradients.scores, evidence.five_thousand)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="the kernels at sizes that show that everything runs")
    parser.add_argument("--only", default="", help="those alone whose name has this pattern")
    parser.add_argument("--seconds", type=float, default=200, help="after which nothing new is started")
    parser.add_argument("--results", type=Path, default=record.ON_GPU, help="the table that rows are added to")
    parser.add_argument("--commit", help="what rows say of it, where there is no repository")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    about = record.about(device) | ({"commit": options.commit} if options.commit else {})
    end, left = time.monotonic() + options.seconds, []
    for name, each in benches(device, options.small):
        if not re.search(options.only, name):
            continue
        if time.monotonic() > end:
            left.append(name)
            continue
        torch.compiler.reset()  # the compiler allows one function, a gradient's wrapper, few closures
        try:
            rows = list(each())
        except Exception as error:  # one that cannot be measured is no reason to lose the others
            print(f"\n{name}: {type(error).__name__}: {str(error)[:500]}", flush=True)
            continue
        record.tables(rows)
        if not options.small:
            record.keep(rows, about, options.results)
    print(f"\n{record.shown_where(about)}")
    print(f"left out, for {options.seconds:.0f} s had passed: {'; '.join(left)}" if left else "")


def benches(device: str, small: bool) -> Iterable[tuple[str, Callable[[], Iterable[Row]]]]:
    """Each by its name, and what gives its rows."""
    if not small:
        for build in RACES[:2]:
            yield build.__name__, partial(timed, build, device)
    full = kernels.SMALL if small else kernels.Sizes()
    ceilings = kernels.Ceilings.measured(device, full)
    print(f"a copy moves {ceilings.copy:.0f} GB/s, a product of matrices computes {ceilings.product:.1f} TFLOP/s")
    for each in kernels.operations(device, full):
        yield each.name, partial(kernels.rows, each, ceilings)
    if not small:
        for elements in sizes.ELEMENTS:
            yield f"{elements} elements", partial(sizes.rows, device, elements)
        for build in RACES[2:]:
            yield build.__name__, partial(timed, build, device)


def timed(build: Callable[[str], Race], device: str) -> Iterable[Row]:
    race = build(device)
    return [measure(race, name) for name in race.candidates]


if __name__ == "__main__":
    main()
