"""python -m tests.bench [--device cuda] [--small]: the tables of `make bench`."""

import argparse
import sys

from tests.bench import estimators, iwae, kernels, overhead, step, timing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--small", action="store_true", help="the kernels' table alone, at sizes that show it runs")
    options = parser.parse_args()
    device = options.device
    print(timing.machine(device))
    if options.small or device == "cuda":
        kernels.run(device, kernels.Small if options.small else kernels.Sizes)
    if options.small:
        return
    step.elbo(device)
    step.vae_step(device)
    iwae.step(device)
    estimators.paths(device)
    estimators.scores(device)
    if device == "cpu":
        iwae.evaluation()
        iwae.memory()
        overhead.overhead()
    sys.stdout.flush()


if __name__ == "__main__":
    main()
