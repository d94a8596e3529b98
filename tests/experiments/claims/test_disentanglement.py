"""Compared runs: each is trained once per seed, and the tables and verdicts are means over seeds."""

import json

import pytest

from jensen.experiments.claims import compared, disentanglement
from jensen.experiments.claims.compared import Column, Row, table
from jensen.experiments.claims.disentanglement import Settings, contenders, verdict
from jensen.experiments.claims.trained import Trained

ROWS = [
    Row(name, seed, {"mig": value + 0.1 * seed})
    for seed in (0, 1)
    for name, value in (("VAE", 0.1), ("beta-VAE", 0.2), ("beta-TC-VAE", 0.3), ("FactorVAE", 0.15))
]


@pytest.fixture
def runs(monkeypatch):
    """Stands in for training: leaves a report."""
    started = []

    def trained(kind, run):
        started.append((kind, run.estimation.objective, run.run.seed))
        run.run.out.mkdir(parents=True)
        findings = {"what": [], "test": [{"kl": 7.0, "k": 10}], "disentanglement": [{"of": "all factors", "mig": 0.5}]}
        (run.run.out / "report.json").write_text(json.dumps({"findings": findings}))
        return Trained(-20.0, 19.0, 0.1, 1.0)

    monkeypatch.setattr(compared, "trained", trained)
    return started


def test_each_objective_is_trained_with_each_seed(runs, tmp_path):
    settings = Settings(out=tmp_path / "all", seeds=2)
    rows = compared.compared(contenders(settings), 2, settings.out)
    assert runs == [
        (kind, objective, seed)
        for seed in (0, 1)
        for kind, objective in (("vae", "elbo"), ("vae", "beta(4)"), ("vae", "beta-tc(8, 4, 4)"), ("factor", "elbo"))
    ]
    assert rows[3].numbers == {
        "kl": 7.0, "k": 10.0, "mig": 0.5, "elbo": -20.0, "nll": 19.0, "error": 0.1, "training_s": 1.0
    }  # fmt: skip
    assert len((tmp_path / "all/rows.jsonl").read_text().splitlines()) == 8


def test_gains_are_of_one_seed_and_errors_over_seeds():
    lines = table("sprites", ROWS, (Column("MIG", "mig", 3), Column("gain", "mig", 3, gain=True))).splitlines()
    assert lines[1].split() == ["VAE", "0.150", "±", "0.050"]
    assert lines[2].split() == ["beta-VAE", "0.250", "±", "0.050", "+0.100", "±", "0.000"]
    assert verdict(ROWS).splitlines() == [
        "MIG of the beta-VAE is above that of the VAE, by +0.100 ± 0.000 over seeds",
        "MIG of the beta-TC-VAE is above that of the beta-VAE, by +0.100 ± 0.000 over seeds",
        "MIG of the FactorVAE is not above that of the beta-VAE, by -0.050 ± 0.000 over seeds",
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--seeds", 1), "one has no standard error"),
        (("--beta", 0), "expected a positive --beta, got 0.0"),
        (("--charge", -20), "--objective beta-tc(-16, 4, 4): expected beta in [0, inf), got -16"),
    ],
)
def test_bad_settings_are_one_clear_line(args, message, tmp_path, refused):
    assert message in refused(disentanglement.main, *args, "--out", tmp_path / "all")
    assert not list(tmp_path.iterdir())
