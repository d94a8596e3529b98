"""An estimator per latent, against exact expectations over all outcomes, and what it refuses."""

from functools import partial

import pytest
import torch
from torch.func import grad, grad_and_value, vmap

from jensen.core import bounds, keys, trees
from jensen.core.distributions import Given, Joint
from jensen.core.ops import path_scale
from jensen.estimators import gradients as g
from jensen.estimators.gradients import _mixed, baselines
from jensen.estimators.gradients.contract import carry
from jensen.laws.transforms import compiled
from tests.estimators.outcomes import COINS, F64, PARAMS, coin, estimated, gap, joint, log_joint

LOO = partial(g.score, baseline=baselines.leave_one_out)
VIMCO = partial(g.score, baseline=baselines.vimco)
RENYI = bounds.Renyi(0.5)
TO_ROUNDING = [
    (bounds.elbo, 2, {"c": g.score, "z": g.pathwise}),
    (bounds.elbo, 2, {"c": LOO, "z": g.stl}),
    (bounds.elbo, 2, {"z": g.stl, "c": LOO}),
    (bounds.elbo, 2, {"z": g.dreg, "c": LOO}),
    (bounds.elbo, 2, {"c": LOO, "d": VIMCO}),
    (bounds.elbo, 1, {"c": g.exact, "z": g.pathwise}),
    (bounds.elbo, 1, {"z": g.stl, "c": g.exact}),
    (bounds.elbo, 1, {"c": g.exact, "d": g.exact, "z": g.stl}),
    (bounds.elbo, 2, {"d": LOO, "c": g.exact}),
    (bounds.elbo, 2, {"c": g.exact, "d": LOO}),
    (bounds.elbo, 1, {"d": g.score, "z": g.stl, "c": g.exact}),
    (bounds.iwae, 1, {"c": g.exact, "z": g.pathwise}),
    (bounds.iwae, 2, {"c": LOO, "z": g.pathwise}),
    (bounds.iwae, 2, {"z": g.pathwise, "c": VIMCO}),
    (bounds.iwae, 2, {"c": VIMCO, "d": LOO}),
    (bounds.iwae, 2, {"d": VIMCO, "z": g.pathwise, "c": VIMCO}),
    (bounds.iwae, 2, {"c": g.exact, "z": g.pathwise}),
    (bounds.iwae, 2, {"z": g.pathwise, "c": g.exact}),
    (bounds.iwae, 2, {"d": VIMCO, "c": g.exact}),
    (bounds.iwae, 2, {"c": g.exact, "d": VIMCO}),
    (RENYI, 2, {"c": VIMCO, "z": g.pathwise}),
    (RENYI, 2, {"c": g.exact, "z": g.pathwise}),
]
TO_QUADRATURE = [  # integration by parts is exact in the limit of many nodes
    (bounds.iwae, 2, {"c": VIMCO, "z": g.dreg}, 20),
    (bounds.iwae, 2, {"z": g.dreg, "c": g.exact}, 20),
    (bounds.iwae, 2, {"c": g.exact, "z": g.dreg}, 16),
    (bounds.iwae, 2, {"z": g.dreg, "y": g.dreg}, 16),
    (bounds.iwae, 2, {"z": g.dreg, "y": g.pathwise}, 16),
    (bounds.iwae, 2, {"z": g.pathwise, "y": g.dreg}, 16),
    (bounds.iwae, 2, {"d": VIMCO, "z": g.dreg, "c": g.exact}, 20),
    (RENYI, 2, {"c": VIMCO, "z": g.dreg}, 20),
    (RENYI, 2, {"c": g.exact, "z": g.dreg}, 16),
    (bounds.elbo, 1, {"c": g.exact, "z": g.score}, 24),
]


def spelled(case):
    bound, s, how = case[:3]
    latents = (f"{a} {getattr(f, '__name__', 'score')}" for a, f in how.items())
    return f"Renyi({bound.alpha}) {s}, {', '.join(latents)}"


@pytest.mark.parametrize("case", TO_ROUNDING, ids=spelled)
def test_the_mean_gradient_is_exact_to_rounding(case):
    bound, s, how = case
    gradient, value = gap(how, bound, list(how), s, 6)
    assert gradient < 1e-12
    assert value < 1e-12


