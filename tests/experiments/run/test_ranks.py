"""A run on several ranks is the run on one: parameters, held-out scores, checkpoints; and what ends it is said."""

import json
import os
import signal
import time
from dataclasses import replace

import pytest
import torch

from jensen.core import trees
from jensen.experiments.run import checkpoints, folder
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.loop import fit
from jensen.experiments.run.ranks import Ranks, joined
from tests.experiments.ranks import SECONDS, on
from tests.experiments.run.test_parts import Centred
from tests.experiments.run.toys import RUN, Both, Gan, Regression, points
from tests.experiments.run.toys import folder as run_folder


def trained(path, run, program, size, data):
    """Every rank's fit into one folder: all end with the same bits, which are returned."""

    def work(own):
        fitted = fit(program, run, data, data, run_folder(path, run), ranks=own)
        return checkpoints.checksum(trees.paths((fitted.params, fitted.state)))

    if size == 1:
        fit(program, run, data, data, run_folder(path, run))
    else:
        results = on(size, work).results()
        assert len({json.dumps(result) for result in results}) == 1, results
        assert "ok" in results[0], results
    return checkpoints.load(folder.series(path)[-1]).tensors


def assert_close(ours, theirs, tolerance=1e-12):
    assert ours.keys() == theirs.keys()
    for name, t in ours.items():
        assert (t.double() - theirs[name].double()).abs().max() <= tolerance, name


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("program", [Regression(), Centred(), Gan()], ids=lambda p: type(p).__name__.lower())
def test_several_ranks_train_as_one(tmp_path, size, program):
    """Batches of 3 leave one of four ranks without a datum; a gradient clipped before the sum would differ."""
    run = replace(RUN, batch=10, clip=0.5, average=0.9)
    data = points().double()
    few = replace(program, batches=replace(program.batches, batch=3)) if size == 4 else program
    one = trained(tmp_path / "one", run, few, 1, data)
    assert_close(trained(tmp_path / "several", run, few, size, data), one)


@pytest.mark.parametrize("before", [1, 2, 4])
@pytest.mark.parametrize("after", [1, 2, 4])
def test_a_run_goes_on_on_any_number_of_ranks(tmp_path, before, after):
    data, run = points().double(), replace(RUN, steps=20, lr_final=1.0)
    one = trained(tmp_path / "one", run, Regression(), 1, data)
    trained(tmp_path / "run", replace(run, steps=10), Regression(), before, data)
    assert_close(trained(tmp_path / "run", run, Regression(), after, data), one)


def test_rows_of_metrics_are_those_of_one_rank(tmp_path):
    data = points().double()
    for name, size in (("one", 1), ("three", 3)):
        trained(tmp_path / name, RUN, Regression(), size, data)
    one, three = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "three")
    )
    assert len(one) == len(three) > 10
    for ours, theirs in zip(one, three, strict=True):
        assert ours.pop("kind") == theirs.pop("kind")
        assert ours == pytest.approx(theirs, rel=1e-9)


class Slow(Regression):
    """A step takes a while, so that a signal comes in the middle."""

    def batch(self, data, key, step):
        time.sleep(0.02)
        return super().batch(data, key, step)


def test_a_signal_at_one_rank_stops_all_after_one_step_and_the_run_goes_on_to_the_same_end(tmp_path):
    data, run = points().double(), replace(RUN, steps=60, checkpoint_every=1000)
    where = tmp_path / "run"
    group = on(3, lambda own: fit(Slow(), run, data, data, run_folder(where, run), ranks=own).progress.step)
    while not (where / "metrics.jsonl").is_file() or not (where / "metrics.jsonl").read_bytes():
        time.sleep(0.01)
    group.kill(1, signal.SIGTERM)
    results = group.results()
    assert [result["error"] for result in results] == ["InterruptError"] * 3, results
    assert len({result["text"] for result in results}) == 1
    assert_close(trained(where, run, Regression(), 2, data), trained(tmp_path / "one", run, Regression(), 1, data))


class Sabotaged(Regression):
    """From step 20 on rank 1 does something else, which `how` names."""

    def __init__(self, own, how):
        super().__init__()
        object.__setattr__(self, "sabotage", how if own.rank == 1 else None)

    def batch(self, data, key, step):
        if step == 20 and self.sabotage == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if step == 20 and self.sabotage == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        if step == 20 and self.sabotage == "hangs":
            time.sleep(SECONDS)
        if step == 20 and self.sabotage == "raises":
            raise InputError("its file is gone")
        return super().batch(data, key, step)


@pytest.mark.parametrize(
    ("how", "shard"), [("killed", False), ("stopped", False), ("hangs", False), ("raises", False), ("killed", True)]
)
def test_the_rank_that_is_lost_is_named_and_the_others_end(tmp_path, how, shard):
    data, run = points().double(), replace(RUN, shard=shard)
    where = run_folder(tmp_path, run)
    group = on(3, lambda own: fit(Sabotaged(own, how), run, data, data, where, ranks=own).progress.step, patience=2.0)
    results = group.results(lost=1)
    for rank in (0, 2):
        assert results[rank]["error"] == "LostRankError", results
        assert f"rank {rank} waits in vain for rank 1 (" in results[rank]["text"]
    assert checkpoints.load(folder.series(tmp_path)[-1]).state["step"] == 20


def test_a_value_that_is_not_finite_at_one_rank_ends_all_with_the_datum_named(tmp_path):
    data = points().double()
    data[41, 2] = torch.nan
    results = on(2, lambda own: fit(Regression(), RUN, data, data, run_folder(tmp_path), ranks=own)).results()
    assert [result["error"] for result in results] == ["NonFiniteError"] * 2
    assert "at datum 41 (row" in results[0]["text"]


def test_parts_cover_a_batch_once():
    for n in (0, 1, 3, 10, 11):
        for size in (1, 2, 4, 7):
            own = [Ranks.part(Part(rank, size), n) for rank in range(size)]
            assert [i for start, stop in own for i in range(start, stop)] == list(range(n))


class Part:
    def __init__(self, rank, size):
        self.rank, self.size = rank, size


def test_sums_are_of_floating_point_leaves_and_keep_their_types():
    def work(own):
        tree = {"half": torch.full((2,), own.rank + 1.0, dtype=torch.bfloat16), "count": torch.tensor([own.rank]),
                "double": torch.tensor(0.1, dtype=torch.float64)}  # fmt: skip
        total = own.sum(tree)
        return {name: [str(t.dtype), t.tolist()] for name, t in total.items()}

    for rank, result in enumerate(on(2, work).results()):
        assert result["ok"] == {"half": ["torch.bfloat16", [3.0, 3.0]], "count": ["torch.int64", [rank]],
                                "double": ["torch.float64", 0.2]}  # fmt: skip


def test_sources_of_different_sizes_are_refused(tmp_path):
    run = replace(RUN, accumulate=2)
    with pytest.raises(InputError, match="a batch of sources of 5 and 10 data is not cut into parts"):
        fit(Both(), run, points(), points(), run_folder(tmp_path, run))


def test_one_process_needs_no_group():
    with joined("cpu") as own:
        assert (own.rank, own.size, own.first) == (0, 1, True)
        tree = {"a": torch.ones(2)}
        assert own.sum(tree) is tree
        assert own.text(lambda: "here") == "here"
