"""A setting is torch.optim's optimiser of its name, which keeps what a checkpoint expects and resumes to the bit."""

from dataclasses import replace

import pytest
import torch

from jensen.core import keys, trees
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.loop import fit
from jensen.experiments.run.optimisers import Optimiser, kept, would_keep
from jensen.experiments.run.program import Out
from tests.experiments.run.toys import RUN, Regression, folder, interrupted, points

SETTINGS = {
    "adam": Optimiser("adam", lr=0.1, beta1=0.8, beta2=0.99, eps=1e-4),
    "adamw": Optimiser("adamw", lr=0.1, weight_decay=0.3),
    "decaying adam": Optimiser("adam", lr=0.1, weight_decay=0.3),
    "sgd": Optimiser("sgd", lr=0.1),
    "momentum": Optimiser("sgd", lr=0.1, momentum=0.9, weight_decay=0.3),
    "rmsprop": Optimiser("rmsprop", lr=0.1, beta2=0.9, momentum=0.5, weight_decay=0.3),
}
MAKE = {
    "adam": lambda leaves: torch.optim.Adam(leaves, lr=0.1, betas=(0.8, 0.99), eps=1e-4),
    "adamw": lambda leaves: torch.optim.AdamW(leaves, lr=0.1, weight_decay=0.3),
    "decaying adam": lambda leaves: torch.optim.Adam(leaves, lr=0.1, weight_decay=0.3),
    "sgd": lambda leaves: torch.optim.SGD(leaves, lr=0.1),
    "momentum": lambda leaves: torch.optim.SGD(leaves, lr=0.1, momentum=0.9, weight_decay=0.3),
    "rmsprop": lambda leaves: torch.optim.RMSprop(leaves, lr=0.1, alpha=0.9, momentum=0.5, weight_decay=0.3),
}


SHAPES = {"kernel": (2, 3, 2, 2), "weight": (3, 2), "bias": (3,), "scale": ()}


def tree(seed=9):
    return {name: keys.normal(keys.key(seed), shape).contiguous() for name, shape in SHAPES.items()}


def stepped(optimiser, params):
    for step in range(3):
        trees.set_grads(params, tree(step))
        optimiser.step()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_the_optimiser_of_its_name_and_biases_do_not_decay(name):
    params, theirs = tree(), tree()
    stepped(SETTINGS[name].make(params), params)
    stepped(MAKE[name](trees.leaves(theirs)), theirs)
    for path in ("kernel", "weight"):
        torch.testing.assert_close(params[path], theirs[path])
    plain = tree()
    stepped(replace(SETTINGS[name], weight_decay=0.0).make(plain), plain)
    for path in ("bias", "scale"):
        torch.testing.assert_close(params[path], plain[path])
        if SETTINGS[name].weight_decay:
            assert not torch.equal(params[path], theirs[path])


@pytest.mark.parametrize("name", SETTINGS)
def test_what_a_checkpoint_must_hold_is_what_an_optimiser_keeps(name):
    params = tree()
    optimiser = SETTINGS[name].make(params)
    assert kept(optimiser, params) == {}
    stepped(optimiser, params)
    found, expected = kept(optimiser, params), would_keep(SETTINGS[name], params)
    assert {n: (t.shape, t.dtype) for n, t in found.items()} == {n: (t.shape, t.dtype) for n, t in expected.items()}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_optimiser_resumes_to_the_bit(name, tmp_path):
    program, data = Regression(optimiser=SETTINGS[name]), points()
    whole = fit(program, RUN, data, data, folder(tmp_path / "whole"))
    interrupted(program, RUN, data, data, folder(tmp_path / "parts"), 17)
    parts = fit(program, RUN, data, data, folder(tmp_path / "parts"))
    assert all(torch.equal(a, b) for a, b in zip(trees.leaves(whole.params), trees.leaves(parts.params), strict=True))


class Turned(Regression):
    """A matrix that is used turned, so that its gradient lies in memory as its transpose would."""

    def init(self, key, data):
        return {"model": {"matrix": torch.arange(12.0).reshape(4, 3).to(data)}}, {}

    def loss(self, params, state, batch, key, weights):
        products = params["model"]["matrix"].T[:, :, None] * batch["data"].T
        error = (products.sum(1) - torch.arange(3.0)[:, None]).square().sum(0)
        return Out(error.mean(), {"error": error}, {})

    def score(self, params, state, batch, key):
        return (batch @ params["model"]["matrix"]).sum(-1)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_gradient_in_another_order_of_memory_is_followed_by_its_indices(name, tmp_path):
    """Fused optimisers pair what lies at the same place in memory, without a word."""

    class Transposed(Turned):
        def init(self, key, data):
            params, state = super().init(key, data)
            return {"model": {"matrix": params["model"]["matrix"].T.contiguous().T}}, state

    program, data = Turned(optimiser=SETTINGS[name]), points()
    params, _ = program.init(keys.key(0), data)
    leaves = [leaf.requires_grad_() for leaf in trees.leaves(params)]
    theirs = MAKE[name](leaves)
    _, data_key, step_key, _ = keys.split(keys.key(0), 4)
    for step in range(3):
        theirs.zero_grad()
        program.loss(params, {}, program.batch(data, data_key, step), step_key, {}).loss.backward()
        theirs.step()
    run = replace(RUN, steps=3, lr_final=1.0)
    for made in (program, Transposed(optimiser=SETTINGS[name])):
        where = folder(tmp_path / type(made).__name__, run)
        torch.testing.assert_close(fit(made, run, data, data, where).params["model"]["matrix"], leaves[0].detach())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (Optimiser(lr=0.0), "expected a positive --lr"),
        (Optimiser(lr=1e-45), "--lr 1e-45 is 0 in float32"),
        (Optimiser(eps=1e-60), "--eps 1e-60 is 0 in float32"),
        (Optimiser(beta2=1.0), r"expected --beta2 in \[0, 1\)"),
        (Optimiser(weight_decay=-1.0), "a non-negative --weight-decay"),
        (Optimiser("adamw", momentum=0.9), "--momentum is for sgd and rmsprop"),
        (Optimiser("rmsprop", beta1=0.5), "--beta1 is for adam and adamw"),
        (Optimiser("sgd", eps=1e-3), "sgd has neither: leave them out"),
    ],
)
def test_what_an_optimiser_does_not_have_is_refused(setting, message):
    with pytest.raises(InputError, match=message):
        setting.check()
