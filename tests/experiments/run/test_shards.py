"""A run whose ranks keep parts of its parameters is the run of one process, and goes on as any other."""

from dataclasses import replace

import pytest
import torch
import torch.distributed.tensor  # which the forked ranks then need not import

from jensen.core import keys
from jensen.experiments.run import shards
from jensen.experiments.run.loop import Loop, Watch
from jensen.experiments.run.optimisers import Optimiser
from tests.experiments.ranks import on
from tests.experiments.run.test_parts import Centred
from tests.experiments.run.test_ranks import assert_close, trained
from tests.experiments.run.toys import RUN, Gan, Regression, folder, points

RUN = replace(RUN, batch=10, clip=0.5, average=0.9)
CUT = replace(RUN, shard=True)


class Scaled(Regression):
    """A number alone among the parameters, and optimisers that torch has no fused kernels of for parts."""

    @property
    def optimisers(self):
        return {"model": Optimiser("sgd", lr=0.01, momentum=0.9, weight_decay=0.1)}

    def init(self, key, data):
        params, state = super().init(key, data)
        return {"model": {**params["model"], "scale": torch.ones((), dtype=data.dtype)}}, state

    def loss(self, params, state, batch, key, weights):
        own = {name: t for name, t in params["model"].items() if name != "scale"}
        shifted = {**batch, "data": batch["data"] * params["model"]["scale"]}
        return super().loss({"model": own}, state, shifted, key, weights)


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("size", "program"), [(2, Gan()), (4, Scaled()), slow(1, Scaled()), slow(4, Centred()), slow(4, Gan())]
)
def test_ranks_with_parts_of_the_parameters_train_as_one_that_has_all(tmp_path, size, program):
    """Batches of 3 leave one of four ranks without a datum, and leaves of one row leave some without a part."""
    data = points().double()
    few = replace(program, batches=replace(program.batches, batch=3)) if size == 4 else program
    one = trained(tmp_path / "one", RUN, few, 1, data)
    assert_close(trained(tmp_path / "several", CUT, few, size, data), one)


FEW = ((2, True), (1, False), (4, True), (2, False), (2, True))  # ranks, and whether in parts
MORE = ((4, True), (4, False), (4, True), (4, True), (2, True), (4, True), (1, False), (2, True), (4, False), (2, True))


@pytest.mark.parametrize("chain", [FEW, slow(MORE)])
def test_a_run_goes_on_with_parts_or_without_on_any_number_of_ranks(tmp_path, chain):
    data = points().double()
    run = replace(RUN, patience=9, held_out=0.2, lr_final=1.0)
    one = trained(tmp_path / "one", replace(run, steps=4 * len(chain)), Gan(), 1, data)
    segments = [replace(run, steps=4 * i + 4, shard=cut) for i, (_, cut) in enumerate(chain)]
    ends = [trained(tmp_path / "run", each, Gan(), size, data) for each, (size, _) in zip(segments, chain, strict=True)]
    assert_close(ends[-1], one)


def test_memory_of_a_rank_falls_as_their_number(tmp_path):
    size, data = 4, points(d=64)

    def work(own):
        loop = Loop(Gan(), replace(CUT, steps=8), data, data, folder(tmp_path), Watch(), own)
        loop.fit()
        return loop.kept

    results = [result["ok"] for result in on(size, work).results()]
    (total,) = {total for _, total in results}
    assert sum(kept for kept, _ in results) >= total > 0
    assert max(kept for kept, _ in results) < 1.15 * total / size


def test_parts_of_every_shape_are_the_whole_and_their_sum_the_sum():
    shapes = [(), (1,), (3,), (5, 2), (2, 5), (1, 7, 2), (4, 1, 3, 3), (0,), (2, 0)]
    tree = {str(shape): keys.normal(keys.key(i), (1, *shape))[0].double() for i, shape in enumerate(shapes)}

    def work(own):
        cut = shards.cut(tree, own)
        found = shards.whole(cut, own)
        assert all(torch.equal(found[name], t) and found[name].is_contiguous() for name, t in tree.items())
        slopes = {name: (own.rank + 1) * t for name, t in tree.items()}
        total = shards.whole(shards.parts(shards.summed(slopes, cut, own), cut), own)
        times = own.size * (own.size + 1) / 2
        assert all(torch.allclose(total[name], times * t, rtol=1e-15) for name, t in tree.items())
        halves = shards.like(cut["(5, 2)"], torch.ones(5, 2))
        assert halves.to_local().shape == cut["(5, 2)"].to_local().shape
        return [list(t.to_local().shape) for t in cut.values()]

    for size in (2, 3, 4):
        results = on(size, work).results()
        assert all("ok" in result for result in results), results
