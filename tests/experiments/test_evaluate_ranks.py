"""An evaluation on several ranks finds what one process finds, and is written by the first; a lost rank is named."""

import json
import os
import signal
import time
from contextlib import nullcontext

import pytest
import torch
import torch.distributed as dist

from jensen.core import keys, trees
from jensen.core.distributions import DiagNormal
from jensen.core.models.autoregressive import transformer
from jensen.core.models.latent import hvae, ladder
from jensen.core.models.quantised import Vq, autoencoder
from jensen.estimators.evidence import importance
from jensen.experiments.data.images import digits
from jensen.experiments.programs import Vae
from jensen.experiments.programs.finished import Finished
from jensen.experiments.report import command_line, inference, judging, shared, text, written
from jensen.experiments.report.codes import evaluate_codes
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.ranks import Ranks
from tests.experiments.process import FEW, contents
from tests.experiments.ranks import SECONDS, on
from tests.experiments.report.conftest import binary_images, small_vae
from tests.experiments.report.test_inference import both

KEY = keys.key(3)


@pytest.fixture
def run(tmp_path, monkeypatch, quick_fits):
    """A run's folder, as if trained: what reading it gives stands in for reading."""
    monkeypatch.setattr(written, "png", lambda figure: b"")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    images = binary_images(dtype=torch.float64)
    model, params, _ = small_vae(2, images)
    found = Finished(folder, Vae(hidden=(8,), latent=2), model, params, images)
    monkeypatch.setattr(command_line, "read_assessed", lambda folder, device: found)
    monkeypatch.setattr(command_line, "are_of_text", lambda folders: False)
    return folder


def evaluated(folder, own, *args):
    """The command at a rank."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command_line, "joined", lambda device: nullcontext(own))
        command_line.run(command_line.parse([str(folder), *FEW, *args]))


def test_ranks_find_what_one_process_finds_and_the_first_writes_it(run, capfd):
    """Of the two images whose gaps are found one of three ranks has none."""
    evaluated(run, Ranks())
    one = contents(run / "evaluation")
    capfd.readouterr()
    results = on(3, lambda own: evaluated(run, own)).results()
    assert results == [{"ok": None}] * 3, results
    several = contents(run / "evaluation")
    assert several.keys() == one.keys()
    ours, theirs = map(read, (several, one))
    assert ours.keys() == theirs.keys()
    assert sum(isinstance(value, float) for value in theirs.values()) > 100
    for path, value in theirs.items():
        close = pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value
        assert ours[path] == close, path


def read(found):
    """What a report and its rows say, by its place."""
    rows = [json.loads(line) for line in found["rows.jsonl"].splitlines()]
    return trees.paths([json.loads(found["report.json"]), rows])


@pytest.mark.parametrize("build", [hvae.build, ladder.build])
def test_a_hierarchys_q_has_networks_that_are_all_images(build, quick_fits):
    """Each rank finds the gaps of all: a fit to some of them would have other networks."""
    x = binary_images(3, torch.float64).train
    model = build(16, (2, 1), (4,))
    params = model.init(KEY, x)

    def gaps(own=None):
        found = inference.inference(model, params, x, *both(torch.zeros(3).double(), -0.1), KEY, ranks=own)
        return torch.cat([*found.losses().values()]).tolist()

    one = gaps()
    assert len(set(one)) == 9
    assert [result["ok"] for result in on(2, gaps).results()] == [pytest.approx(one, rel=1e-12)] * 2


def test_codes_are_evaluated_by_parts():
    model, images = autoencoder.mlp(64, (4,), 2, 3, Vq(8)), digits()
    train, test = images.train[:200].double(), images.test[:50].double()
    params, state = model.init(KEY, train)

    def rows(found):
        return [value for value in found._asdict().values() if isinstance(value, float)]

    one = evaluate_codes(model, params, state, train, test)
    for result in on(3, lambda own: rows(evaluate_codes(model, params, state, train, test, own))).results():
        assert result["ok"] == pytest.approx(rows(one), rel=1e-12)


@pytest.mark.parametrize("stride", [8, 4])
def test_windows_of_a_text_are_read_by_parts(stride):
    """Of five, and of one, which leaves a rank without any."""
    model, x = transformer.build(3, 8, 1, 2, 8), keys.bits(KEY, (43,)) % 3
    params = model.init(KEY, torch.float64)
    for few in (x, x[:9]):
        one = text.scored(model, params, few, 8, stride)
        for result in on(2, lambda own, few=few: text.scored(model, params, few, 8, stride, own).tolist()).results():
            assert result["ok"] == pytest.approx(one.tolist(), rel=1e-12)


def test_a_million_particles_of_several_processes_are_those_of_one_in_chunks():
    q = DiagNormal(torch.zeros(2, 1, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64))

    def found(group=None):
        of = importance(lambda z: -(z - 1).square().sum(-1), q, KEY, 10**6, 2**16, group)
        return [of.log_p.tolist(), of.standard_error.tolist(), of.ess.tolist(), of.k_hat.tolist()]

    results = [result["ok"] for result in on(3, lambda own: found(dist.group.WORLD)).results()]
    assert results == [results[0]] * 3
    for ours, theirs in zip(results[0], found(), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-12)


HOW = {
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stopped": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "hangs": lambda: time.sleep(SECONDS),
}


@pytest.mark.parametrize("how", ["killed", "hangs", pytest.param("stopped", marks=pytest.mark.slow)])
def test_the_rank_that_is_lost_is_named(run, how, monkeypatch):
    monkeypatch.setattr(shared, "LEAST", 2.0)
    both = judging.assess

    def work(own):
        def sabotaged(*args):
            if own.rank == 1:
                HOW[how]()
            return both(*args)

        judging.assess = sabotaged
        evaluated(run, own)

    results = on(3, work).results(lost=1)
    for rank in (0, 2):
        assert results[rank]["error"] == "LostRankError", results
        assert f"rank {rank} waits in vain for rank 1 (" in results[rank]["text"]
    assert not (run / "evaluation").exists()


def test_draws_are_judged_in_one_process(run):
    for result in on(2, lambda own: evaluated(run, own, "--classifier", str(run))).results():
        assert result["error"] == InputError.__name__
        assert result["text"] == "draws are judged in one process: leave torchrun out, or --classifier"
