"""A program's gradient is the sum of its batch's parts', or it says that data of a batch meet in it."""

import pytest
import torch

from jensen.core import keys, trees
from jensen.experiments.programs import KINDS
from jensen.experiments.programs.command_line import parse
from jensen.experiments.run.loop import fit
from jensen.experiments.run.program import Coupled
from jensen.experiments.run.ranks import Ranks
from jensen.experiments.run.settings import Run
from jensen.experiments.run.step import accumulated, gradient
from tests.experiments.run.toys import Regression, folder, points

OF_RUNS = {"prior", "ldm"}  # which need another run's folder
LATE = 1000  # the step of the schedules, where every term counts
CASES = [
    *sorted(KINDS.keys() - OF_RUNS),
    "vae --objective beta-tc(6)", "vae --objective free-bits(0.5)", "vae --objective free-bits-per-datum(0.5)",
    "vae --objective geco(-20)", "vae --inner-steps 2 --bound iwae --k 3", "sbn --baseline nvil",
    "gan --smooth spectral", "vq --quantiser residual-vq(32,2)", "vq --quantiser lfq(8)",
    "vq --quantiser gumbel-vq(32)", "vq --network two-maps --channels 4 --above 4 --quantiser vq(16)",
]  # fmt: skip


def differences(a, b):
    pairs = zip(trees.leaves(a), trees.leaves(b), strict=True)
    return max(
        ((x - y).abs().max() / (1 + x.abs().max())).item() for x, y in pairs if x.is_floating_point() and x.numel()
    )


@pytest.mark.parametrize("case", CASES)
def test_parts_of_a_batch_add_up_or_the_program_is_coupled(case):
    settings = parse([*case.split(), *["--dtype", "float64", "--no-compile", "--batch", "8"]])[1]
    prepared = settings.prepare()
    program = prepared.program
    init_key, data_key, step_key = keys.split(keys.key(0), 3)
    params, state = program.init(init_key, prepared.train)
    weights = {name: torch.tensor(schedule(LATE)) for name, schedule in program.schedules.items()}
    batch = program.batch(prepared.train, data_key, 0)
    apart = 0.0
    for turn in dict.fromkeys(program.turns):
        start = (params, state, batch, step_key, torch.tensor(0), weights)
        whole = gradient(turn, None)(*start)
        parts = accumulated(turn, None, 3, Ranks(), lambda f: f)(*start)
        apart = max(apart, differences(whole[:2], parts[:2]))
    coupled = isinstance(program, Coupled) and program.coupling is not None
    assert (apart > 1e-6) == coupled, apart
    assert coupled or apart < 1e-9


def test_a_coupled_program_is_refused_in_parts(tmp_path):
    class Together(Regression):
        coupling = "points are compared"

    data, run = points(), Run(steps=4, batch=10, compile=False, accumulate=2)
    with pytest.raises(ValueError, match="points are compared, and parts of a batch do not add up to that"):
        fit(Together(), run, data, data, folder(tmp_path, run))
