"""Learned priors and ladders as runs have them: what the objective is, what is reported, what does not go together."""

from functools import partial

import pytest
import torch
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.models.latent import ladder, priors, vae
from jensen.experiments import evaluate, train
from jensen.experiments.programs.estimation import Estimation
from tests.experiments.process import FAST, FEW, run
from tests.experiments.programs.small import data, out, program

KEY = keys.key(6)


@pytest.mark.parametrize("estimation", [Estimation(k=3), Estimation(k=3, bound="iwae"), Estimation(kl_warmup=4)])
@pytest.mark.parametrize(
    "model",
    [
        vae.mlp(4, (3,), 2, prior=priors.MixtureOfNormals(3)),
        vae.mlp(4, (3,), 2, prior=priors.MixtureOfPosteriors(3)),
        ladder.build(4, (2, 1), (3,)),
    ],
    ids=["mixture", "vamp", "ladder"],
)
def test_the_terms_are_the_models_own_and_reach_every_parameter(model, estimation):
    made = program(estimation, model)
    params, state = made.init(KEY, data(40))
    vector, unravel = trees.ravel(params)
    params = unravel(vector + 0.2 * keys.normal(keys.key(8), (len(vector),), torch.float64))
    weights = {name: torch.tensor(f(1)) for name, f in made.schedules.items()}
    terms = out(made, params, state, weights=weights).terms
    q = model.posterior(params["model"], data())
    z = q.sample(q.noise(keys.split(KEY)[1], estimation.k))
    close = partial(torch.testing.assert_close, rtol=1e-6, atol=1e-7)
    close(terms["reconstruction"], model.likelihood(params["model"], z).log_prob(data()).mean(0))
    close(terms["kl"], (q.log_prob(z) - model.log_prior(params["model"], z)).mean(0))
    weight = 0.25 if estimation.kl_warmup else 1.0
    log_w = model.log_joint(params["model"], data(), z) - q.log_prob(z)
    expected = estimation.the_bound(log_w) if estimation.bound == "iwae" else None
    close(terms["objective"], terms["reconstruction"] - weight * terms["kl"] if expected is None else expected)
    slopes = grad(lambda params: out(made, params, state, weights=weights).loss)(params)
    for path, slope in trees.paths(slopes).items():
        assert slope.abs().max() > 0, path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("vae", *FAST, "--prior", "vamp(3)"), "bernoulli likelihood, vamp(3) prior"),
        (("hvae", *(a for a in FAST if a not in ("--latent", "2")), "--latents", "2", "1", "--direction", "top-down"),
         "layers of 2, 1 inferred from the top down"),
    ],
    ids=["vamp", "ladder"],
)  # fmt: skip
def test_runs_are_trained_and_evaluated(args, words, tmp_path, capsys, quick_fits):
    short = ["4" if i and args[i - 1] == "--steps" else a for i, a in enumerate(args)]
    assert words in run(*short, "--out", tmp_path / "run")
    capsys.readouterr()
    evaluate.main([str(tmp_path / "run"), *FEW])
    assert "annealing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("vae", "--prior", "vam"), "--prior vam: unknown prior 'vam' (the nearest is 'vamp')"),
        (("vae", "--prior", "vamp(2000)"), "--prior vamp(2000) exceeds the 1437 training data"),
        (("vae", "--prior", "vamp", "--objective", "committed(0.1)"), "commits to a KL from N(0, I)"),
        (("vae", "--prior", "vamp", "--posterior", "iaf"), "a posterior with closed forms for a mixture of them"),
        (("vae", "--prior", "mixture", "--objective", "free-bits(0.1)"), "--objective free-bits(0.1)"),
    ],
)
def test_bad_input_is_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(train.main, *args, "--out", tmp_path / "run")
    assert not list(tmp_path.iterdir())
