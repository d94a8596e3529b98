"""Weights that lie up to 200 nats apart: no denormal number reaches a gradient, and none of its digits is lost."""

from functools import partial

import pytest
import torch
from torch.func import grad

from jensen.core import bounds, keys, trees
from jensen.core.distributions import DiagNormal, Joint
from jensen.core.divergences import generators
from jensen.core.models.latent import vae
from jensen.core.numerics import exponentials, negligible
from jensen.estimators import gradients as g
from jensen.estimators.gradients import baselines
from tests.denormals import counted

S, N, KEY = 32, 3, keys.key(11)
BOUNDS = {
    "IWAE": bounds.iwae,
    "Renyi(0.5)": bounds.Renyi(0.5),
    "Cubo": bounds.Cubo(2.0),
    "Miwae": bounds.Miwae(2, S // 2),
    "Ciwae": bounds.Ciwae(0.5),
    "Tvo": bounds.Tvo(bounds.log_betas(3)),
    "Tvo right": bounds.Tvo(bounds.log_betas(3), "right"),
    "Sumo": bounds.Sumo(2),
    "Jackknife": bounds.Jackknife(1),
    "Csiszar": bounds.Csiszar(generators.chi2),
    "a function": lambda log_w: torch.logsumexp(log_w, 0),
}
ESTIMATORS = {f"{name}: {f.__name__}": partial(f, bound=b) for name, b in BOUNDS.items() for f in (g.pathwise, g.dreg)}
ESTIMATORS |= {
    "STL": g.stl,
    "VIMCO": partial(g.score, bound=bounds.iwae, baseline=baselines.vimco),
    "OVIS": partial(g.score, bound=bounds.iwae, baseline=baselines.leave_one_out),
    "wake": g.wake,
    "PIWAE": lambda log_p, q, noise: _piwae(g.log_weights(log_p, q, noise)),
    "mixed": lambda log_p, q, noise: g.mixed(
        lambda z: log_p(z["z"]), Joint(z=q), {"z": noise}, how={"z": g.dreg}, bound=bounds.iwae
    ),
}
UNCUT = "a function: pathwise"  # its gradient is that of torch.logsumexp
WITHIN = ("Sumo", "Jackknife", "a function")  # whose derivatives, (s, n) or (s, s, n), are products of smaller ones
NETWORK = {"aten.mm.default", "aten.tanh_backward.default", "aten.softplus_backward.default"}


def _piwae(log_w):
    return bounds.piwae(log_w, log_w, 2, S // 2)


def slopes(estimator, dtype=torch.float32):
    """The gradient in the parameters of a VAE, whose log weights are spread evenly on top of their own differences."""
    model = vae.mlp(6, (5,), 2)
    x = (keys.uniform(KEY, (N, 6)) < 0.4).to(dtype)
    params = trees.map(lambda t: t.to(dtype), model.init(KEY, x.float()))
    spread = torch.linspace(0, -200, S, dtype=dtype)[torch.randperm(S, generator=torch.Generator().manual_seed(2))]

    def loss(params):
        q = model.posterior(params, x)
        noise = trees.map(lambda t: t.to(dtype), DiagNormal(torch.zeros(N, 2), torch.zeros(N, 2)).noise(KEY, S))
        return -estimator(lambda z: model.log_joint(params, x, z) + spread[:, None], q, noise).mean()

    return grad(loss)(params)


def cut_at(monkeypatch, least):
    monkeypatch.setattr(exponentials, "negligible", lambda dtype: least)


@pytest.mark.parametrize("name", sorted(ESTIMATORS.keys() - {UNCUT}))
def test_no_denormal_number_is_computed(name):
    found = counted(lambda: slopes(ESTIMATORS[name])).keys()
    assert not found & NETWORK if name.startswith(WITHIN) else not found


@pytest.mark.parametrize("name", ["IWAE: pathwise", "Sumo: pathwise", "VIMCO", "wake"])
def test_without_the_cut_they_reach_matrix_products(name, monkeypatch):
    cut_at(monkeypatch, 1e-45)
    assert counted(lambda: slopes(ESTIMATORS[name]))["aten.mm.default"] > 0


@pytest.mark.parametrize("name", ["IWAE: pathwise", "IWAE: dreg", "Jackknife: dreg", "Sumo: pathwise", "VIMCO", "wake"])
def test_the_gradient_has_all_digits(name, monkeypatch):
    """In float64 with the cut of float32, beside one at 1e-300, which is none."""
    found, expected = [], []
    for least, into in ((negligible(torch.float32), found), (1e-300, expected)):
        cut_at(monkeypatch, least)
        into.extend(trees.leaves(slopes(ESTIMATORS[name], torch.float64)))
    for a, b in zip(found, expected, strict=True):
        assert (a - b).abs().max() <= 1e-16 * b.abs().max()


@pytest.mark.parametrize("name", BOUNDS)
def test_weights_and_their_products_with_path_coefficients_are_normal_or_nothing(name):
    log_w = torch.linspace(0, -200, S)[:, None].expand(S, N) + keys.normal(KEY, (S, N))
    u, path = bounds.derivatives(BOUNDS[name], log_w)
    for t in (u, u * path):
        assert ((t == 0) | (t.abs() > negligible(t.dtype))).all()
    assert name.startswith(("Ciwae", "Tvo", "Csiszar")) or (u == 0).any()  # those leave each sample some weight
