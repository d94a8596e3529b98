"""Priors of codes as programs: a run of codes, its prior, the images of it; a report with the numbers of its data."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from jensen import laws
from jensen.core import keys, trees
from jensen.core.models.autoregressive import codes
from jensen.core.models.quantised import Fsq, Vq, autoencoder, two_maps
from jensen.experiments import sample, train
from jensen.experiments.data import labelled
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import digits
from jensen.experiments.programs.code_prior import Coded, CodePriorProgram
from jensen.experiments.programs.finished import read_codes, read_run
from jensen.experiments.report.code_prior import Coder
from jensen.experiments.report.codes import all_codes, frequency_bits
from jensen.experiments.run import session
from jensen.experiments.run.loop import Loop
from jensen.experiments.run.program import Prepared
from tests.experiments.process import run, same_files

KEY = keys.key(0)
DIGITS = digits()
MODELS = {
    "one map": autoencoder.mlp(64, (4,), 2, 3, Vq(8)),
    "two maps": two_maps.conv((1, 8, 8), (2,), (2,), 2, Fsq((3, 4)), Fsq((3, 2))),
}


def coded(name, classes=0):
    """An untrained model's codes of digits, and a program of a small prior of them."""
    model = MODELS[name]
    coder = Coder(model, *model.init(KEY, DIGITS.train))
    prior = codes.build(model.maps, 8, 1, 2, rate=0.1, classes=classes)
    known = labelled.digits()
    parts = {"train": DIGITS.train, "test": DIGITS.test}
    labels = {name: getattr(known, name)["labels"] if classes else None for name in parts}
    data = Coded(*(prior.sequences(all_codes(*coder, x), labels[name]) for name, x in parts.items()), DIGITS, coder)
    return CodePriorProgram(prior, coder, Epochs(30, 10), title="of a title\n"), data


@pytest.mark.parametrize("name", MODELS)
def test_they_keep_the_laws_of_programs(name):
    program, data = coded(name)
    laws.check(program, example=data.train[:30])


@pytest.mark.parametrize("name", MODELS)
def test_the_report_has_the_means_of_its_data(name):
    program, data = coded(name)
    params, state = program.init(KEY, data.train)
    what, found = program.report(params, state, data, KEY)
    (row,) = found.rows
    log_p = program.model.log_prob(params["model"], data.test).double().numpy()
    given = all_codes(*data.coder, DIGITS.test)
    reconstruction = data.coder.log_prob(DIGITS.test, program.model.codes(data.test)).double().numpy()
    assert row["bits"] == pytest.approx(-log_p.mean() / math.log(2), rel=1e-5)
    assert row["bits_error"] == pytest.approx(log_p.std(ddof=1) / 360**0.5 / math.log(2), rel=1e-4)
    assert row["elbo"] == pytest.approx((log_p + reconstruction).mean(), rel=1e-5)
    assert row["bound_error"] == pytest.approx((log_p + reconstruction).std(ddof=1) / 360**0.5, rel=1e-4)
    assert row["bits_per_dim"] == pytest.approx(-row["elbo"] / 64 / math.log(2))
    assert row["uniform_bits"] == pytest.approx(sum(of.bits for of in program.model.maps))
    of_train, sizes = all_codes(*data.coder, DIGITS.train), [of.size for of in program.model.maps]
    alone = sum(map(frequency_bits, of_train.values(), given.values(), sizes))
    assert row["frequency_bits"] == pytest.approx(alone)
    assert program.score(params, state, data.test, KEY).mean().item() == pytest.approx(log_p.mean(), rel=1e-5)
    assert what.summary == "of a title\n"
    assert "no better than each place's frequencies" in found.summary  # an untrained one


def test_the_loss_is_minus_the_score_but_for_what_is_dropped():
    program, data = coded("one map")
    params, state = program.init(KEY, data.train)
    scored = -program.score(params, state, data.test, KEY).mean()
    first, second = (program.loss(params, state, {"data": data.test}, keys.key(i), {}).loss for i in range(2))
    assert first != second  # a tenth of the features is dropped, by the key
    whole = replace(program, model=replace(program.model, block=replace(program.model.block, rate=0.0)))
    torch.testing.assert_close(whole.loss(params, state, {"data": data.test}, KEY, {}).loss, scored)


def test_images_are_those_of_drawn_codes():
    program, data = coded("two maps")
    params, state = program.init(KEY, data.train)
    drawn = program.sample(params, state, KEY, 5)
    assert drawn.shape == (5, 64)
    assert torch.equal(drawn, data.coder.decoded(program.model.sample(params["model"], KEY, 5)))
    assert torch.equal(program.sample(params, state, keys.at(KEY, datum=3), 2), drawn[3:])


def test_labels_stand_before_the_codes_of_their_own_images():
    """The order of both sources is one; bits and scores are given the label, and draws of classes in turn."""
    program, data = coded("one map", classes=10)
    laws.check(program, example=data.train[:30])
    assert torch.equal(data.test[:, 0], DIGITS.test_labels)
    params, state = program.init(KEY, data.train)
    _, found, labels = program.report(params, state, data, KEY)
    log_p = program.model.log_prob_of_codes(params["model"], data.test).double()
    assert found.rows[0]["bits"] == pytest.approx(-log_p.mean().item() / math.log(2), rel=1e-5)
    torch.testing.assert_close(program.score(params, state, data.test, KEY).double(), log_p)
    likeliest = program.model.log_prob_of_labels(params["model"], data.test).argmax(-1)
    assert labels.rows[0]["mean"] == pytest.approx((likeliest == DIGITS.test_labels).double().mean().item())
    in_turn = torch.arange(12) % 10
    assert torch.equal(program.sample(params, state, KEY, 12), program.sample_of(params, state, KEY, in_turn))
    loss = program.loss(params, state, {"data": data.test}, KEY, {}).loss
    assert loss.item() == pytest.approx(-log_p.mean().item() + math.log(10), rel=0.1)  # the label is learned too


