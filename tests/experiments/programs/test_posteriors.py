"""Posterior families and steps from the encoder's q, as a run has them: what is trained, kept, gone on with, judged."""

from functools import partial

import pytest
import torch
from torch.func import grad

from jensen.core import keys, objectives, trees
from jensen.core.contracts import Amortised, can
from jensen.core.distributions import DiagNormal
from jensen.core.models.latent import posteriors, sbn, vae
from jensen.core.models.latent.posteriors import POSTERIORS
from jensen.estimators.inference import semi_amortised
from jensen.experiments import train
from jensen.experiments.programs import Vae
from jensen.experiments.programs.adapted import adapted
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.refinement import Refined, Refinement
from jensen.experiments.run import config
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.loop import Loop
from tests.experiments.process import FAST, run, same_files
from tests.experiments.programs.small import data, out, program

KEY, ELBO, BETA = keys.key(6), objectives.parse("elbo"), Estimation(objective="beta(2)")
SMALL = {**POSTERIORS, "planar": posteriors.PlanarFlows(2, 4), "iaf": posteriors.InverseAutoregressive(2, 4, 6)}


def model(name="diag", latent=2):
    return vae.mlp(4, (3,), latent, posterior=SMALL[name])


def moved(params):
    vector, unravel = trees.ravel(params)
    return unravel(vector + 0.2 * keys.normal(keys.key(8), (len(vector),), torch.float64))


def refined(how, name="diag", steps=2):
    return Refined(model(name), Refinement(steps, how))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    "estimation", [Estimation(k=3), Estimation(k=3, bound="iwae"), Estimation(objective="beta(2)")]
)
def test_the_terms_of_every_family_are_its_own(name, estimation):
    """By the density at given samples, which a flow finds by its inverse, where the loss has that of the way there."""
    made = program(estimation, model(name))
    params, state = made.init(KEY, data(40))
    params, x = moved(params), data()
    terms = out(made, params, state).terms
    q, prior = made.model.posterior(params["model"], x), made.model.prior(params["model"], 3)
    z = q.sample(q.noise(keys.split(KEY)[1], estimation.k))
    reconstruction, kl = made.model.likelihood(params["model"], z).log_prob(x).mean(0), objectives.kl(q, prior, z)
    close = partial(torch.testing.assert_close, rtol=1e-6, atol=1e-7)
    close(terms["reconstruction"], reconstruction)
    close(terms["kl"], kl)
    log_w = made.model.log_joint(params["model"], x, z) - q.log_prob(z)
    weighed = reconstruction - 2 * kl if estimation.weighs_terms else reconstruction - kl
    close(terms["objective"], estimation.the_bound(log_w) if estimation.bound == "iwae" else weighed)


@pytest.mark.parametrize("estimation", [Estimation(), Estimation(objective="beta(2)"), Estimation(kl_warmup=5)])
@pytest.mark.parametrize("name", ["planar", "iaf"])
def test_training_never_inverts_a_flow(name, estimation, monkeypatch):
    made = program(estimation, model(name))
    params, state = made.init(KEY, data(40))
    weights = {name: torch.tensor(f(1)) for name, f in made.schedules.items()}

    def inverted(*args):
        raise AssertionError("inverted")

    monkeypatch.setattr("jensen.core.flows.Conditional.inverse", inverted)
    slopes = grad(lambda params: out(made, params, state, weights=weights).loss)(params)
    assert all(slope.isfinite().all() for slope in trees.leaves(slopes))
    made.score(params, state, data(), KEY)


def test_the_estimator_that_fits_is_chosen_and_others_refused():
    posterior = {name: model(name).posterior(model(name).init(KEY, data(9)), data()) for name in SMALL}
    chosen = {name: Estimation().chosen(q) for name, q in posterior.items()}
    closed = {name for name, estimator in chosen.items() if estimator == "analytic_kl"}
    assert closed == {"diag", "full", "low-rank"}
    assert set(chosen.values()) == {"analytic_kl", "pathwise"}
    for estimation, words in (
        (Estimation(estimator="analytic-kl"), "with a KL in closed form, got Pushforward: use pathwise, stl or dreg"),
        (Estimation(objective="free-bits(0.1)"), "needs a KL by dimension, and a Pushforward has none"),
        (Estimation(encoder_temperature=2.0), "closed form of q\\^\\(1 / T\\), and a Pushforward has none"),
    ):
        with pytest.raises(InputError, match=words):
            estimation.chosen(posterior["iaf"])


