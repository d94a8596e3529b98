"""A VAE of bounded spectral norms: what its functions see, and that what is below the bound is left alone."""

import pytest
import torch
from torch.func import grad

from jensen import laws
from jensen.core import keys, trees
from jensen.core.contracts import Amortised, can
from jensen.core.models.latent import vae
from jensen.experiments import train
from jensen.experiments.programs.adapted import adapted
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.programs.spectral import Spectral
from tests.experiments.programs.small import data, out, program

KEY = keys.key(6)
PLAIN = vae.mlp(4, (3,), 2)
PARAMS = trees.map(lambda leaf: 3 * leaf, PLAIN.init(KEY, data(40)))
Z = keys.normal(KEY, (5, 3, 2), torch.float64)


def test_weights_above_the_limit_are_brought_down_to_it():
    """By singular values of NumPy's kind; the model's functions are the plain one's of such weights."""
    model = Spectral(PLAIN, 0.7)

    def bounded(leaf):
        return leaf * min(1.0, 0.7 / torch.linalg.svdvals(leaf)[0].item()) if leaf.ndim == 2 else leaf

    by_hand = {**PARAMS, **{side: trees.map(bounded, PARAMS[side]) for side in ("encoder", "decoder")}}
    assert any(torch.linalg.svdvals(t)[0] > 0.8 for t in trees.leaves(PARAMS) if t.ndim == 2)
    torch.testing.assert_close(model.log_joint(PARAMS, data(), Z), PLAIN.log_joint(by_hand, data(), Z))
    torch.testing.assert_close(model.posterior(PARAMS, data()).loc, PLAIN.posterior(by_hand, data()).loc)


def test_weights_below_it_are_left_alone():
    model = Spectral(PLAIN, 100.0)
    torch.testing.assert_close(model.log_joint(PARAMS, data(), Z), PLAIN.log_joint(PARAMS, data(), Z), rtol=0, atol=0)


def test_it_trains_as_any_model():
    made = program(Estimation(), Spectral(PLAIN, 0.7))
    laws.check(made, example=data(40).float())
    params, state = made.init(KEY, data(40))
    slopes = grad(lambda params: out(made, params, state).loss)(params)
    assert all(slope.abs().max() > 0 for slope in trees.leaves(slopes))
    assert can(adapted(made.model, Estimation().the_objective), Amortised)


@pytest.mark.parametrize("limit", [0, -1, "inf"])
def test_a_limit_is_positive(limit, tmp_path, refused):
    said = refused(train.main, "vae", "--spectral-norm", limit, "--out", tmp_path / "run")
    assert "expected a positive --spectral-norm" in said