CODES = ["vq", "--no-compile", "--steps", 4, "--batch", 20, "--hidden", 4, "--positions", 2, "--quantiser", "vq(8)"]
FAST = [
    "prior", "--no-compile", "--steps", 6, "--batch", 20, "--width", 8, "--layers", 1, "--heads", 2, "--dropout", 0.1,
    "--lr-warmup", 2, "--checkpoint-every", 3, "--log-every", 2,
]  # fmt: skip


@pytest.fixture(scope="module")
def of_codes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codes") / "run"
    run(*CODES, "--out", folder)
    return folder


def test_a_run_of_codes_and_its_prior_end_to_end(of_codes, tmp_path, monkeypatch, refused):
    printed = run(*FAST, "--codes", of_codes, "--out", tmp_path / "whole")
    assert "prior of 2 codes of vq(8) on digits: 360 test images, 6 steps\nbits/dim are those of a density" in printed
    assert {path.name for path in (tmp_path / "whole" / "figures").iterdir()} == {"training.png", "samples.png"}
    report = json.loads((tmp_path / "whole" / "report.json").read_text())["findings"]["test"][0]
    assert report["uniform_bits"] == 6
    done = read_codes(of_codes)
    of_test = done.model.likelihood(done.params, done.state, done.model.codes(done.params, done.state, DIGITS.test))
    assert report["distortion"] == pytest.approx(-of_test.log_prob(DIGITS.test).mean().item(), rel=1e-5)
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "step", lambda loop, step=Loop.step: {}[0] if loop.progress.step == 4 else step(loop))
        with pytest.raises(KeyError):
            run(*FAST, "--codes", of_codes, "--out", tmp_path / "halves")
    shutil.copytree(of_codes, tmp_path / "moved")
    run(*CODES, "--seed", 1, "--out", tmp_path / "other")
    kind = refused(train.main, *FAST, "--codes", tmp_path / "whole", "--out", tmp_path / "none")
    assert "holds a prior, which has no codes: pass a run of vq" in kind
    go_on = ["--resume", tmp_path / "halves", "--codes"]
    assert "is of a run on other data than are here now" in refused(train.main, *go_on, tmp_path / "other")
    run(*go_on, tmp_path / "moved")
    same = {name: (tmp_path / name / "config.json").unlink() for name in ("whole", "halves")}  # which name the place
    same_files(*(tmp_path / name for name in same))


def test_a_prior_with_labels_draws_a_class_that_is_asked_for(of_codes, tmp_path, capsys, refused):
    printed = run(*FAST, "--codes", of_codes, "--labels", "--out", tmp_path / "run")
    assert "prior of 2 codes of vq(8) on digits, given labels: 360 test images" in printed
    assert "labels by p(label | codes)" in printed
    sample.main([str(tmp_path / "run"), "--class", "3", "--n", "4", "--out", str(tmp_path / "x.npy")])
    done = read_run(tmp_path / "run")
    of_three = done.prepared.program.sample_of(done.params, done.state, keys.fold_in(KEY, 0), torch.full((4,), 3))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), of_three)
    sample.main([str(tmp_path / "run"), "--class", "3"])
    assert (tmp_path / "run/samples-3-64-0.png").exists()
    assert "expected --class from 0 to 9, got 10" in refused(sample.main, tmp_path / "run", "--class", 10)


def test_codes_of_the_same_images_by_another_decoder_are_other_data():
    """All that images are made of is in the digest, not the codes alone."""
    program, data = coded("one map")
    other = trees.map(lambda t: t + 1, data.coder.params["decoder"])
    moved = data._replace(coder=data.coder._replace(params={**data.coder.params, "decoder": other}))
    digests = {session.digest(Prepared(program, data.train, data.test, each)) for each in (data, moved, data)}
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "expected --codes, the folder of a finished run of vq: train one with python -m jensen.experiments.train"),
        (["--codes", "nowhere"], "nowhere holds no run"),
        (["--codes", "nowhere", "--heads", 3], "--heads 3 does not divide --width 128: choose another"),
        (["--codes", "nowhere", "--width", 0], "expected --width of at least 1, got 0"),
        (["--codes", "nowhere", "--layers", -1], "expected --layers of at least 1, got -1"),
        (["--codes", "nowhere", "--dropout", 1], "expected --dropout in [0, 1), got 1"),
    ],
)
def test_what_cannot_work_is_refused_with_the_fix(options, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(train.main, "prior", "--no-compile", *options)
    assert not list(tmp_path.iterdir())


def test_too_large_a_batch_is_refused(of_codes, tmp_path, refused):
    said = refused(train.main, "prior", "--codes", of_codes, "--batch", 2000, "--out", tmp_path / "none")
    assert "--batch 2000 exceeds the 1437 training data" in said
