"""Diffusions in latents as programs: laws, a run on a run of vae end to end, refusals."""

import json
import shutil

import numpy as np
import pytest
import torch

from jensen import laws
from jensen.core import keys, trees
from jensen.core.models.latent import vae
from jensen.core.models.transport import diffusion, dit, guidance, latent_diffusion, mixed, noise_levels
from jensen.experiments import sample, train
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import Images
from jensen.experiments.programs.finished import read_run
from jensen.experiments.programs.labelled_latent_diffusion import LabelledLatentDiffusionProgram
from jensen.experiments.programs.latent_diffusion import Encoded, LatentDiffusionProgram
from jensen.experiments.report.latent_diffusion import evaluate_latents, samples
from tests.experiments.process import last, run

KEY = keys.key(0)
X = (keys.uniform(KEY, (1, 12, 16))[0] < 0.4).float()
VAE = vae.mlp(16, (6,), 4)
STAGE = VAE.init(KEY, X)
LEVELS = noise_levels.linear(5)
MODEL = latent_diffusion.build(VAE, diffusion.build(dit.vector(4, 2, 8, 1, 2), LEVELS))


@pytest.mark.parametrize("dynamic", [False, True])
def test_it_keeps_the_laws_of_programs(dynamic):
    laws.check(LatentDiffusionProgram(MODEL, STAGE, dynamic, Epochs(12, 4)), example=X)


def test_no_step_changes_the_first_stage_and_drawn_pixels_are_binary():
    program = LatentDiffusionProgram(MODEL, STAGE, True, Epochs(12, 4))
    params, state = program.init(KEY, 0.5 * X)
    out = program.loss(params, state, {"data": 0.5 * X}, KEY, {})
    assert out.state is state
    assert set(program.pixels(KEY, 0.5 * X).unique().tolist()) == {0.0, 1.0}
    drawn = program.sample(params, state, KEY, 5)
    assert drawn.shape == (5, 16)
    assert ((drawn >= 0) & (drawn <= 1)).all()


def test_the_report_compares_both_priors_at_the_same_draws():
    first, params = MODEL.first(STAGE, X, KEY), MODEL.init(KEY)
    found = evaluate_latents(MODEL, params, first, X, KEY)
    bound = MODEL.bound(params, first, X, KEY)
    assert found.own_elbo == pytest.approx(bound.own_elbo.mean().item(), rel=1e-5)
    assert found.elbo == pytest.approx(bound.elbo.mean().item(), rel=1e-5)
    assert "no better than the model's own prior" in found.finding().summary
    better = found._replace(elbo=found.own_elbo + 1, gain_error=0.1).finding()
    assert "1.00 ± 0.10" in better.summary
    assert better.rows[0]["gain"] == pytest.approx(1)
    images = Images(X, X, torch.zeros(12, dtype=torch.int64), (1, 4, 4))
    figure = samples(MODEL, first, lambda n: torch.rand(n, 16), images)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["data", "own prior", "", "", "diffusion", "", ""]


GUIDED = guidance.build(dit.vector(4 + 3, 2, 8, 1, 2), 3)
LABELLED = latent_diffusion.build(VAE, diffusion.build(mixed.build(GUIDED.of(), LEVELS), LEVELS))
DATA = {"x": X, "labels": torch.arange(12) % 3}


def labelled(**own):
    settings = {"guided": GUIDED, "levels": LEVELS, "drop": 0.0, "scale": 0.0, **own}
    return LabelledLatentDiffusionProgram(LABELLED, STAGE, False, Epochs(12, 4), **settings)


def test_with_labels_it_keeps_the_laws_and_each_datum_has_its_own():
    program = labelled(drop=0.3)
    laws.check(program, example=DATA)
    program = labelled()
    params, state = program.init(KEY, DATA)
    params = trees.map(lambda t: t + 0.1 * keys.normal(KEY, tuple(t.shape)), params)  # away from a field of 0
    key = keys.split(KEY, 3)[2]
    expected = program.given(DATA["labels"]).loss(params["model"], state["first"], X, key).mean()
    assert program.loss(params, state, {"data": DATA}, KEY, {}).loss == expected
    other = {**DATA, "labels": (DATA["labels"] + 1) % 3}
    assert program.loss(params, state, {"data": other}, KEY, {}).loss != expected
    images = Images(X, X, DATA["labels"], (1, 4, 4))
    _, found = program.report(params, state, Encoded(images, STAGE), KEY)
    bound = program.given(DATA["labels"]).bound(params["model"], state["first"], X, KEY)
    assert found.rows[0]["elbo"] == pytest.approx(bound.elbo.mean().item(), rel=1e-5)


def test_draws_are_of_classes_in_turn_with_the_guidance_that_is_asked_for():
    program, pushed = labelled(), labelled(scale=2.0)
    params, state = program.init(KEY, DATA)
    params = trees.map(lambda t: t + 0.1 * keys.normal(KEY, tuple(t.shape)), params)
    x = program.sample(params, state, KEY, 6)
    labels = torch.arange(6) % 3
    assert torch.equal(x, program.sample_of(params, state, KEY, labels))
    assert not torch.equal(x, pushed.sample(params, state, KEY, 6))
    z = program.given(labels).sample(params["model"], state["first"], KEY, 6)
    assert torch.equal(x, VAE.likelihood(STAGE, z[None]).mean()[0])


