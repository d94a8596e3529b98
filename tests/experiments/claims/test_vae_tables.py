"""The VAE of torch.nn has the loss of ours, epochs are means over their data, and the lecture is quoted for MNIST."""

import importlib
import json

import pytest
import torch

from jensen.core.models.latent import vae
from jensen.core.models.latent.likelihoods import SOFT_BERNOULLI
from jensen.core.objectives import kl
from jensen.experiments.claims import vae_tables
from jensen.experiments.claims.plain_vaes import Module, by_epoch, by_jax, by_module
from jensen.experiments.claims.vae_tables import Figure, Settings, slope, table


def test_the_modules_loss_is_the_librarys():
    torch.manual_seed(0)
    module, x = Module(6, 5, 2), torch.rand(7, 6)
    model = vae.mlp(6, (5,), 2, torch.relu, SOFT_BERNOULLI)
    layer = lambda one: {"weight": one.weight, "bias": one.bias}  # noqa: E731
    heads = {name: torch.cat([getattr(module.loc, name), 0.5 * getattr(module.log_variance, name)])
             for name in ("weight", "bias")}  # fmt: skip
    params = {"encoder": {"0": layer(module.features), "1": heads}, "likelihood": {}, "posterior": {}, "prior": {},
              "decoder": {"0": layer(module.decoder[0]), "1": layer(module.decoder[2])}}  # fmt: skip
    torch.manual_seed(1)
    loss = module.loss(x)
    torch.manual_seed(1)
    q = model.posterior(params, x)
    z = q.sample(torch.randn(1, 7, 2))
    elbo = model.likelihood(params, z).log_prob(x).mean(0) - kl(q, model.prior(params, 7), z)
    torch.testing.assert_close(loss, -elbo.mean())


def test_epochs_are_means_over_their_data():
    assert by_epoch([(1.0, 3), (5.0, 1), (2.0, 3), (2.0, 1)], 2) == [2.0, 2.0]
    x = torch.rand(10, 4).round()
    whole = by_module(x, 8, 2, 3, 4)
    assert len(whole.losses) == 3
    assert whole.losses[2] < whole.first
    assert whole.losses == by_module(x, 8, 2, 3, 4).losses  # of a seed of its own


def test_without_jax_there_is_no_figure(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    assert by_jax(torch.rand(4, 3), 2, 2, 1, 2) is None


def test_the_lectures_losses_have_the_slopes_of_its_rates():
    assert [slope(beta) for beta in vae_tables.BETAS] == [pytest.approx(14.88), pytest.approx(9.373, abs=1e-3), None]


def test_the_lectures_figures_are_of_mnist_alone():
    rows = [Figure("784-400-20", "loss of epoch 10", 106.123, 104.23)]
    assert "104.23" in table(rows, Settings(data="mnist")).splitlines()[-1]
    assert table(rows, Settings()).splitlines()[-1].split()[-2:] == ["106.12", "–"]


def test_rows_and_a_table(tmp_path, capsys):
    vae_tables.main(["--timed-epochs", "1", "--epochs", "1", "--no-compile", "--out", str(tmp_path)])
    rows = [Figure(**json.loads(line)) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert {row.set_up for row in rows} == {
        "64-128-10, 1 epochs, 12 steps", "64-400-20", *(f"64-128-2, β = {beta:g}" for beta in vae_tables.BETAS)
    }  # fmt: skip
    found = {(row.set_up, row.what): row.ours for row in rows}
    assert found["64-400-20", "loss at the start"] > found["64-400-20", "loss of epoch 1"]
    assert found["64-128-2, β = 1", "loss of epoch 5"] is None
    assert "64-400-20" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--epochs", "0"], "expected --epochs of at least 1, got 0"),
        (["--data-dir", "somewhere"], "--data-dir holds MNIST's files and digits needs none"),
    ],
)
def test_bad_settings_are_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(vae_tables.main, *args, "--out", tmp_path / "all")
    assert not list(tmp_path.iterdir())
