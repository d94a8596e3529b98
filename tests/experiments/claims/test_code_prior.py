"""Codes and a prior beside a VAE: which runs are compared, and what is said of numbers known by hand."""

import json

import pytest
import torch

from jensen.experiments.claims import code_prior
from jensen.experiments.claims.code_prior import CODES, DRAWS, PRIOR, VAE, Settings, contenders, verdict
from jensen.experiments.claims.compared import Row, place
from jensen.experiments.claims.trained import judged


def rows(ours, theirs, seconds=(10.0, 15.0)):
    return [
        Row(name, seed, {"distance": distance, "bias": 0.1, "training_s": spent})
        for name, distances, spent in ((DRAWS, ours, seconds[0]), (VAE, theirs, seconds[1]))
        for seed, distance in enumerate(distances)
    ]


def test_a_prior_is_of_the_codes_of_its_own_seed(tmp_path):
    settings = Settings(out=tmp_path, share=0.5)
    runs = {name: one.settings(3, place(tmp_path, name, 3)) for name, one in contenders(settings).items()}
    assert list(runs) == [CODES, PRIOR, VAE]  # in the order that they are trained in
    assert runs[PRIOR].codes == runs[CODES].run.out
    assert {name: run.run.steps for name, run in runs.items()} == {
        name: round(steps / 2) for name, steps in settings.sizes.steps.items()
    }
    assert {run.images.data for run in (runs[CODES], runs[VAE])} == {"digits"}
    assert {run.run.seed for run in runs.values()} == {3}


def test_the_verdict_has_the_gain_and_the_seconds():
    text = verdict(rows((3.0, 5.0), (7.0, 8.0)))
    assert text == (
        "codes and prior: -3.5 ± 0.5, -7.0 standard errors, below the VAE's with every seed; "
        "the VAE had 1.50 times their seconds of training"
    )
    assert "not below the VAE's with every seed" in verdict(rows((3.0, 9.0), (7.0, 8.0)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", 1], "--seeds 1: expected at least 2"),
        (["--draws", 5], "expected --draws of at least 10, got 5"),
        (["--share", 0], "expected --share in (0, 100], got 0"),
        (["--data-dir", "nowhere"], "--data-dir holds MNIST's files and digits needs none"),
        (["--data", "mnist", "--data-dir", "nowhere"], "nowhere is no folder"),
    ],
)
def test_what_cannot_work_is_refused_with_the_fix(options, message, tmp_path, refused):
    assert message in refused(code_prior.main, *options, "--out", tmp_path / "out")
    assert not list(tmp_path.glob("out/*/report.json"))


@pytest.mark.slow
def test_the_claim_holds_of_digits(tmp_path, capsys):
    """Each distance is below the VAE's, and each prior's bits below those of places; nothing is trained again."""
    code_prior.main(["--out", str(tmp_path)])
    said = capsys.readouterr().out
    print(said)
    assert ", below the VAE's with every seed" in said
    found = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert torch.tensor([row["distance"] for row in found]).isfinite().all()
    for seed in range(2):
        prior = judged(place(tmp_path, PRIOR, seed))
        assert prior["bits"] + 2 * prior["bits_error"] < prior["frequency_bits"] - 2  # of places by themselves
    code_prior.main(["--out", str(tmp_path)])
    assert "training" not in capsys.readouterr().out.replace("seconds of training", "")
