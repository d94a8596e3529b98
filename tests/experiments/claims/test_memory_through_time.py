"""Jacobians are those of whole sequences, and paths that are cut or added are seen."""

import json

import pytest
import torch

from jensen.core import keys
from jensen.core.nn import recurrent
from jensen.experiments.claims import memory_through_time
from jensen.experiments.claims.memory_through_time import Memory, Settings, double_sum, identities, jacobians, network
from jensen.experiments.run.errors import InputError

KEY = keys.key(0)
FEW = Settings(features=3, steps=5, networks=2)
INPUTS = keys.normal(KEY, (1, 5, 3), torch.float64)[0]


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_products_of_jacobians_are_those_of_the_whole_sequence(cell):
    params, parts = network(cell, 1.0, 3, KEY), recurrent.CELLS[cell].states

    def last(state):
        given = tuple(part[None] for part in state.chunk(parts))
        return torch.cat(recurrent.apply(params, INPUTS[None], cell, given)[1], -1)[0]

    product = torch.eye(3 * parts, dtype=torch.float64)
    for step in jacobians(cell, params, INPUTS):
        product = step @ product
    torch.testing.assert_close(product, torch.func.jacrev(last)(torch.zeros(3 * parts, dtype=torch.float64)))


def test_a_tanh_networks_weight_has_its_radius():
    weight = network("rnn", 1.5, 8, KEY)["hidden"]["weight"]
    assert torch.linalg.eigvals(weight).abs().max().item() == pytest.approx(1.5)


def test_the_identities_hold_and_a_sum_without_distant_uses_does_not(monkeypatch):
    assert all(row.holds for row in identities(FEW))
    assert double_sum(FEW)[0] == pytest.approx(1, abs=1e-12)
    cut = lambda *of: [0 * step for step in jacobians(*of)]  # noqa: E731
    monkeypatch.setattr(memory_through_time, "jacobians", cut)
    assert double_sum(FEW)[0] > 1.01
    assert not identities(FEW)[0].holds


def test_what_a_step_multiplies_by_is_that_of_the_second_half():
    assert Memory("rnn", "", [9.0, 9.0, 8.0, 4.0, 2.0]).per_step == pytest.approx(0.5)


def test_the_command_leaves_rows_and_a_figure(tmp_path, capsys):
    memory_through_time.main(["--features", "3", "--steps", "5", "--networks", "2", "--out", str(tmp_path)])
    assert "all 5 figures hold" in capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["cell"] for row in rows if "cell" in row] == ["rnn"] * 3 + ["lstm"] * 3 + ["gru"] * 3
    assert (tmp_path / "memory.png").is_file()


@pytest.mark.parametrize("wrong", [{"features": 1}, {"steps": 3}, {"networks": 1}, {"seed": -1}])
def test_refusals(wrong):
    with pytest.raises(InputError, match="expected --"):
        Settings(**wrong).check()
