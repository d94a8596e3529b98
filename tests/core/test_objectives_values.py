"""Objectives as values: one signature for all, and the names they are spelled by."""

from functools import partial

import pytest
import torch
from torch.func import grad, grad_and_value, vmap

from jensen import laws
from jensen.core import divergences, keys, objectives, spelling, trees
from jensen.core.distributions import Bernoulli, DiagNormal, FullNormal
from jensen.core.models.latent import vae

KEY = keys.key(4)
N, D = 6, 3
X = (keys.uniform(KEY, (N, 8), torch.float64) < 0.4).double()
MODEL = vae.mlp(8, (5,), D)
PARAMS = MODEL.init(KEY, X)
SPELLINGS = {
    "elbo": objectives.Beta(1.0),
    "beta(4)": objectives.Beta(4.0),
    "capacity(10, 2.5)": objectives.Capacity(10.0, 2.5),
    "free-bits(0.5)": objectives.FreeBits(0.5),
    "free-bits(0.5, 2, 1)": objectives.FreeBits(0.5, (2, 1)),
    "free-bits-per-datum(0.5)": objectives.FreeBits(0.5, per_datum=True),
    "geco(-4)": objectives.Geco(-4.0),
    "geco(-4, rate=0.1)": objectives.Geco(-4.0, rate=0.1),
    "committed(0.3)": objectives.Committed(0.3),
    "beta-tc(6, gamma=0.5)": objectives.BetaTc(6.0, gamma=0.5),
}


def drawn(q, params=PARAMS, key=KEY):
    """Samples of q and their mean log likelihood."""
    z = q.sample(q.noise(key, 2))
    return z, MODEL.likelihood(params, z).log_prob(X).mean(0)


def terms(objective, params=PARAMS, key=KEY, weights=None, state=None):
    """As a trainer has them."""
    q = objective.posterior(MODEL.posterior(params, X))
    z, reconstruction = drawn(q, params, key)
    state = objective.start(X) if state is None else state
    return objective(reconstruction, q, MODEL.prior(params, N), z, data=N, weights=weights or {}, state=state)


def known():
    """What the functions of the library say of the same draws."""
    q, prior = MODEL.posterior(PARAMS, X), MODEL.prior(PARAMS, N)
    return q, prior, *drawn(q)


@pytest.mark.parametrize("text", SPELLINGS)
def test_names_spell_values(text):
    found = objectives.parse(text)
    assert found == SPELLINGS[text]
    assert hash(found) == hash(SPELLINGS[text])
    assert isinstance(found, objectives.Objective)
    assert {spelled.partition("(")[0] for spelled in SPELLINGS} == {name.partition("(")[0] for name in objectives.NAMES}


@pytest.mark.parametrize("text", SPELLINGS)
def test_the_terms_of_every_objective_sum(text):
    found, state = terms(SPELLINGS[text])
    assert all(t.shape == (N,) for t in trees.leaves(found))
    laws.terms_sum(found.objective.float(), [found.reconstruction.float(), -found.kl.float(), -found.penalty.float()])
    if found.parts:
        laws.terms_sum(found.kl.float(), [part.float() for part in found.parts.values()])
    torch.testing.assert_close(trees.leaves(trees.map(torch.zeros_like, state)), [t * 0 for t in trees.leaves(state)])


def test_objectives_train_under_vmap_and_compile():
    """One graph of their losses' values and of a gradient in which each has a share of its own."""

    def loss(params, key, weight, states):
        q, prior, weights, found = MODEL.posterior(params, X), MODEL.prior(params, N), {"kl": weight}, []
        z, reconstruction = drawn(q, params, key)
        for text, state in states.items():
            own = SPELLINGS[text].posterior(q)
            found.append(SPELLINGS[text](reconstruction, own, prior, z, data=N, weights=weights, state=state))
        values = torch.stack([each.objective.mean() for each, _ in found])
        shares = torch.linspace(-1, 2, len(values), dtype=values.dtype)
        return shares @ values, (values, [state for _, state in found])

    step = grad_and_value(loss, has_aux=True)
    each, weight = keys.split(KEY, 2), torch.tensor(0.5, dtype=torch.float64)
    states = {text: SPELLINGS[text].start(X) for text in SPELLINGS if text not in ("beta(4)", "geco(-4, rate=0.1)")}
    eager = step(PARAMS, each[0], weight, states)
    compiled = torch.compile(step, fullgraph=True, backend="eager")(PARAMS, each[0], weight, states)
    mapped = vmap(step, (None, 0, None, None))(PARAMS, each, weight, states)
    assert all(torch.isfinite(t).all() for t in trees.leaves(eager))
    torch.testing.assert_close(trees.leaves(compiled), trees.leaves(eager))
    torch.testing.assert_close([t[0] for t in trees.leaves(mapped)], trees.leaves(eager))


