"""The loop: resuming bit for bit, groups with optimisers of their own, averages, batches, rows."""

import json
from dataclasses import replace

import pytest
import torch

from jensen.core import keys, trees
from jensen.experiments.data.batches import Epochs
from jensen.experiments.run import metrics
from jensen.experiments.run.errors import InputError
from jensen.experiments.run.folder import series
from jensen.experiments.run.loop import Watch, fit
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Turn
from tests.experiments.run.toys import PROGRAMS, RUN, Gan, Regression, folder, interrupted, points

CASES = {
    "plain": RUN,
    "averaged": replace(RUN, average=0.9, lr_warmup=5, lr_min=1e-4, lr_final=0.0),
    "accumulated": replace(RUN, accumulate=3, clip=1.0),
    "stopping": replace(RUN, patience=3, held_out=0.2),
    "series": replace(RUN, keep=2, checkpoint_every=7),
}


def same(a, b):
    pairs = zip(trees.leaves((a.params, a.state)), trees.leaves((b.params, b.state)), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize(
    ("case", "name"),
    [(c, n) for c in CASES for n in PROGRAMS if (c, n) != ("accumulated", "streams")],  # which is refused
)
def test_resuming_gives_the_same_bits_and_files(tmp_path, name, case):
    program, run, data = PROGRAMS[name](), CASES[case], points()
    whole = fit(program, run, data, data[:20], folder(tmp_path / "whole", run))
    for step in (7, 17):
        interrupted(program, run, data, data[:20], folder(tmp_path / "parts", run), step)
    parts = fit(program, run, data, data[:20], folder(tmp_path / "parts", run))
    assert same(whole, parts)
    assert whole.progress == parts.progress
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "parts" / file.name).read_bytes(), file.name


def test_a_lost_optimiser_state_average_or_state_changes_the_bits(tmp_path):
    """The test above can fail: each kind of tensor in a checkpoint matters to what follows."""
    run, data = replace(RUN, average=0.9), points()
    whole = fit(Gan(), run, data, data, folder(tmp_path / "whole", run))
    for kind in ("optimiser.critic", "optimiser.generator", "average", "state", "params"):
        where = folder(tmp_path / kind, run)
        interrupted(Gan(), run, data, data, where, 23)
        path = series(where.path)[-1]
        tensors, saved = where.load(path)
        spoiled = {n: t * 1.01 if n.startswith(kind) and t.is_floating_point() else t for n, t in tensors.items()}
        where.save(saved["step"], spoiled, saved, 1)
        assert not same(whole, fit(Gan(), run, data, data, where)), kind


def test_training_lowers_the_loss_and_each_group_has_its_own_optimiser(tmp_path):
    data = points() + 3
    fit(Regression(), RUN, data, data, folder(tmp_path))
    rows = [row for row in metrics.read(tmp_path) if row["kind"] == "train"]
    assert min(row["error"] for row in rows) < 0.5 * rows[0]["error"]
    fitted = fit(Gan(), replace(RUN, steps=4), data, data, folder(tmp_path / "gan"))
    fresh, _ = Gan().init(keys.split(keys.key(0), 4)[0], data)
    moved = {
        group: (trees.norm(trees.map(torch.sub, fitted.params[group], fresh[group])) > 0).item() for group in fresh
    }
    assert moved == {"generator": True, "critic": True}
    fitted = fit(Gan(), replace(RUN, steps=3), data, data, folder(tmp_path / "critic"))
    assert trees.norm(trees.map(torch.sub, fitted.params["generator"], fresh["generator"])) == 0


def test_a_step_is_adam_on_the_gradient_of_the_loss(tmp_path):
    """Against torch.optim and autograd by hand."""
    data = points()
    fitted = fit(Regression(), replace(RUN, steps=3, lr_final=1.0), data, data, folder(tmp_path))
    _, data_key, step_key, _ = keys.split(keys.key(0), 4)
    weight, bias = torch.zeros(1, 4, requires_grad=True), torch.ones(4, requires_grad=True)
    adam = torch.optim.Adam([weight, bias], lr=0.1)
    for step in range(3):
        rows = keys.permutation(keys.fold_in(data_key, 0), 60)[10 * step : 10 * step + 10]
        noise = keys.normal(keys.fold_in(step_key, step), (1, 10, 4))[0]
        mean = weight[0] + bias
        loss = ((data[rows] + 0.1 * noise - mean).square().sum(-1) + step / 40 * mean.square().sum()).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    torch.testing.assert_close(fitted.params["model"]["weight"], weight.detach())
    torch.testing.assert_close(fitted.params["model"]["bias"], bias.detach())


