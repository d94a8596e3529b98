"""What estimators learn beside a model: NVIL's baseline and RELAX's control variate."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.func import grad

from jensen.core import keys, trees
from jensen.core.distributions import Bernoulli
from jensen.core.models.latent import sbn
from jensen.estimators import gradients
from jensen.estimators.gradients import baselines
from jensen.experiments.programs import learned
from jensen.experiments.programs.estimation import Estimation
from tests.experiments.programs.small import KEY, UNBIASED, data, out, prepared, program


@pytest.mark.parametrize("name", ["nvil", "relax", "disarm", "score"])
def test_what_is_learned_beside_a_model_of_half_precision_has_its_type(name):
    estimation = Estimation(k=2, **({"baseline": "nvil"} if name == "nvil" else {"estimator": name}))
    made, x = program(estimation, sbn.build(4, 3)), data(40).bfloat16()
    params, state = made.init(KEY, x)
    assert {leaf.dtype for leaf in trees.leaves(params)} == {torch.bfloat16}
    weights = {}
    assert made.loss(params, state, {"datum": torch.arange(6), "data": x[:6]}, KEY, weights).loss.isfinite()


def test_nvil_trains_its_network_on_the_squared_error_and_on_nothing_else():
    made, params, state = prepared("nvil", UNBIASED["nvil"])
    x = data()
    slopes = grad(lambda params: out(made, params, state).loss * 3)(params)
    q, log_p = made.model.posterior(params["model"], x), partial(made.model.log_joint, params["model"], x)
    noise = q.noise(keys.split(KEY)[1], 2)
    value = gradients.score(log_p, q, noise)
    error = grad(lambda network: (value - learned.prediction(network, x)).square().sum())(params["baseline"])
    fixed = baselines.Learned(learned.prediction(params["baseline"], x))

    def bound(model):
        q, log_p = made.model.posterior(model, x), partial(made.model.log_joint, model, x)
        return -gradients.score(log_p, q, noise, baseline=fixed).sum()

    for path, slope in trees.paths({"model": grad(bound)(params["model"]), "baseline": error}).items():
        torch.testing.assert_close(trees.paths(slopes)[path], slope)


@pytest.mark.parametrize("name", ["nvil", "relax"])
def test_what_is_learned_is_learned_under_an_objective_too(name):
    """NVIL's loss is the error of its prediction of the reconstruction, RELAX's the second moment of its gradient."""
    made, params, state = prepared(name, replace(UNBIASED[name], objective="beta(2)"))
    x = data()
    slopes = grad(lambda params: out(made, params, state).loss * 3)(params)
    q = made.model.posterior(params["model"], x)
    noise = q.noise(keys.split(KEY)[1], 2)

    def log_p(z):
        return made.model.likelihood(params["model"], z).log_prob(x) + q.log_prob(z)

    if name == "nvil":
        value = made.model.likelihood(params["model"], q.sample(noise)).log_prob(x).mean(0)
        loss = lambda network: (value - learned.prediction(network, x)).square().sum()  # noqa: E731
    else:
        loss = lambda control: gradients.second_moment(  # noqa: E731
            log_p, q, noise, control=partial(learned.control, control, log_p, q)
        ).sum()
    group = "baseline" if name == "nvil" else "control"
    for path, slope in trees.paths(grad(loss)(params[group])).items():
        torch.testing.assert_close(trees.paths(slopes[group])[path], slope)


def test_relax_trains_its_control_on_the_second_moment_and_on_nothing_else():
    made, params, state = prepared("relax", UNBIASED["relax"])
    x = data()
    slopes = grad(lambda params: out(made, params, state).loss * 3)(params)
    log_p, q = partial(made.model.log_joint, params["model"], x), made.model.posterior(params["model"], x)
    noise = q.noise(keys.split(KEY)[1], 2)

    def spread(control):
        return gradients.second_moment(log_p, q, noise, control=partial(learned.control, control, log_p, q)).sum()

    def bound(model):
        own, control = made.model.posterior(model, x), partial(learned.control, params["control"], log_p, q)
        log_joint = partial(made.model.log_joint, model, x)
        return -gradients.relax(log_joint, own, noise, control=control).sum()

    own = {"model": grad(bound)(params["model"]), "control": grad(spread)(params["control"])}
    for path, slope in trees.paths(own).items():
        assert path == "model.encoder.mean" or slope.abs().max() > 0, path
        torch.testing.assert_close(trees.paths(slopes)[path], slope)


@pytest.mark.parametrize("u", [0.0, 2**-24, 1 - 2**-24])
def test_relax_is_finite_at_the_ends_of_the_noise(u):
    """Of 20,000 uniforms a step, one in a thousand steps is the largest below 1."""
    model, x = sbn.build(4, 3), torch.ones(2, 4)
    params = {"model": model.init(KEY, data(40).float()), "control": learned.init_control(KEY, x, 3, 0.5)}

    def objective(params):
        q, log_p = model.posterior(params["model"], x), partial(model.log_joint, params["model"], x)
        frozen = partial(model.log_joint, trees.stop(params["model"]), x)
        return sum(t.sum() for t in learned.relax(log_p, frozen, q, torch.full((1, 2, 3), u), params["control"]))

    slopes = trees.paths(grad(objective)(params))
    assert [path for path, slope in slopes.items() if not torch.isfinite(slope).all()] == []


def test_what_is_learned_starts_where_its_forerunner_stands():
    """NVIL's prediction at the bound of independent pixels, RELAX at REBAR."""
    x, train = data(), data(40)
    entropy = Bernoulli.from_mean(train.mean(0)).entropy()
    torch.testing.assert_close(learned.prediction(learned.init_baseline(KEY, train), x), -entropy.expand(3))
    made, params, _ = prepared("rebar", UNBIASED["rebar"])
    q, log_p = made.model.posterior(params["model"], x), partial(made.model.log_joint, params["model"], x)
    u, control = q.noise(KEY, 2), learned.init_control(KEY, x, 2, 0.7)
    value, _ = learned.relax(log_p, log_p, q, u, control)
    torch.testing.assert_close(value, gradients.rebar(log_p, q, u, temperature=0.7))
    relaxed = gradients.relaxed_density(log_p, q, temperature=0.7)
    t = q.perturbed(u)
    torch.testing.assert_close(learned.control(control, log_p, q, t), relaxed(t))


def test_what_is_learned_is_a_group_with_an_optimiser_of_its_own():
    made, params, _ = prepared("nvil", replace(UNBIASED["nvil"], learned_lr=0.01))
    assert made.turns[0].groups == tuple(params) == ("model", "baseline")
    assert made.optimisers["baseline"].lr == 0.01
    assert made.optimisers["model"].lr == 1e-3