def test_a_tempered_encoder_is_wider_by_the_root_of_its_temperature():
    made = program(Estimation(k=3, encoder_temperature=2.0), model())
    assert made.schedules["encoder_temperature"](0) == 2.0
    assert made.schedules["encoder_temperature"](99) == 1.0
    params, state = made.init(KEY, data(40))
    found = out(made, params, state, weights={"encoder_temperature": torch.tensor(2.0)}).terms
    q = made.model.posterior(params["model"], data())
    wide = DiagNormal(q.loc, q.log_scale + 0.5 * torch.log(torch.tensor(2.0)).double())
    z = wide.sample(wide.noise(keys.split(KEY)[1], 3))
    torch.testing.assert_close(found["kl"], wide.kl(made.model.prior(params["model"], 3)))
    torch.testing.assert_close(
        found["reconstruction"], made.model.likelihood(params["model"], z).log_prob(data()).mean(0)
    )


@pytest.mark.parametrize("how", ["stopped", "differentiable", "iterative"])
def test_a_refined_posterior_is_a_function_of_x_with_a_higher_bound(how):
    """A datum alone has the q that it has among others; steps of ascent raise the ELBO, a network's once trained."""
    made = refined(how)
    params = made.init(KEY, data(40))
    q, alone = made.posterior(params, data()), made.posterior(params, data()[1:2])
    torch.testing.assert_close(alone.loc, q.loc[1:2])
    assert ("refiner" in params) == (how == "iterative")
    plain = made.model.posterior({name: part for name, part in params.items() if name != "refiner"}, data())

    def elbo(q):
        z = q.sample(q.noise(KEY, 2000))
        return (made.log_joint(params, data(), z) - q.log_prob(z)).mean()

    assert (elbo(q) > elbo(plain) + 0.01) if how != "iterative" else torch.equal(q.loc, plain.loc)


def test_refined_runs_reach_every_parameter_and_differ_by_their_gradients():
    slopes = {}
    for how in ("stopped", "differentiable", "iterative"):
        made = program(Estimation(), refined(how))
        params, state = made.init(KEY, data(40))
        params = moved(params)
        slopes[how] = trees.paths(grad(lambda params, made=made, state=state: out(made, params, state).loss)(params))
        assert all(slope.abs().max() > 0 for slope in slopes[how].values()), how
    path = "model.decoder.0.weight"
    assert not torch.allclose(slopes["stopped"][path], slopes["differentiable"][path])
    assert any("refiner" in path for path in slopes["iterative"])


def test_the_steps_of_a_run_are_those_of_semi_amortised_inference():
    made = refined("stopped", steps=3)
    params, x = moved(made.init(KEY, data(40))), data()
    start, build = made.model.encoded(params, x), partial(made.model.posterior_of, params)
    log_p, units = partial(made.model.log_joint, params, x), made.model.units(start)
    expected = semi_amortised.refine(log_p, build, start, keys.key(0), 3, 5, 0.2, units=units)
    torch.testing.assert_close(made.encoded(params, x), expected)


def test_capabilities_pass_through_what_an_objective_makes_of_a_model():
    assert can(adapted(model(), ELBO), Amortised)
    assert can(adapted(refined("stopped"), ELBO), Amortised)
    assert not can(adapted(sbn.build(4, 2), ELBO), Amortised)


def test_a_run_that_goes_on_has_the_files_of_one_that_was_not_stopped(tmp_path, monkeypatch):
    """Stopped after the checkpoint at step 2 of 4; with weights of flows and of a network that reads gradients."""
    small = [*FAST, "--posterior", "planar(2, context=4)", "--refine-steps", "1", "--refine", "iterative"]
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
    run("--resume", tmp_path / "run")
    same_files(tmp_path / "whole", tmp_path / "run")


def test_runs_of_before_have_a_diagonal_posterior():
    saved = config.to_json(Vae())
    old = {name: value for name, value in saved.items() if name not in ("posterior", "refinement")}
    old["estimation"] = {name: value for name, value in old["estimation"].items() if name != "encoder_temperature"}
    assert config.from_json(Vae, old) == Vae()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--posterior", "iaff"), "--posterior iaff: unknown posterior 'iaff' (the nearest is 'iaf')"),
        (("--posterior", "real-nvp(3)"), "expected an even number of layers, got 3"),
        (("--refine", "iterative"), "without --refine-steps nothing is refined"),
        (("--refine-steps", -1), "expected --refine-steps of at least 0, got -1"),
        (("--refine-steps", 2, "--refine-size", 0), "expected a positive --refine-size, got 0.0"),
        (("--posterior", "iaf", "--estimator", "analytic-kl"), "use pathwise, stl or dreg"),
        (("--encoder-temperature", 0), "expected a positive --encoder-temperature, got 0.0"),
    ],
)
def test_bad_input_is_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(train.main, "vae", *args, "--out", tmp_path / "run")
    assert not list(tmp_path.iterdir())
