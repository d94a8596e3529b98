"""Every bound, objective and estimator as a run uses it: values, exact mean gradients, and groups that do not leak."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.func import grad, vmap

from jensen import laws
from jensen.core import bounds, keys, objectives, trees
from jensen.core.distributions import Bernoulli
from jensen.core.models.latent import sbn, vae
from jensen.estimators import gradients
from jensen.experiments.programs.estimation import OFFERED, Estimation
from jensen.experiments.run.errors import InputError
from tests.experiments.programs.small import (
    ANY,
    BIASED,
    BOUNDS,
    KEY,
    OBJECTIVES,
    TWO,
    UNBIASED,
    VAES,
    data,
    out,
    prepared,
    program,
)


@pytest.mark.parametrize("name", {**UNBIASED, **BIASED, **VAES})
def test_the_objective_is_the_bound_and_terms_are_the_elbos(name):
    estimation = {**UNBIASED, **BIASED, **VAES}[name]
    made, params, state = prepared(name, estimation)
    terms = out(made, params, state).terms
    q, x = made.model.posterior(params["model"], data()), data()
    z = q.sample(q.noise(keys.split(KEY)[1], estimation.k))
    log_w = made.model.log_joint(params["model"], x, z) - q.log_prob(z)
    torch.testing.assert_close(terms["objective"], estimation.the_bound(log_w))
    torch.testing.assert_close(terms["reconstruction"], made.model.likelihood(params["model"], z).log_prob(x).mean(0))
    torch.testing.assert_close(terms["kl"], objectives.kl(q, made.model.prior(params["model"], 3), z))
    total = terms["reconstruction"] - terms["kl"] - terms["penalty"]
    torch.testing.assert_close(total, terms["objective"])


def exact(made, params, x):
    """The expected bound by enumeration of every z, or pair of them, differentiable in the parameters."""
    q, bound = made.model.posterior(params, x), made.estimation.the_bound
    z = Bernoulli(x.new_zeros(len(x), made.model.latent)).support()
    log_q = q.log_prob(z)
    log_w = made.model.log_joint(params, x, z) - log_q
    if bound == bounds.elbo:
        return (log_q.exp() * log_w).sum(0)
    pairs = torch.stack(torch.broadcast_tensors(log_w[:, None], log_w)).flatten(1, 2)
    return ((log_q[:, None] + log_q).flatten(0, 1).exp() * bound(pairs.flatten(1)).unflatten(0, (-1, len(x)))).sum(0)


@pytest.mark.parametrize("name", UNBIASED)
def test_the_mean_gradient_is_the_exact_one(name):
    made, params, state = prepared(name, UNBIASED[name])

    def loss(model, key):
        return out(made, {**params, "model": model}, state, key).loss * 3

    draws = vmap(grad(loss), in_dims=(None, 0))(params["model"], keys.split(KEY, 4000))
    truth = trees.paths(grad(lambda model: -exact(made, model, data()).sum())(params["model"]))
    for path, slopes in trees.paths(draws).items():
        laws.mean_is(slopes, truth[path])


@pytest.mark.parametrize("text", BOUNDS)
def test_every_bound_trains_a_vae(text):
    """Terms sum, gradients are finite, and a step up the gradient raises what is maximised, on the same noise."""
    estimation = Estimation(k=6, bound=text)
    estimation.check()
    made = program(estimation, vae.mlp(4, (3,), 2))
    params, state = made.init(KEY, data(40))
    slopes = grad(lambda params: out(made, params, state).loss)(params)
    assert all(leaf.isfinite().all() for leaf in trees.leaves(slopes))
    if not bounds.upper(estimation.the_bound):
        moved = trees.map(lambda p, g: p - 1e-4 * g, params, slopes)
        assert out(made, moved, state).loss < out(made, params, state).loss
    terms = out(made, params, state).terms
    torch.testing.assert_close(terms["reconstruction"] - terms["kl"] - terms["penalty"], terms["objective"])


def test_an_upper_bound_is_lowered_by_the_posterior_while_the_model_raises_iwae():
    made = program(Estimation(k=6, bound="cubo(2)"), vae.mlp(4, (3,), 2))
    params, state = made.init(KEY, data(40))
    slopes = grad(lambda params: out(made, params, state).loss)(params)["model"]
    q = made.model.posterior(params["model"], data())
    noise = q.noise(keys.split(KEY)[1], 6)

    def value(model, bound):
        q = made.model.posterior(model, data())
        log_p = partial(made.model.log_joint, model, data())
        return gradients.pathwise(log_p, q, noise, bound=bound).mean()

    upper = grad(lambda model: value(model, bounds.Cubo(2.0)))(params["model"])
    torch.testing.assert_close(slopes["encoder"], upper["encoder"])
    theta = grad(lambda m: gradients.wake_theta(partial(made.model.log_joint, m, data()), trees.stop(q), noise).mean())
    torch.testing.assert_close(slopes["decoder"], trees.map(torch.neg, theta(params["model"])["decoder"]))
    torch.testing.assert_close(out(made, params, state).loss, -value(params["model"], bounds.iwae))


@pytest.mark.parametrize(("kind", "text"), [*(("vae", text) for text in OBJECTIVES), *(("sbn", text) for text in ANY)])
def test_every_objective_trains(text, kind):
    estimation = Estimation(k=2, objective=text)
    estimation.check()
    model = vae.mlp(4, (3,), 2) if kind == "vae" else sbn.build(4, 2)
    made = program(estimation, model)
    params, state = made.init(KEY, data(40))
    found = out(made, params, state)
    terms = found.terms
    torch.testing.assert_close(terms["reconstruction"] - terms["kl"] - terms["penalty"], terms["objective"])
    assert (terms["kl"] >= 0).all() or text.startswith("beta-tc")  # whose KL is that of its sampled parts
    parts = [t for name, t in terms.items() if name not in ("objective", "reconstruction", "kl", "penalty")]
    assert not parts or torch.allclose(torch.stack(parts).sum(0), terms["kl"])
    slopes = grad(lambda params: out(made, params, state).loss)(params)
    assert all(leaf.isfinite().all() for leaf in trees.leaves(slopes))
    changed = any(not torch.equal(a, b) for a, b in zip(trees.leaves(found.state), trees.leaves(state), strict=True))
    assert changed == text.startswith("geco")


def test_objectives_of_a_belief_net_have_the_reconstructions_exact_gradient():
    """With a closed-form KL beside it: against enumeration."""
    made = program(Estimation(k=2, objective="beta(3)"), sbn.build(4, 2))
    params, state = made.init(KEY, data(40))
    vector, unravel = trees.ravel(params)
    params, x = unravel(vector + 0.3 * keys.normal(keys.key(8), (len(vector),), torch.float64)), data()

    def truth(model):
        q, prior = made.model.posterior(model, x), made.model.prior(model, 3)
        z = q.support()
        reconstruction = (q.log_prob(z).exp() * made.model.likelihood(model, z).log_prob(x)).sum(0)
        return -(reconstruction - 3 * q.kl(prior)).mean()

    draws = vmap(grad(lambda m, k: out(made, {"model": m}, state, k).loss), in_dims=(None, 0))(
        params["model"], keys.split(KEY, 4000)
    )
    exact_slopes = trees.paths(grad(truth)(params["model"]))
    for path, slopes in trees.paths(draws).items():
        laws.mean_is(slopes, exact_slopes[path])


@pytest.mark.parametrize("name", ["pathwise", "dreg", "normal score", "score", "disarm", "nvil"])
def test_a_kl_weight_makes_the_weighted_bound_for_every_estimator(name):
    estimation = {**UNBIASED, **VAES}[name]
    made, params, state = prepared(name, estimation)
    weights = {"kl": torch.tensor(0.3)}
    terms = out(made, params, state, weights=weights).terms
    q, x = made.model.posterior(params["model"], data()), data()
    z = q.sample(q.noise(keys.split(KEY)[1], estimation.k))
    likelihood = made.model.likelihood(params["model"], z).log_prob(x)
    log_w = likelihood + 0.3 * (made.model.log_prior(params["model"], z) - q.log_prob(z))
    torch.testing.assert_close(terms["objective"], estimation.the_bound(log_w), rtol=1e-6, atol=1e-6)


def test_a_kl_weight_has_the_weighted_bounds_exact_gradient():
    made, params, state = prepared("score", TWO)
    weights, x = {"kl": torch.tensor(0.3, dtype=torch.float64)}, data()

    def truth(model):
        q = made.model.posterior(model, x)
        z = q.support()
        log_q, likelihood = q.log_prob(z), made.model.likelihood(model, z).log_prob(x)
        return -(log_q.exp() * (likelihood + 0.3 * (made.model.log_prior(model, z) - log_q))).sum(0).mean()

    draws = vmap(grad(lambda m, k: out(made, {"model": m}, state, k, weights).loss), in_dims=(None, 0))(
        params["model"], keys.split(KEY, 4000)
    )
    exact_slopes = trees.paths(grad(truth)(params["model"]))
    for path, slopes in trees.paths(draws).items():
        laws.mean_is(slopes, exact_slopes[path])


def test_a_posterior_temperature_takes_the_root_of_the_model():
    made, params, state = prepared("pathwise", replace(VAES["pathwise"], posterior_temperature=2.0))
    weights = {"posterior_temperature": torch.tensor(2.0)}
    q, x = made.model.posterior(params["model"], data()), data()
    z = q.sample(q.noise(keys.split(KEY)[1], 3))
    log_w = made.model.log_joint(params["model"], x, z) / 2 - q.log_prob(z)
    torch.testing.assert_close(out(made, params, state, weights=weights).terms["objective"], log_w.mean(0))
    schedule = made.schedules["posterior_temperature"]
    assert (schedule(0), schedule(99)) == (2.0, 1.0)


def test_sumo_of_a_step_ends_where_its_samples_do():
    """Its mean over roulettes is IWAE's at k, on the same samples."""
    estimation = Estimation(k=6, bound="sumo(2)")
    log_w = keys.normal(KEY, (6, 1), torch.float64)
    draws = torch.stack([estimation.bound_at(key, 1)(log_w) for key in keys.split(KEY, 2000)])
    laws.mean_is(draws, bounds.iwae(log_w))


