"""Inference on small models beside Pyro's and NumPyro's, where they are installed (the extra `peers`), from cold.

    python -m tests.bench.logistic               # time until an ELBO is near the best of a full-rank normal
    python -m tests.bench.inference schools      # effective draws a second of eight schools, not centred
    python -m tests.bench.inference particles    # a step of SVGD beside its products, its error and its memory

Seconds are of everything: compilation and the warm-up of chains.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.core.models import bayes
from jensen.core.ops import stein_direction
from jensen.estimators.diagnostics import mixing
from jensen.estimators.inference import hmc, svgd
from tests.bench import inference_peers as peers
from tests.bench.memory import peak as added
from tests.bench.race import Race, measure

KEY = keys.key(0)
CHAINS, STEPS, PEERS_STEPS = 64, 500, 1000
M, D = 5000, 50


def schools() -> None:
    """The least bulk ESS of mu, log tau and theta_raw over all seconds."""
    y, sigma = torch.tensor([[28.0, 8, -3, 7, -1, 1, 18, 12], [15, 10, 16, 11, 9, 11, 10, 18]])
    posterior = bayes.condition(bayes.eight_schools(), {"y": y, "sigma": sigma})
    begin = time.perf_counter()
    chains, _ = hmc.fit(KEY, posterior, posterior.starts(KEY, CHAINS), STEPS)
    ours = rate("jensen", chains.z, time.perf_counter() - begin)
    if find_spec("pyro"):
        for jit in (False, True):
            draws, seconds = peers.pyro_chains(y, sigma, PEERS_STEPS, STEPS, jit)
            theirs = rate("Pyro, traced" if jit else "Pyro", draws, seconds)
            print(f"{'':12} ours is {ours / theirs:.1f} times as many")


def rate(name: str, draws: Tensor, seconds: float) -> float:
    found = mixing(draws)
    ess = found.bulk_ess.min().item()
    print(
        f"{name:12} {ess:7.0f} of {draws[..., 0].numel()} draws, R-hat {found.r_hat.max().item():.3f}, {seconds:.1f} s"
    )
    print(f"{'':12} {ess / seconds:.0f} effective draws a second")
    return ess / seconds


def particles() -> None:
    """5,000 particles in 50 dimensions, of a standard normal."""
    target = DiagNormal(torch.zeros(1, D), torch.zeros(1, D))
    x = keys.normal(KEY, (M, D))
    state = svgd.init(x)

    def products() -> None:
        k = x @ x.mT
        k @ x, k @ x

    steps: dict[str, Callable[[], object]] = {"three products": products}
    for kernel in ("rbf", "imq"):
        steps[kernel] = lambda kernel=kernel: svgd.update(state, target.log_prob, kernel=kernel)
    race = Race("a step of SVGD", "three products", steps, rounds=7, calls=1, warm=1)
    for name in steps:
        row = measure(race, name)
        print(f"{name:16} {row['median']:7.1f} ms, {row['ratio']:.2f} of the products")
    away = 100 + x[:1000]
    for kernel in ("rbf", "imq"):
        exact = stein_direction(away.double(), 100 - away.double(), kernel=kernel)
        error = (stein_direction(away, 100 - away, kernel=kernel) - exact).abs().max() / exact.abs().max()
        print(f"{kernel:16} float32 error at 100 ± 1: {error.item():.1e} of the largest direction")
    for m in (M, 2 * M, 4 * M):
        print(f"{m:16,} particles: {peak(m):.0f} MiB more at the peak of a step")


def peak(m: int) -> float:
    """In a process of its own, after a step of few particles."""
    call = [sys.executable, "-m", "tests.bench.inference", "memory", "--particles", str(m)]
    return float(subprocess.run(call, capture_output=True, text=True, check=True).stdout)


def memory(m: int) -> None:
    """Prints by how many MiB the peak of resident memory rises in a step."""
    target = DiagNormal(torch.zeros(1, D), torch.zeros(1, D))
    svgd.update(svgd.init(keys.normal(KEY, (100, D))), target.log_prob)
    state = svgd.init(keys.normal(KEY, (m, D)))
    print(added(lambda: svgd.update(state, target.log_prob)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("race", choices=("schools", "particles", "memory"))
    parser.add_argument("--particles", type=int, default=M, help="of `memory`, which prints MiB")
    given = parser.parse_args()
    if given.race == "memory":
        memory(given.particles)
    else:
        {"schools": schools, "particles": particles}[given.race]()