@pytest.mark.parametrize("case", TO_QUADRATURE, ids=spelled)
def test_the_mean_gradient_is_exact_to_the_quadrature(case):
    bound, s, how, nodes = case
    gradient, value = gap(how, bound, list(how), s, nodes)
    assert gradient < 1e-6
    assert value < 1e-12


def by_hand(log_p, q, noise, bound, how, bug=""):
    """A normal by its path and a coin by its score, the others' bound for its baseline; and what may be wrong of it."""
    z, log_q, log_score = {}, 0.0, 0.0
    for name, part in q.latents.items():
        given = part(trees.stop(z) if bug == "condition detached" else z) if isinstance(part, Given) else part
        z[name] = given.sample(noise[name])
        each = given.log_prob(z[name])
        if name in COINS:
            log_score = each
            each = each.detach() if bug == "log q detached" else each
        log_q = log_q + each
    log_w = log_p(z) - (log_q.detach() if bug == "every log q detached" else log_q)
    fixed, value = log_w.detach(), bound(log_w)
    signal = value.detach() - baselines.leave_one_out(bound, fixed)
    if bug == "a signal per sample":
        signal = (fixed - baselines.leave_one_out(bounds.elbo, fixed)) / len(fixed)
    if bug == "own sample in the baseline":
        signal = value.detach() - fixed.mean(0)
    return value + carry((signal * log_score).sum(0))


def test_the_surrogate_by_hand_is_exact():
    for names in (["c", "z"], ["z", "c"]):
        how = {"c": LOO, "z": g.pathwise}
        assert gap({a: how[a] for a in names}, bounds.iwae, names, 2, 6, by_hand)[0] < 1e-12


BUGS = (
    "log q detached", "every log q detached", "a signal per sample", "own sample in the baseline", "condition detached"
)  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_the_gate_sees_a_wrong_surrogate(bug):
    how = {"z": g.pathwise, "c": LOO}
    assert gap(how, bounds.iwae, ["z", "c"], 2, 6, partial(by_hand, bug=bug))[0] > 1e-2


def test_the_gate_sees_noise_that_branches_share():
    def shared(log_p, q, noise, **options):
        return g.mixed(log_p, q, {**noise, "z": noise["z"][:2].repeat(2, 1, 1)}, **options)

    assert gap({"c": g.exact, "z": g.pathwise}, bounds.iwae, ["c", "z"], 2, 6, shared)[0] > 1e-2


def test_the_gate_sees_a_path_that_is_scaled_twice(monkeypatch):
    def twice(part, given, noise, z, doubly):
        value, *zeros = path_scale(given.sample(noise))
        return value, trees.stop(part)(z).log_prob, zeros

    monkeypatch.setattr(_mixed, "_along_path", twice)
    assert gap({"z": g.pathwise, "y": g.dreg}, bounds.iwae, ["z", "y"], 2, 14)[0] > 1e-2


@pytest.mark.parametrize("case", [c for c in TO_ROUNDING if list(c[2]) in (["c", "z"], ["z", "c"])], ids=spelled)
def test_the_bound_is_below_the_evidence(case):
    """log p = log sum_c of the integral over z, by quadrature."""
    bound, s, how = case
    z = torch.linspace(-12, 12, 4001, dtype=F64)[None, :, None]
    log_p = 0.0
    for c in (0.0, 1.0):
        coin = torch.full_like(z, c)
        values = {a: {"c": coin, "z": z}[a] for a in how}
        log_p = log_p + log_joint(PARAMS["theta"], values).exp().sum() * (24 / 4000)
    found = estimated(how, bound, list(how), s, 10)(PARAMS)
    assert found < torch.log(log_p)


