"""The laboratory measures what it says, on problems whose exact gradients it knows."""

import json

import pytest
import torch

from jensen.core import keys, trees
from jensen.estimators import gradients as g
from jensen.experiments import gradient_variance
from jensen.experiments.gradient_problems import digits_vae, eight_bernoullis, linear_gaussian, toy
from jensen.experiments.gradient_variance import Settings, measure, run, table
from jensen.experiments.settings import InputError

BIASED = ("straight-through", "Gumbel straight-through", "Concrete")


@pytest.fixture(scope="module")
def rows():
    settings = Settings(samples=(1, 2), reps=2000, table=2)
    return [row for problem in (linear_gaussian(1.0), toy(0.45, tuning=5)) for row in measure(problem, settings)]


def test_unbiased_estimators_are_within_their_errors(rows):
    for row in rows:
        if row["errors"] is not None and row["estimator"] not in BIASED:
            assert row["errors"] < 4.5 or row["variance"] < 1e-20, row
    assert {row["problem"] for row in rows} == {"linear Gaussian, 1 sd off", "(b - 0.45)^2"}
    assert all(row["seconds"] > 0 for row in rows)


@pytest.mark.parametrize("name", BIASED)
def test_biased_estimators_are_beyond_their_errors(name):
    """On eight units: of one, straight-through is right about a quadratic."""
    problem = eight_bernoullis(tuning=5)
    problem = problem._replace(estimators={name: problem.estimators[name]})
    of = {row["group"]: row for row in measure(problem, Settings(samples=(2,), reps=2000, table=2))}
    assert of["phi"]["errors"] > 6
    assert of["phi"]["bias"] > 0.1


def test_no_estimator_is_asked_for_what_it_cannot_do(rows):
    assert not [row for row in rows if row["k"] == 1 and row["estimator"] in ("RLOO", "DReG, IWAE", "VarGrad")]
    assert len([row for row in rows if row["estimator"] == "enumeration"]) == 1


def test_the_table_has_a_line_per_estimator(rows):
    lines = table(rows, 2).splitlines()
    assert sum(line.startswith("  DisARM") for line in lines) == 1
    assert sum("K = 2" in line for line in lines) == 2


def test_the_posterior_of_the_linear_gaussian_is_exact():
    """At distance 0 the ELBO is the evidence: its phi-gradient is 0, and the weights of all samples are one number."""
    problem = linear_gaussian(0.0)
    for slope in problem.exact["phi"].values():
        assert slope.abs().max() < 1e-12
    q, log_p = problem.build(problem.params)
    z = q.sample(q.noise(keys.key(0), 50))
    assert (log_p(z) - q.log_prob(z)).std() < 1e-12


def test_the_toy_is_the_quadratic():
    problem = toy(0.45, tuning=5)
    q, log_p = problem.build(problem.params)
    torch.testing.assert_close(g.exact(log_p, q), -torch.tensor([0.5 * 0.45**2 + 0.5 * 0.55**2], dtype=torch.float64))
    torch.testing.assert_close(problem.exact["phi"]["logits"], torch.full((1, 1), -0.25 * 0.1, dtype=torch.float64))


def test_rows_and_figures_are_left_in_the_folder(tmp_path, monkeypatch):
    problem = eight_bernoullis(tuning=5)
    few = problem._replace(estimators={name: problem.estimators[name] for name in ("REINFORCE", "enumeration")})
    monkeypatch.setattr(gradient_variance, "all_problems", lambda: [few])
    rows = run(Settings(out=tmp_path / "lab", samples=(2, 10), reps=100))
    assert [json.loads(line) for line in (tmp_path / "lab/rows.jsonl").read_text().splitlines()] == rows
    assert len(list((tmp_path / "lab").glob("*.png"))) == 1


def test_the_vae_has_two_groups_and_finite_gradients():
    problem = digits_vae(images=2, steps=2)
    gradients = problem.gradient(problem.estimators["DReG, IWAE"], 2, keys.key(0))
    assert set(gradients) == {"theta", "phi"}
    assert all(t.isfinite().all() for t in trees.leaves(gradients))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(samples=()), "at least 1"),
        (Settings(samples=(0, 10)), "at least 1"),
        (Settings(reps=3), "at least 50"),
        (Settings(budget=-5), "expected --budget of at least 1, got -5"),
        (Settings(table=7), "add it there"),
    ],
)
def test_bad_settings_are_one_clear_line(settings, message, tmp_path, refused):
    samples = ["--samples", *settings.samples] if settings.samples != Settings.samples else []
    numbers = ["--reps", settings.reps, "--budget", settings.budget, "--table", settings.table]
    assert message in refused(gradient_variance.main, *samples, *numbers, "--out", tmp_path / "lab")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another --out"):
        run(Settings(out=tmp_path / "file" / "lab"))
