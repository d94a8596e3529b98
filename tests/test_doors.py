"""The door of each public function: what it cannot take is refused in one line, with the argument's name and the fix.

A row is one right call. Each argument is then wrong in every way of its kind: another dtype or rank, an array of NumPy,
a seed for a key, a name for a function, a number out of range. Signatures are not checked by beartype here, as they
are not for users.
"""

import re
import sys

import pytest
import torch

from jensen.core.distributions import DiagNormal
from tests.doors import (
    adversarial,
    approximations,
    bayesian,
    chains,
    coded,
    conjugate,
    densities,
    distributions,
    evidence,
    exponential,
    flows,
    foundations,
    gradients,
    laplace,
    latent,
    networks,
    objectives,
    posteriors,
    public,
    quantisers,
    sequences,
    series,
    simulators,
    supervised,
    transport,
    vaes,
)
from tests.doors.door import KEY, door
from tests.doors.faults import faults
from tests.doors.without import WITHOUT

TABLES = (
    foundations, networks, vaes, latent, supervised, series, sequences, quantisers, coded, adversarial, transport,
    densities, bayesian, conjugate, distributions, exponential, flows, posteriors, objectives, gradients, evidence,
    approximations, chains, laplace, simulators,
)  # fmt: skip
ROWS = {name: row for table in TABLES for name, row in table.ROWS.items()}


@pytest.mark.parametrize("row", ROWS)
def test_what_does_not_fit_is_refused_in_one_line(row):
    ROWS[row].call()
    found = faults(ROWS[row])
    assert not found, "\n".join(found)


@pytest.mark.parametrize("row", [name for name, door in ROWS.items() if door.numpy_integers()])
def test_whole_numbers_of_numpy_are_taken(row):
    ROWS[row].call(**ROWS[row].numpy_integers())


def test_every_public_function_has_a_door():
    doors = {".".join(re.split(r"[. ]", row)[:2]) for row in ROWS}
    missing = [name for name in public.names() if name not in doors and name not in WITHOUT]
    assert not missing
    assert not [name for name in WITHOUT if name in doors or name not in public.names()]


def test_no_import_hook_checks_signatures_here():
    assert not [finder for finder in sys.meta_path if "jaxtyping" in type(finder).__module__]


@pytest.mark.parametrize(
    "unchecked",
    [
        door(lambda log_w: log_w.mean(0), log_w=torch.zeros(3, 2)),
        door(lambda key: key, key=KEY),
        door(lambda s: s, s=3),
        door(lambda rate: rate * 2, rate=0.5),
        door(lambda f: f(3), f=str),
        door(lambda side: {"left": 0}[side], side="left"),
        door(lambda q: q.mean(), q=DiagNormal(torch.zeros(2, 3), torch.zeros(2, 3))),
        door(lambda x: torch.nn.functional.linear(x, torch.zeros(2, 3)), x=torch.zeros(5, 3)),
    ],
)
def test_a_missing_check_is_seen(unchecked):
    unchecked.call()
    assert len(faults(unchecked)) == len(list(unchecked.wrong()))