SMALL = ["vae", "--no-compile", "--steps", 4, "--hidden", 6, "--latent", 4, "--evidence-k", 2]
FAST = ["ldm", "--no-compile", "--steps", 6, "--batch", 8, "--noise-steps", 3, "--tokens", 2, "--width", 4]
FAST += ["--layers", 1, "--heads", 2, "--checkpoint-every", 4, "--lr-final", 1]


@pytest.fixture(scope="module")
def of_vae(tmp_path_factory):
    """Finished runs of vae, of two seeds."""
    folders = [tmp_path_factory.mktemp("vae") / str(seed) for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        run(*SMALL, "--seed", seed, "--out", folder)
    return folders


def test_a_run_on_a_run_of_vae_resumes_to_the_same_bits_and_refuses_another(of_vae, tmp_path, refused):
    said = run(*FAST, "--vae", of_vae[0], "--out", tmp_path / "run")
    assert "diffusion of 3 linear levels in the 4 latents of a vae on digits, 6 steps" in said
    assert "own prior" in said
    run(*FAST, "--vae", of_vae[0], "--steps", 4, "--out", tmp_path / "part")
    assert "other data than are here now" in refused(
        train.main, "--resume", tmp_path / "part", "--steps", 6, "--vae", of_vae[1]
    )
    run("--resume", tmp_path / "part", "--steps", 6, "--vae", of_vae[0])
    whole, part = (json.loads((tmp_path / name / "report.json").read_text())["findings"] for name in ("run", "part"))
    assert whole == part
    of_whole, of_part = (last(tmp_path / name)[1].tensors for name in ("run", "part"))
    assert all(torch.equal(of_whole[name], of_part[name]) for name in of_whole)
    source = whole["what"][0]
    assert source["run"] == str(of_vae[0])
    assert len(source["digest"]) == 64
    done = read_run(tmp_path / "run")
    assert torch.equal(
        done.state["first"].params["decoder"]["0"]["weight"], done.prepared.program.params["decoder"]["0"]["weight"]
    )
    sample.main([str(tmp_path / "run"), "--n", "3", "--out", str(tmp_path / "drawn.npy")])
    drawn = np.load(tmp_path / "drawn.npy")
    assert drawn.shape == (3, 64)
    assert (drawn >= 0).all()
    assert (drawn <= 1).all()


def test_grey_pixels_in_float64(of_vae, tmp_path):
    grey = ["--pixels", "grey", "--likelihood", "gaussian"]
    run(*SMALL, *grey, "--out", tmp_path / "vae")
    said = run(*FAST, "--vae", tmp_path / "vae", "--dtype", "float64", "--levels", "cosine", "--out", tmp_path / "run")
    assert "bits/dim are those of a density of grey pixels" in said


def test_a_run_given_labels_draws_a_class_and_goes_on_with_another_guidance(of_vae, tmp_path):
    said = run(*FAST, "--labels", "--vae", of_vae[0], "--out", tmp_path / "run")
    assert "in the 4 latents of a vae on digits given labels, drawn with guidance 0, 6 steps" in said
    sample.main([str(tmp_path / "run"), "--class", "3", "--n", "4", "--out", str(tmp_path / "x.npy")])
    done = read_run(tmp_path / "run")
    of_three = done.prepared.program.sample_of(done.params, done.state, keys.fold_in(KEY, 0), torch.full((4,), 3))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), of_three)
    again = run("--resume", tmp_path / "run", "--guidance", 2)
    assert "drawn with guidance 2" in again
    assert read_run(tmp_path / "run").prepared.program.scale == 2


def test_refusals(of_vae, tmp_path, refused):
    def said(*options, vae=of_vae[0]):
        return refused(train.main, *FAST, "--vae", vae, *options, "--out", tmp_path / "run")

    assert "expected --vae, the folder of a finished run of vae" in refused(train.main, "ldm")
    assert f"{tmp_path} holds no run" in said(vae=tmp_path)
    assert "expected --tokens of at least 1, got 0" in said("--tokens", 0)
    assert "--heads 3 does not divide --width 4" in said("--heads", 3)
    assert "expected --noise-steps of at least 2, got 1" in said("--noise-steps", 1)
    assert "--guidance is for diffusions given --labels: add that" in said("--guidance", 1)
    assert "--drop is for diffusions given --labels: add that" in said("--drop", 0.2)
    assert "expected --drop in [0, 1), got 1" in said("--labels", "--drop", 1)
    assert "expected --guidance of at least 0, got -1" in said("--labels", "--guidance", -1)
    assert "need more digits than --dtype bfloat16 has" in said("--dtype", "bfloat16")
    assert "--batch 9000 exceeds the 1437 training data" in said("--batch", 9000)
    run("sbn", "--no-compile", "--steps", 2, "--units", 4, "--evidence-k", 2, "--out", tmp_path / "sbn")
    assert "holds a sbn, whose latents are no real vectors: pass a run of vae" in said(vae=tmp_path / "sbn")
    shutil.copytree(of_vae[0], tmp_path / "half")
    (tmp_path / "half" / "report.json").unlink()
    assert "has not finished: go on with" in said(vae=tmp_path / "half")