def test_the_average_is_of_the_parameters_over_steps(tmp_path):
    data, run = points(), replace(RUN, average=0.7, steps=6, checkpoint_every=1, keep=10)
    where = folder(tmp_path, run)
    fitted = fit(Regression(), run, data, data, where)
    average = torch.ones(4)
    for step, path in enumerate(series(tmp_path)):
        decay = min(0.7, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * where.load(path)[0]["params.model.bias"]
    torch.testing.assert_close(fitted.params["model"]["bias"], average)


def test_the_last_incomplete_batch_is_kept_by_choice(tmp_path):
    sizes = {}
    for keep in (False, True):
        program = Regression(batches=Epochs(25, 10, keep))
        data = points(25)
        sizes[keep] = [len(program.batch(data, keys.key(0), step)["datum"]) for step in range(program.epoch)]
        run = replace(RUN, steps=6, keep_last=keep)
        fit(program, run, data, data, folder(tmp_path / str(keep), run))
    assert sizes == {False: [10, 10], True: [10, 10, 5]}


def test_every_epoch_is_a_new_order_of_all_data():
    batches, data = Epochs(20, 5), torch.arange(20)
    seen = [torch.cat([batches.take(data, keys.key(1), 4 * e + i)["data"] for i in range(4)]) for e in range(2)]
    assert all(torch.equal(order.sort().values, data) for order in seen)
    assert not torch.equal(*seen)


def test_a_run_can_be_extended_but_not_shortened(tmp_path):
    data = points()
    fit(Regression(), RUN, data, data, folder(tmp_path))
    longer = fit(Regression(), replace(RUN, steps=60), data, data, folder(tmp_path))
    assert longer.progress.step == 60
    assert [row["step"] for row in metrics.read(tmp_path) if row["kind"] == "train"] == list(range(5, 61, 5))
    with pytest.raises(InputError, match="more steps than the 50 asked for"):
        fit(Regression(), replace(RUN, steps=50), data, data, folder(tmp_path))


def test_moments_of_another_shape_are_refused_before_anything_is_copied(tmp_path):
    data, where = points(), folder(tmp_path)
    fit(Regression(), RUN, data, data, where)
    path = series(tmp_path)[-1]
    tensors, saved = where.load(path)
    for name, wrong in {
        "optimiser.model.bias/exp_avg": torch.zeros(40000),
        "optimiser.model.weight/step": torch.zeros(3),
        "params.model.bias": torch.zeros(4, dtype=torch.float64),
    }.items():
        where.save(saved["step"], {**tensors, name: wrong}, saved, 1)
        with pytest.raises(InputError, match=name):
            fit(Regression(), replace(RUN, steps=60), data, data, where)


def test_a_checkpoint_is_watched_and_the_bar_sees_rows(tmp_path):
    seen, shown = [], []
    watch = Watch(lambda step, total, row: shown.append((step, total)), lambda params, state: seen.append(params))
    fit(Regression(), RUN, points(), points(), folder(tmp_path), watch)
    assert len(seen) == 3  # the last is followed by the report
    assert shown[-1] == (40, 40)


def test_groups_and_optimisers_must_agree(tmp_path):
    class Lost(Regression):
        @property
        def optimisers(self):
            return {"modle": Optimiser()}

    with pytest.raises(ValueError, match=r"expected an optimiser per group \['model'\], got \['modle'\]"):
        fit(Lost(), RUN, points(), points(), folder(tmp_path))


@pytest.mark.parametrize("name", ["codebook", *(pytest.param(n, marks=pytest.mark.slow) for n in ("gan", "streams"))])
def test_compiled_training_agrees_with_eager_and_resumes_to_the_bit(tmp_path, name):
    run = replace(RUN, compile=True, steps=9, checkpoint_every=4, clip=1.0, average=0.9)
    program, data = PROGRAMS[name](), points()
    whole = fit(program, run, data, data[:20], folder(tmp_path / "whole", run))
    interrupted(program, run, data, data[:20], folder(tmp_path / "parts", run), 6)
    assert same(whole, fit(program, run, data, data[:20], folder(tmp_path / "parts", run)))
    eager = replace(run, compile=False)
    plain = fit(program, eager, data, data[:20], folder(tmp_path / "eager", eager))
    torch.testing.assert_close(whole.params, plain.params, rtol=1e-4, atol=1e-5)


def test_rows_hold_terms_norms_rates_and_schedules(tmp_path):
    fit(Gan(), RUN, points(), points(), folder(tmp_path))
    row = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"loss", "gap", "gp", "value", "norm/critic", "norm/generator", "norm/state", "weight/penalty"} <= row.keys()
    assert {"lr/critic", "lr/generator", "epoch", "step", "skipped"} <= row.keys()


def test_a_turn_does_not_differentiate_the_groups_of_others(tmp_path):
    class Leaky(Gan):
        """A critic whose loss would raise the generator's too."""

        @property
        def turns(self):
            return (Turn(self.critic, ("critic",)),)

    data = points()
    fitted = fit(Leaky(), RUN, data, data, folder(tmp_path))
    fresh, _ = Leaky().init(keys.split(keys.key(0), 4)[0], data)
    assert trees.norm(trees.map(torch.sub, fitted.params["generator"], fresh["generator"])) == 0


def test_gradients_and_parameters_of_other_strides_are_followed(tmp_path):
    """Fused optimisers take the memory of both for one order."""

    class Transposed(Regression):
        def init(self, key, data):
            return {"model": {"weight": torch.zeros(4, 2).T[:1], "bias": torch.ones(4, 2)[:, 0]}}, {}

        def loss(self, params, state, batch, key, weights):
            turned = {"model": {**params["model"], "weight": params["model"]["weight"].T.contiguous().T}}
            return super().loss(turned, state, batch, key, weights)

    plain, turned = (fit(p(), RUN, points(), points(), folder(tmp_path / p.__name__)) for p in (Regression, Transposed))
    torch.testing.assert_close(plain.params, turned.params)