def test_the_values_are_the_functions():
    q, prior, z, reconstruction = known()
    kl, each = q.kl(prior), q.kl_per_dimension(prior)
    expected = {
        "elbo": reconstruction - kl,
        "beta(4)": reconstruction - 4 * kl,
        "capacity(10, 2.5)": objectives.capacity(reconstruction, kl, 10.0, 2.5).objective,
        "free-bits(0.5, 2, 1)": objectives.free_bits(reconstruction, each, 0.5, (2, 1)).objective,
        "free-bits-per-datum(0.5)": reconstruction - each.clamp_min(0.5).sum(-1),
        "geco(-4)": reconstruction + 4 - kl,
        "beta-tc(6, gamma=0.5)": objectives.beta_tc(
            reconstruction, objectives.decompose(q, prior, z, N), 6.0, gamma=0.5
        ).objective,
    }
    for text, objective in expected.items():
        torch.testing.assert_close(terms(objectives.parse(text))[0].objective, objective)


def test_schedules_multiply_the_charge_and_the_target():
    q, prior, _, reconstruction = known()
    kl, half = q.kl(prior), torch.tensor(0.5)
    for text in ("elbo", "free-bits(0)", "free-bits-per-datum(0)"):
        found, _ = terms(objectives.parse(text), weights={"kl": half})
        torch.testing.assert_close(found.objective, reconstruction - 0.5 * kl)
        torch.testing.assert_close(found.kl, kl)
    found, _ = terms(objectives.Capacity(10.0, 3.0), weights={"kl": half, "capacity": half})
    torch.testing.assert_close(found.objective, reconstruction - 5 * (kl - 1.5).abs())
    found, _ = terms(objectives.BetaTc(1.0), weights={"kl": torch.tensor(0.0)})
    torch.testing.assert_close(found.objective, reconstruction)


def test_geco_carries_its_multiplier_and_committed_changes_q():
    geco = objectives.Geco(1.0, rate=0.1)
    _, state = terms(geco)
    assert state.value > 1
    found, _ = terms(geco, state=state)
    torch.testing.assert_close(found.objective, state.value * (found.reconstruction - 1) - found.kl)
    found, _ = terms(objectives.Committed(2.0))
    assert (found.kl >= 2.0 * D).all()


def test_a_kl_without_closed_form_is_estimated_and_has_a_gradient():
    zeros = torch.zeros(N, D).double()
    q = FullNormal(zeros + 1, zeros, torch.zeros(N, D, D).double())
    z = q.sample(q.noise(KEY, 4000))
    laws.mean_is((q.log_prob(z) - DiagNormal(zeros, zeros).log_prob(z))[:, 0], torch.tensor(1.5).double())
    estimate = objectives.kl(q, DiagNormal(zeros, zeros), z)
    torch.testing.assert_close(estimate, (q.log_prob(z) - DiagNormal(zeros, zeros).log_prob(z)).mean(0))
    slope = grad(partial(lambda z, t: objectives.kl(q, DiagNormal(t, zeros), z).sum(), z))(zeros)
    torch.testing.assert_close(slope, -z.mean(0))
    with pytest.raises(TypeError, match="got a FullNormal and a DiagNormal: take the whole KL"):
        divergences.kl_per_dimension(q, DiagNormal(zeros, zeros))
    with pytest.raises(TypeError, match="committed needs a diagonal normal q, got Bernoulli"):
        objectives.committed(Bernoulli(zeros), 0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("beta", r"expected the objective as beta\(weight\), got 'beta': missing a required argument: 'weight'"),
        ("beta(1, 2)", r"as beta\(weight\), got .*: too many positional arguments"),
        ("beta(weigth=2)", r"missing a required argument: 'weight'"),
        ("beta-tc(1, delta=2)", r"as beta-tc\(beta, alpha=1.0.*: .*unexpected keyword argument 'delta'"),
        ("betta(4)", r"unknown objective 'betta' \(the nearest is 'beta'\): expected one of elbo, beta\(weight\)"),
        ("beta(4", r"expected the objective as name or name\(argument, ...\), got 'beta\(4'"),
        ("beta(-4)", r"expected weight in \[0, inf\), got -4"),
        ("beta(nan)", r"expected weight in \[0, inf\), got nan"),
        ("committed(20)", r"expected rate in \[0, 19\], got 20: nats"),
        ("beta(four)", r"as beta\(weight\), got 'beta\(four\)': expected weight, a number"),
    ],
)
def test_what_is_not_spelled_so_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        objectives.parse(text)


def test_spelled_arguments_keep_their_kind():
    table = {"a": lambda *values: values}
    assert spelling.parse(" a ", table, "thing") == ()
    found = spelling.parse("a(1, 0.5, -inf, right)", table, "thing")
    assert found == (1, 0.5, -float("inf"), "right")
    assert [type(value) for value in found] == [int, float, float, str]
