"""Contenders have one budget, rows are of the runs' reports, and the order is that of means over seeds."""

import json
import math

import pytest

from jensen.experiments.claims import diffusion_bits
from jensen.experiments.claims.compared import Row, place
from jensen.experiments.claims.diffusion_bits import Settings, contenders, outcome, verdict


def test_contenders_differ_in_loss_and_network_alone(tmp_path):
    settings = Settings(out=tmp_path, steps=7, hidden=(8,))
    each = {name: one.settings(1, place(tmp_path, name, 1)) for name, one in contenders(settings).items()}
    for one in each.values():
        one.check()
        assert (one.run.steps, one.run.batch, one.run.seed, one.optimiser.lr, one.hidden) == (7, 128, 1, 2e-3, (8,))
    chains = {name: (one.network, one.weighting, one.variance) for name, one in each.items() if hasattr(one, "levels")}
    assert chains == {
        "DDPM": ("mlp", "simple", "large"),
        "DDPM by the bound": ("mlp", "bound", "large"),
        "shades": ("choices", "simple", "large"),
        "shades by min-SNR": ("choices", "min-snr", "large"),
        "shades by the bound": ("choices", "bound", "large"),
        "shades and small variances": ("choices", "bound", "small"),
    }
    assert len({one.run.out for one in each.values()}) == len(each)


def test_bits_are_those_of_the_reports(tmp_path):
    (tmp_path / "timing.json").write_text(json.dumps({"training_s": 3.0}))
    assert outcome(tmp_path) is None
    findings = {"bits": [{"mean": 2.5}, {"mean": 3.0}], "points": [{"value": 4.0}]}
    (tmp_path / "report.json").write_text(json.dumps({"findings": findings}))
    assert outcome(tmp_path) == {"bits": 2.5, "independent": 3.0, "wasserstein": 4.0, "training_s": 3.0}
    (tmp_path / "report.json").write_text(json.dumps({"findings": {"test": [{"elbo": -64 * math.log(2)}]}}))
    assert outcome(tmp_path) == pytest.approx({"bits": 1.0, "training_s": 3.0})


def test_rows_are_left_and_contenders_are_put_in_order(tmp_path, monkeypatch, capsys):
    bits = {name: 3.0 - i for i, name in enumerate(contenders(Settings()))}

    def finished(kind, one, outcome):
        name = next(name for name in bits if one.run.out.name.startswith(f"{name.replace(' ', '-')}-{one.run.seed}"))
        return {"bits": bits[name] + 0.1 * one.run.seed, "independent": 2.97, "training_s": 1.0}

    monkeypatch.setattr(diffusion_bits, "finished", finished)
    diffusion_bits.main(["--out", str(tmp_path / "all")])
    printed = capsys.readouterr().out
    assert "independent pixels have 2.97" in printed
    assert "from few bits to many: VAE; VDM; shades and small variances" in printed
    assert len((tmp_path / "all/rows.jsonl").read_text().splitlines()) == 2 * len(bits)
    rows = [Row(name, seed, {"bits": b}) for name, of in (("a", (1, 4)), ("b", (2, 2))) for seed, b in enumerate(of)]
    assert verdict(rows) == "from few bits to many: b; a"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--seeds", 1], "--seeds 1: expected at least 2"),
        (["--noise-steps", 1], "expected --noise-steps of at least 2, got 1"),
        (["--hidden", 0], "expected --hidden of at least 1, got 0"),
        (["--steps", 0], "expected --steps"),
    ],
)
def test_refusals(args, message, refused, tmp_path):
    assert message in refused(diffusion_bits.main, *args, "--out", tmp_path / "all")
    assert not (tmp_path / "all").exists()