def test_sumo_of_a_step_is_that_of_a_datum_wherever_a_baseline_asks_for_it():
    bound = Estimation(k=6, bound="sumo(2)").bound_at(KEY, 5)
    log_w = keys.normal(KEY, (6, 10))
    torch.testing.assert_close(bound(log_w), torch.cat([bound(log_w[:, :5]), bound(log_w[:, 5:])]))
    for baseline in ("leave-one-out", "vimco"):
        made = program(Estimation(k=4, bound="sumo(2)", baseline=baseline), sbn.build(4, 3))
        params, state = made.init(KEY, data(40))
        assert out(made, params, state).loss.isfinite()


def test_dynamic_pixels_are_drawn_for_each_step_and_datum():
    made = program(TWO, sbn.build(4, 2), dynamic=True)
    params, state = made.init(KEY, data(40))
    grey = torch.full((3, 4), 0.5, dtype=torch.float64)
    first, again, other = (out(made, params, state, key, x=grey).loss for key in (KEY, KEY, keys.key(9)))
    assert first == again
    assert first != other


def test_every_estimator_on_offer_trains_or_says_what_to_use():
    for name in OFFERED:
        trained = 0
        for model in (vae.mlp(4, (3,), 2), sbn.build(4, 2)):
            for bound in ("elbo", "iwae"):
                made = made_or_refused(Estimation(k=2, estimator=name.replace("_", "-"), bound=bound), model)
                if isinstance(made, str):
                    assert "use " in made, made
                    continue
                params, state = made.init(KEY, data(40))
                slopes = grad(lambda p, made=made, state=state: out(made, p, state).loss)(params)
                assert all(leaf.isfinite().all() for leaf in trees.leaves(slopes)), (name, bound)
                trained += 1
        assert trained or name == "arsm", name


def made_or_refused(estimation, model):
    try:
        return program(estimation, model)
    except InputError as refusal:
        return str(refusal)
