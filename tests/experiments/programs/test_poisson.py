"""The Poisson VAE as a program: the laws of programs on each path, paths that agree, and its command."""

import json

import pytest
import torch

from jensen import laws
from jensen.core import keys
from jensen.core.models.latent import likelihoods, poisson
from jensen.experiments import evaluate, train
from jensen.experiments.data import images
from jensen.experiments.data.batches import Epochs
from jensen.experiments.programs.counting import CountProgram
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.run.optimisers import Optimiser
from jensen.laws import mean_is_exact
from tests.experiments.process import run

KEY = keys.key(3)
X = keys.normal(KEY, (12, 6), torch.float64)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Patches enough for their covariance."""
    monkeypatch.setattr(images, "PATCHES", 400)
    monkeypatch.setattr(images, "TEST_PATCHES", 30)


def program(path, temperature=0.1, **estimation):
    model = poisson.build(6, 3, likelihood=likelihoods.GAUSSIAN)
    how = Estimation(**estimation)
    return CountProgram(model, how, "score", False, Epochs(12, 4), Optimiser(), 6, 5, False, "", path, 20, temperature)


@pytest.mark.parametrize("path", ["exact", "relaxed", "score"])
def test_it_keeps_the_laws_of_programs(path):
    laws.check(program(path, k=2, objective="beta(2)"), example=X.float())


@pytest.mark.parametrize("path", ["relaxed", "score"])
def test_the_sampled_loss_has_the_mean_of_the_exact_one(path):
    """Relaxed counts at a temperature at which they are whole, but for one in a thousand."""
    exact, sampled = program("exact"), program(path, 1e-4)
    params, state = exact.init(KEY, X)
    batch = {"datum": torch.arange(4), "data": X[:4]}
    expected = exact.loss(params, state, batch, KEY, {}).terms

    def draw(key, s):
        again = {"datum": torch.arange(4 * s), "data": X[:4].repeat(s, 1)}
        return sampled.loss(params, state, again, key, {}).terms["objective"].reshape(s, 4)

    mean_is_exact(draw, expected["objective"], KEY)
    torch.testing.assert_close(sampled.loss(params, state, batch, KEY, {}).terms["kl"], expected["kl"])


SHORT = ["--no-compile", "--batch", 50, "--latent", 5, "--evidence-k", 2, "--checkpoint-every", 3]


def test_the_command_trains_resumes_and_is_evaluated(tmp_path):
    folder = tmp_path / "run"
    printed = run("poisson", *SHORT, "--steps", 4, "--out", folder)
    assert "poisson on patches: 30 test images of 144 white pixels, gaussian likelihood" in printed
    assert "gradients of the exact ELBO\n" in printed
    assert "rates below 0.1" in printed
    assert {path.stem for path in (folder / "figures").iterdir()} == {"training", "reconstructions", "dictionary"}
    (row,) = json.loads((folder / "report.json").read_text())["findings"]["sparsity"]
    assert 0 <= row["share_below"] <= 1
    assert "144 white pixels, gaussian likelihood, linear encoder and linear decoder, 6 steps" in run(
        "--resume", folder, "--steps", 6
    )
    evaluate.main([str(folder), "--k", "1", "2", "--images", "3"])
    assert (folder / "evaluation" / "report.txt").is_file()


def test_the_score_is_not_compiled(refused):
    assert "--path score draws each count by 44 halvings when compiled" in refused(
        train.main, "poisson", "--path", "score"
    )


def test_digits_take_other_decoders_and_paths(tmp_path):
    options = ["--data", "digits", "--likelihood", "bernoulli", "--decoder", 4, "--path", "relaxed"]
    printed = run("poisson", *SHORT, *options, "--steps", 2, "--out", tmp_path / "run")
    assert "gradients through at most 20 arrivals, relaxed by 0.1" in printed
    assert not (tmp_path / "run" / "figures" / "dictionary.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--likelihood", "bernoulli"], "patches have pixels of any real value, and no bernoulli ones"),
        (["--decoder", 4], "--path exact is for a linear decoder under a gaussian likelihood: leave out"),
        (["--data", "digits", "--likelihood", "bernoulli"], "--path exact is for a linear decoder"),
        (["--bound", "iwae", "--k", 2], "--path exact has no --bound iwae: leave it out"),
        (["--path", "score", "--relaxation", 0.5], "--relaxation and --arrivals are for --path relaxed"),
        (["--path", "relaxed", "--relaxation", 0], "expected a positive --relaxation and --arrivals, got 0.0 and 20"),
        (["--objective", "geco(-2)"], "expected --objective elbo or beta(weight), got geco(-2)"),
        (["--latent", 0], "expected --latent of at least 1, got 0"),
        (["--pixels", "grey"], "patches are white, and --pixels grey cannot change that: leave it out"),
    ],
)
def test_what_cannot_work_is_refused_with_the_fix(options, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(train.main, "poisson", "--no-compile", *options)
    assert not list(tmp_path.iterdir())
