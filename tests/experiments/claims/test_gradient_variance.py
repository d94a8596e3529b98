"""The laboratory measures what it says, on problems whose exact gradients it knows."""

import json
import math

import pytest
import torch

from jensen.core import bounds, keys, trees
from jensen.estimators import gradients as g
from jensen.estimators.gradients import catalogue
from jensen.experiments.claims import gradient_variance
from jensen.experiments.claims.contenders import Contender
from jensen.experiments.claims.gradient_problems import digits_vae, eight_bernoullis, linear_gaussian, toy
from jensen.experiments.claims.gradient_variance import Settings, measure, run, table
from jensen.experiments.run import files
from jensen.experiments.run.errors import InputError

BIASED = ("straight_through", "gumbel_straight_through", "concrete")
FEW = Settings(samples=(1, 2), reps=1000, table=2)


def only(problem, *names):
    return problem._replace(estimators=tuple(each for each in problem.estimators if each.name in names))


@pytest.fixture(scope="module")
def rows():
    return [row for problem in (linear_gaussian(1.0), toy(0.45, tuning=5)) for row in measure(problem, FEW)]


def test_unbiased_estimators_are_within_their_errors(rows):
    for row in rows:
        if not math.isnan(row.errors) and row.estimator not in BIASED:
            assert row.errors < 4.5 or row.variance < 1e-20, row
    assert {row.problem for row in rows} == {"linear Gaussian, 1 sd off", "(b - 0.45)^2"}
    assert all(row.seconds > 0 for row in rows)


def test_biased_estimators_are_beyond_their_errors():
    """On eight units: of one, straight-through is right about a quadratic."""
    problem = only(eight_bernoullis(tuning=1), *BIASED)
    found = [row for row in measure(problem, Settings(samples=(2,), reps=2000, table=2)) if row.group == "phi"]
    assert [row.estimator for row in found] == [each for each in catalogue.ROWS if each in BIASED]
    assert all(row.errors > 6 and row.bias > 0.1 for row in found)


def test_every_estimator_of_the_catalogue_that_fits_is_measured():
    """But for those that need options of their own, and the two halves of wake."""
    q = eight_bernoullis(tuning=1).build(eight_bernoullis(tuning=1).params)[0]
    measured = {each.estimator for each in eight_bernoullis(tuning=1).estimators if isinstance(each, Contender)}
    fits = {name for name in catalogue.ROWS if any(Contender(name, b).can(q, 10) for b in (bounds.elbo, bounds.iwae))}
    assert fits - measured == {"relax", "sum_and_sample", "wake_theta", "wake_phi"}
    assert measured <= fits
    baselines = {each.baseline for each in linear_gaussian(1.0).estimators}
    assert baselines == {None, "leave_one_out", "vimco", "optimal"}


def test_no_estimator_is_asked_for_what_it_cannot_do(rows):
    alone = {row.estimator for row in rows if row.k == 1}
    assert alone.isdisjoint({"score with leave_one_out", "vargrad", "score with optimal", "wake, IWAE"})
    assert {"pathwise", "score", "dreg, IWAE", "exact"} <= alone
    q = linear_gaussian(1.0).build(linear_gaussian(1.0).params)[0]
    assert not Contender("disarm").can(q, 10)
    assert not Contender("vargrad").can(q, 1)
    assert not Contender("stl", bounds.iwae).can(q, 10)


def test_the_table_has_a_line_per_estimator(rows):
    lines = table(rows, 2).splitlines()
    assert sum(line.startswith("  disarm ") for line in lines) == 1
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
    problem = toy(0.45, tuning=1)
    q, log_p = problem.build(problem.params)
    torch.testing.assert_close(g.exact(log_p, q), -torch.tensor([0.5 * 0.45**2 + 0.5 * 0.55**2], dtype=torch.float64))
    torch.testing.assert_close(problem.exact["phi"]["logits"], torch.full((1, 1), -0.25 * 0.1, dtype=torch.float64))


def test_rows_and_figures_are_left_in_the_folder(tmp_path, monkeypatch):
    few = only(eight_bernoullis(tuning=1), "score", "exact")
    monkeypatch.setattr(gradient_variance, "all_problems", lambda: [few])
    rows = run(Settings(out=tmp_path / "lab", samples=(2, 10), reps=100))
    assert [json.loads(line) for line in (tmp_path / "lab/rows.jsonl").read_text().splitlines()] == [
        files.finite(row._asdict()) for row in rows
    ]
    assert len(list((tmp_path / "lab").glob("*.png"))) == 1
    assert {row.variance < 1e-20 for row in rows if row.estimator == "exact"} == {True}


def test_a_figure_of_exact_gradients_alone_is_empty_and_drawn(rows):
    assert set(gradient_variance.draw([row for row in rows if row.estimator == "exact"])) == {"1--b---0-45--2"}


def test_the_vae_has_two_groups_and_finite_gradients():
    problem = digits_vae(images=2, steps=2)
    gradients = problem.gradient(Contender("dreg", bounds.iwae), 2, keys.key(0))
    assert set(gradients) == {"theta", "phi"}
    assert all(t.isfinite().all() for t in trees.leaves(gradients))
    assert all(not slope.any() for slope in trees.leaves(gradients["theta"]["encoder"]))
    assert all(not slope.any() for slope in trees.leaves(gradients["phi"]["decoder"]))


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
