"""Collapse and its cures: what is trained, what GECO asks for, how many latents are in use, and the verdict."""

import pytest
import torch

from jensen.core.distributions import DiagNormal
from jensen.experiments.claims import collapse
from jensen.experiments.claims.collapse import COLLAPSED, Settings, cures, measure, used, verdict
from jensen.experiments.claims.compared import Row


class Model:
    """Three latents: one the prior's, one of a KL of 0.08 nats, one of 0.5."""

    def posterior(self, params, x):
        return DiagNormal(torch.tensor([0.0, 0.4, 1.0]).expand(len(x), 3), torch.zeros(len(x), 3))

    def prior(self, params, n):
        return DiagNormal(torch.zeros(n, 3), torch.zeros(n, 3))


class Done:
    model, params = Model(), {}
    images = type("Images", (), {"test": torch.zeros(5, 4)})


def test_latents_in_use_are_those_of_a_kl_above_the_threshold(monkeypatch):
    monkeypatch.setattr(collapse, "read_finished", lambda folder: Done)
    assert used("run") == 1.0


def test_geco_asks_for_more_than_the_strong_decoder_reached(monkeypatch, tmp_path):
    asked = []

    def compared(contenders, seeds, out):
        asked.append({name: one.settings(0, out / name) for name, one in contenders.items()})
        return [Row(name, seed, {"reconstruction": -20.0 - seed}) for seed in range(seeds) for name in contenders]

    monkeypatch.setattr(collapse, "compared", compared)
    monkeypatch.setattr(collapse, "used", lambda folder: 3.0)
    rows = measure(Settings(out=tmp_path, seeds=2, latent=4))
    assert list(asked[0]) == [COLLAPSED]
    assert asked[1]["GECO"].estimation.objective == "geco(-18.5)"
    assert asked[1]["no lag"].run.steps == 6 * asked[1][COLLAPSED].run.steps
    assert all(row.numbers["used"] == 3.0 for row in rows)
    for one in asked[1].values():
        one.check()


def test_the_verdict_names_the_cures_that_work_in_every_seed():
    rows = [Row(COLLAPSED, 0, {"used": 0}), Row("warm-up", 0, {"used": 2}), Row("GECO", 0, {"used": 0})]
    rows += [Row(COLLAPSED, 1, {"used": 0}), Row("warm-up", 1, {"used": 1}), Row("GECO", 1, {"used": 5})]
    assert verdict(rows) == "the strong decoder collapses; latents are restored by warm-up, and not by GECO"


def test_each_cure_changes_one_thing():
    settings = Settings()
    plain = collapse.contender(settings, collapse.Estimation()).settings(0, settings.out)
    for name, one in cures(settings, -10.0).items():
        other = one.settings(0, settings.out)
        changed = [field for field in vars(plain) if getattr(plain, field) != getattr(other, field)]
        assert changed == (["inner_steps", "run"] if name == "no lag" else ["estimation"]), name


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--seeds", 1), "one has no standard error"),
        (("--steps", 1), "expected --steps of at least 2, half of which are a warm-up, got 1"),
        (("--latent", 0), "expected --latent of at least 1, got 0"),
    ],
)
def test_bad_settings_are_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(collapse.main, *args, "--out", tmp_path / "all")
    assert not list(tmp_path.iterdir())