def test_every_transform_and_compiled_code_agree():
    """One trace for an enumerated coin, a coin by its score and a normal by dreg."""
    names, n = ["c", "d", "y"], 3
    how = {"c": g.exact, "d": VIMCO, "y": g.dreg}

    def value(params, key):
        q = joint(params["phi"], names, n)
        return g.mixed(partial(log_joint, params["theta"]), q, q.noise(key, 6), bound=bounds.iwae, how=how).sum()

    each = keys.split(keys.key(3), 4)
    loop = [grad(value)(PARAMS, key) for key in each]
    looped = trees.map(lambda *t: torch.stack(t), *loop)
    torch.testing.assert_close(vmap(grad(value), (None, 0))(PARAMS, each), looped, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(compiled(grad(value))(PARAMS, each[0]), loop[0], rtol=1e-10, atol=1e-12)
    assert all((t != 0).all() for name in ("d", "y") for t in trees.leaves(loop[0]["phi"][name]))


def test_particles_outside_the_support_have_no_gradient():
    def half(z):
        return torch.where(z["z"][..., 0] > 0, log_joint(PARAMS["theta"], z), -torch.inf)

    for bound, z_by in ((bounds.iwae, g.dreg), (bounds.iwae, g.pathwise), (bounds.elbo, g.stl)):
        for c_by in (VIMCO, g.exact):

            def value(phi, bound=bound, c_by=c_by, z_by=z_by):
                q = joint(phi, ["c", "z"], 2)
                return g.mixed(half, q, q.noise(keys.key(1), 8), bound=bound, how={"c": c_by, "z": z_by}).sum()

            slopes = grad(value)({a: PARAMS["phi"][a] for a in ("c", "z")})
            assert all(t.isfinite().all() for t in trees.leaves(slopes))


Q = joint(PARAMS["phi"], ["z", "c"], 2)
REFUSED = {
    "a latent without an estimator": ({"z": g.stl}, bounds.elbo, 4, KeyError, "missing 'c'"),
    "no function": ({"z": "stl", "c": g.score}, bounds.elbo, 4, TypeError, r"expected how\['z'\], one of"),
    "another estimator": ({"z": g.stl, "c": g.disarm}, bounds.elbo, 4, TypeError, r"expected how\['c'\], one of"),
    "a path through a coin": ({"z": g.stl, "c": g.pathwise}, bounds.elbo, 4, TypeError, r"how\['c'\]: pathwise needs"),
    "an enumerated normal": ({"z": g.exact, "c": g.score}, bounds.elbo, 4, TypeError, r"how\['z'\]: exact needs"),
    "stl of iwae": ({"z": g.stl, "c": g.score}, bounds.iwae, 4, ValueError, "stl needs the ELBO"),
    "dreg before a coin": ({"z": g.dreg, "c": g.score}, bounds.iwae, 4, ValueError, r"how\['z'\]: dreg is biased"),
    "rows": ({"z": g.stl, "c": g.exact}, bounds.elbo, 5, ValueError, "expected noise with 2 rows per sample"),
    "optimal": (
        {"z": g.stl, "c": partial(g.score, baseline=baselines.optimal)}, bounds.elbo, 4, TypeError,
        r"how\['c'\]: optimal needs",
    ),
    "a bound within": (
        {"z": partial(g.stl, bound=bounds.elbo), "c": g.score}, bounds.elbo, 4, TypeError, "pass bound to mixed"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_before_log_p_is_called(name):
    how, bound, rows, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        g.mixed(lambda z: pytest.fail("log_p was called"), Q, Q.noise(keys.key(1), rows), bound=bound, how=how)


@pytest.mark.parametrize("relaxed", [g.straight_through, partial(g.gumbel_straight_through, temperature=0.5)])
def test_a_relaxed_latent_has_the_value_of_its_coin_and_the_gradient_of_its_relaxation(relaxed):
    """Alone, it is the estimator of that name."""

    def value(phi, alone):
        root = coin(phi, {}, 2)
        q = Joint(c=root)
        noise = q.noise(keys.key(4), 3)
        if alone:
            return relaxed(lambda z: log_joint(PARAMS["theta"], {"c": z}), root, noise["c"]).sum()
        return g.mixed(partial(log_joint, PARAMS["theta"]), q, noise, how={"c": relaxed}).sum()

    for found, right in zip(
        grad_and_value(value)(PARAMS["phi"]["c"], False), grad_and_value(value)(PARAMS["phi"]["c"], True), strict=True
    ):
        torch.testing.assert_close(found, right)
