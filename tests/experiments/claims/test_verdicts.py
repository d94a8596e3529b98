"""Verdicts of inference on hard posteriors are true, and the claim's table says which are not."""

import json

import pytest
import torch

from jensen.core import keys
from jensen.experiments.claims import hard_posteriors, verdicts
from jensen.experiments.claims.verdicts import Judged, Settings, distances, run, table, verdict
from jensen.experiments.inference.found import Row

CHEAP = {"chains": 16, "steps": 200, "particles": 600}
TRUSTED = (  # of which a method at least is right and says so
    "scales from 1e-6 to 1e6", "half-normal scale", "simplex, in a corner", "density with a jump",
    "sum alone identified", "gradients of NaN",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", [hard.name for hard in hard_posteriors.hard_posteriors()[1:]])
def test_nothing_wrong_has_a_good_verdict(name, tmp_path):
    rows = run(Settings(only=(name,), families=("diag", "full", "mixture(2)"), out=tmp_path, **CHEAP))
    assert not [row for row in rows if row.untrue]
    assert all(row.infers or row.error for row in rows)  # what nothing can be inferred of is refused
    assert name not in TRUSTED or any(row.right and row.reliable for row in rows)  # who doubts all is never untrue


NO_SCORE = ("density with a jump", "gradients of NaN")
SMOOTH = [hard for hard in hard_posteriors.hard_posteriors()[1:14] if hard.name not in NO_SCORE]


@pytest.mark.parametrize("hard", SMOOTH, ids=lambda hard: hard.name)
def test_exact_draws_are_of_the_density(hard):
    """By Stein's identity for z / (1 + |z|^2), which is bounded, and the score."""
    x = hard.draws(keys.key(0), 20_000)
    shapes = {name: support.shape for name, support in hard.posterior.support.items()}
    sizes = [max(1, int(torch.tensor(shape).prod())) if shape else 1 for shape in shapes.values()]
    parts = zip(shapes.items(), x.split(sizes, 1), strict=True)
    z = hard.posterior.unconstrained({name: part.reshape(-1, *shape) for (name, shape), part in parts})
    z = (z / z.std(0)).requires_grad_() * z.std(0).detach()
    value = hard.posterior(z[:, None]).sum()
    (score,) = torch.autograd.grad(value, z)
    scale = z.std(0).detach()
    u, score = z.detach() / scale, score * scale
    square = u.square().sum(1)
    found = ((u * score).sum(1) + u.shape[1]) / (1 + square) - 2 * square / (1 + square).square()
    assert found.mean().abs() < 4.5 * found.std() / len(found) ** 0.5


def test_the_table_marks_what_is_wrong_with_a_good_verdict():
    rows = [Judged("banana", "laplace", 1.0, True, 0.4, 0.1), Judged("banana", "hmc", 1.0, True, 0.1, 0.1),
            Judged("banana", "svgd", 1.0, False, 0.4, 0.5), Judged("flat", "hmc", 0.1, error="improper", infers=False),
            Judged("normal", "smc", 1.0, True, evidence_off=True)]  # fmt: skip
    assert [row.untrue for row in rows] == [True, False, False, False, True]
    assert [row.cell for row in rows] == ["wrong", "right", "wrong, doubted", "refused", "right"]
    assert table(rows).count("untrue") == 2
    assert verdict(rows).startswith("2 of 5 verdicts are untrue: laplace on banana; smc on normal")


def test_distances_are_in_standard_deviations():
    x = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    row = Row("x", 0.3, 1.5, 0.3 - 1.6449 * 1.5, 0.3 + 1.6449 * 1.5, 0.01, 1000.0)
    for heavy in (False, True):
        assert distances([row], x, heavy) == pytest.approx((0.3, 0.5), abs=0.02)


def test_rows_are_left_in_the_folder(tmp_path):
    settings = Settings(methods=("laplace",), only=("constant", "half-normal"), particles=40, samples=200, out=tmp_path)
    rows = run(settings)
    kept = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["posterior"] for row in kept] == ["half-normal scale", "constant"] == [row.posterior for row in rows]
    assert "proper" in kept[1]["error"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--only", "bananas"), "expected --only of normal, correlated"),
        (("--methods", "hcm"), "the nearest is 'hmc'"),
        (("--families", "splin"), "the nearest is 'spline'"),
        (("--chains", 1), "--chains of at least 4"),
    ],
)
def test_bad_settings_are_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(verdicts.main, *args, "--out", tmp_path / "all")
    assert not list(tmp_path.iterdir())
