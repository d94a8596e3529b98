"""FactorVAE as a program: which term reaches which network, its objective, and its command."""

import dataclasses

import pytest
import torch
from torch.func import grad

from jensen import laws
from jensen.core import keys, objectives, trees
from jensen.core.models.latent import vae
from jensen.experiments import train
from jensen.experiments.programs import factorisation
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.factorisation import FactorProgram
from jensen.experiments.programs.finished import read_finished
from jensen.experiments.run.loop import Loop
from jensen.experiments.run.optimisers import Optimiser
from tests.experiments.process import FAST, run, same_files
from tests.experiments.programs.small import data, program

KEY = keys.key(6)
PLAIN = program(Estimation(k=2), vae.mlp(4, (3,), 2))
FACTOR = FactorProgram(**vars(PLAIN), beta=2.0, gamma=6.0, widths=(5,), discriminator=Optimiser(lr=1e-2))
ROUTES = {  # which networks a term reaches
    "reconstruction": {"model.encoder", "model.decoder"},
    "kl": {"model.encoder"},
    "total_correlation": {"model.encoder"},
    "objective": {"model.encoder", "model.decoder"},
    "discrimination": {"discriminator"},
}


def started():
    """Parameters away from their start, at which the discriminator's last weights are 0."""
    params, state = FACTOR.init(KEY, data(40))
    vector, unravel = trees.ravel(params)
    return unravel(vector + 0.3 * keys.normal(keys.key(8), (len(vector),), torch.float64)), state


def loss(params, state):
    return FACTOR.loss(params, state, {"datum": torch.arange(3), "data": data()}, KEY, {})


def reached(name):
    params, state = started()
    found = trees.paths(grad(lambda params: loss(params, state).terms[name].mean())(params))
    return {".".join(path.split(".")[: 1 + path.startswith("model")]) for path, t in found.items() if t.any()}


def test_each_term_reaches_the_networks_it_is_for():
    assert {name: reached(name) for name in ROUTES} == ROUTES
    params, state = started()
    whole = grad(lambda params: loss(params, state).loss)(params)
    for name, sign in (("objective", -1), ("discrimination", 1)):
        own = grad(lambda params, name=name, sign=sign: sign * loss(params, state).terms[name].mean())(params)
        group = "model" if name == "objective" else "discriminator"
        torch.testing.assert_close(whole[group], own[group])


@pytest.mark.parametrize("leak", ["samples", "discriminator"])
def test_the_routing_table_can_fail(leak, monkeypatch):
    if leak == "samples":
        monkeypatch.setattr(torch.Tensor, "detach", lambda t: t)
        assert reached("discrimination") != ROUTES["discrimination"]
    else:
        monkeypatch.setattr(factorisation.trees, "stop", lambda tree: tree)
        assert reached("total_correlation") != ROUTES["total_correlation"]


def test_its_terms_are_the_vaes_with_the_total_correlation_of_its_discriminator():
    params, state = started()
    found = loss(params, state).terms
    _, noise, order = keys.split(KEY, 3)
    q = FACTOR.model.posterior(params["model"], data())
    z = q.sample(q.noise(noise, 2))
    tc = factorisation.logits(params["discriminator"], z).mean(0)
    torch.testing.assert_close(found["total_correlation"], tc)
    torch.testing.assert_close(found["objective"], found["reconstruction"] - 2 * (found["kl"] + 6 * tc))
    of_product = factorisation.logits(params["discriminator"], objectives.permuted(order, z))
    told = objectives.discrimination(factorisation.logits(params["discriminator"], z), of_product)
    torch.testing.assert_close(found["discrimination"], told)
    fresh, state = FACTOR.init(KEY, data(40))
    assert not loss(fresh, state).terms["total_correlation"].any()


def test_it_keeps_the_laws_of_programs():
    laws.check(dataclasses.replace(FACTOR, dynamic=True), example=data(40).float())


def test_a_run_that_goes_on_has_the_bits_of_one_that_was_not_stopped(tmp_path, monkeypatch):
    """Two optimisers: stopped after the checkpoint at step 2 of 4; what is left is the model's alone."""
    small = ["factor", *FAST, "--discriminator", "4"]
    for option, value in {"--steps": "4", "--checkpoint-every": "2", "--log-every": "1"}.items():
        small[small.index(option) + 1] = value
    run(*small, "--out", tmp_path / "whole")
    original = Loop.step

    def stop(self):
        if self.progress.step == 3:
            raise KeyError
        original(self)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "step", stop)
        with pytest.raises(KeyError):
            run(*small, "--out", tmp_path / "run")
    assert "bernoulli likelihood, gamma 6" in run("--resume", tmp_path / "run")
    same_files(tmp_path / "whole", tmp_path / "run")
    assert sorted(read_finished(tmp_path / "run").params) == ["decoder", "encoder", "likelihood", "posterior", "prior"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--gamma", -1), "expected a non-negative --gamma, got -1.0"),
        (("--beta", "inf"), "expected a non-negative --beta, got inf"),
        (("--discriminator", 0), "expected --discriminator of at least 1, got 0"),
        (("--discriminator-lr", 0), "expected a positive --discriminator-lr, got 0.0"),
        (("--objective", "beta(4)"), "--objective beta(4): a factor maximises the ELBO less --gamma times"),
        (("--bound", "iwae"), "leave it out, or train a vae"),
    ],
)
def test_bad_input_is_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(train.main, "factor", *args, "--out", tmp_path / "run")
    assert not list(tmp_path.iterdir())
