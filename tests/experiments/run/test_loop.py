import json
import math
from dataclasses import replace

import pytest
import torch

from jensen.core import keys, trees
from jensen.experiments.data.batches import Epochs
from jensen.experiments.run import metrics
from jensen.experiments.run.errors import InputError, NonFiniteError
from jensen.experiments.run.folder import series
from jensen.experiments.run.loop import Watch, fit
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.program import Out, Turn
from tests.experiments.run.toys import PROGRAMS, RUN, Codebook, Gan, Regression, folder, interrupted, points

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


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("case", CASES)
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


def test_parts_of_a_batch_sum_to_the_whole(tmp_path):
    data = points().double()
    whole = fit(Regression(), RUN, data, data, folder(tmp_path / "whole"))
    run = replace(RUN, accumulate=4)  # parts of 3, 3, 3 and 1
    parts = fit(Regression(), run, data, data, folder(tmp_path / "parts", run))
    torch.testing.assert_close(parts.params, whole.params, rtol=1e-9, atol=1e-9)


class Centred(Regression):
    """Points less their running mean, which is state, and which the loss reads."""

    def init(self, key, data):
        return super().init(key, data)[0], {
            "mean": torch.zeros_like(data[0]),
            "steps": torch.zeros((), dtype=torch.long),
        }

    def loss(self, params, state, batch, key, weights):
        mean = torch.lerp(state["mean"], batch["data"].mean(0), 0.1)
        out = super().loss(params, {}, {**batch, "data": batch["data"] - mean}, key, weights)
        return out._replace(state={"mean": mean, "steps": state["steps"] + 1})


def test_parts_of_a_batch_begin_with_one_state_and_leave_its_mean(tmp_path):
    """Parts that follow one another would forget the past as often as there are parts."""

    class Late(Centred):
        """The loss reads the state as it was, so that the whole batch's gradient is the mean of its parts'."""

        def loss(self, params, state, batch, key, weights):
            out = super().loss(params, state, batch, key, weights)
            shifted = {**batch, "data": batch["data"] - state["mean"]}
            return Regression.loss(self, params, {}, shifted, key, weights)._replace(state=out.state)

    data = points().double()
    whole = fit(Late(), RUN, data, data, folder(tmp_path / "whole"))
    run = replace(RUN, accumulate=4)
    parts = fit(Late(), run, data, data, folder(tmp_path / "parts", run))
    torch.testing.assert_close((parts.params, parts.state), (whole.params, whole.state), rtol=1e-9, atol=1e-9)
    assert whole.state["steps"] == 40


def test_gradients_keep_their_types_in_parts_and_where_they_are_clipped(tmp_path):
    """A scalar beside another of a wider type would take that one's."""

    class Scaled(Regression):
        def init(self, key, data):
            return {"model": {**super().init(key, data)[0]["model"], "scale": torch.ones((), dtype=data.dtype)}}, {}

        def loss(self, params, state, batch, key, weights):
            shifted = {**batch, "data": batch["data"] * params["model"]["scale"]}
            return super().loss({"model": {n: t for n, t in params["model"].items() if n != "scale"}}, state, shifted,
                                key, weights)  # fmt: skip

    for dtype in (torch.float32, torch.bfloat16):
        run = replace(RUN, accumulate=3, clip=0.1, steps=3)
        data = points().to(dtype)
        fitted = fit(Scaled(), run, data, data, folder(tmp_path / str(dtype), run))
        assert fitted.params["model"]["scale"].dtype is dtype


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


def test_held_out_scores_are_recorded_at_each_epoch_and_stop_the_run(tmp_path):
    data, run = points(), replace(RUN, steps=1000, patience=2)
    program = Regression(optimiser=Optimiser("sgd", lr=0.4))
    fitted = fit(program, run, data, data, folder(tmp_path, run))
    scores = [row["score"] for row in metrics.read(tmp_path) if row["kind"] == "held-out"]
    assert fitted.progress.stopped
    assert fitted.progress.step < 1000
    assert fitted.progress.best == max(scores)
    assert max(scores[-2:]) <= max(scores[:-2])
    kept = Regression().score(fitted.params, {}, data, None).double().mean().item()
    assert math.isclose(kept, max(scores), rel_tol=1e-6)


def test_the_best_is_that_of_the_run_whose_score_it_was(tmp_path):
    """A killed run has found a better one after its last checkpoint, which the longer run that follows does not come
    to, for its rates are others."""
    data, run = points(), replace(RUN, steps=25, patience=3, checkpoint_every=13, lr_final=0.0)
    program = Regression(optimiser=Optimiser("sgd", lr=0.45))
    interrupted(program, run, data, data, folder(tmp_path, run), 20)
    before = scores(tmp_path)
    longer = replace(run, steps=1000)
    fitted = fit(program, longer, data, data, folder(tmp_path, longer))
    after = scores(tmp_path)
    assert before[18] > max(after.values()) > after[18]
    kept = Regression().score(fitted.params, {}, data, None).double().mean().item()
    assert fitted.progress.best == max(after.values())
    assert math.isclose(kept, max(after.values()), rel_tol=1e-6)


def scores(path):
    """The held-out score by step."""
    return {row["step"]: row["score"] for row in metrics.read(path) if row["kind"] == "held-out"}


def test_a_score_that_is_no_number_is_never_the_best(tmp_path):
    class Sick(Regression):
        def score(self, params, state, batch, key):
            return super().score(params, state, batch, key) + math.nan

    data, run = points(), replace(RUN, steps=1000, patience=2)
    fitted = fit(Sick(), run, data, data, folder(tmp_path, run))
    assert fitted.progress.best is None
    assert fitted.progress.step == 12
    assert [row["score"] for row in metrics.read(tmp_path) if row["kind"] == "held-out"] == [None, None]


def test_a_run_can_be_extended_but_not_shortened(tmp_path):
    data = points()
    fit(Regression(), RUN, data, data, folder(tmp_path))
    longer = fit(Regression(), replace(RUN, steps=60), data, data, folder(tmp_path))
    assert longer.progress.step == 60
    assert [row["step"] for row in metrics.read(tmp_path) if row["kind"] == "train"] == list(range(5, 61, 5))
    with pytest.raises(InputError, match="more steps than the 50 asked for"):
        fit(Regression(), replace(RUN, steps=50), data, data, folder(tmp_path))


class Bad(Regression):
    """NaN for one datum from step 13 on."""

    def loss(self, params, state, batch, key, weights):
        out = super().loss(params, state, batch, key, weights)
        error = torch.where((batch["datum"] == 7) & (weights["pull"] >= 13 / 40), math.nan, out.terms["error"])
        return Out(out.loss + 0 * error.mean(), {**out.terms, "error": error}, state)


def test_a_step_that_is_not_finite_names_its_term_and_datum_and_changes_nothing(tmp_path):
    data = points()
    with pytest.raises(NonFiniteError, match=r"the term error is nan at datum 7 \(row \d of the batch, 1 of 10 data\)"):
        fit(Bad(), RUN, data, data, folder(tmp_path / "bad"))
    stopped = series(tmp_path / "bad")[-1]
    step = int(stopped.stem.split("-")[1])
    assert step >= 13
    plain = replace(RUN, checkpoint_every=1, keep=100)
    fit(Regression(), plain, data, data, folder(tmp_path / "good", plain))
    bad = folder(tmp_path / "bad").load(stopped)[0]
    good = folder(tmp_path / "good", plain).load(tmp_path / "good" / stopped.name)[0]
    assert all(torch.equal(bad[name], good[name]) for name in good)


def test_a_step_that_is_not_finite_leaves_state_and_average_as_they_were(tmp_path):
    class BadCodes(Codebook):
        def loss(self, params, state, batch, key, weights):
            out = super().loss(params, state, batch, key, weights)
            return out._replace(loss=torch.where(weights["pull"] >= 13 / 40, math.nan, out.loss))

    data, run = points(), replace(RUN, average=0.9, steps=20, checkpoint_every=13)
    good, raised = folder(tmp_path / "good", run), folder(tmp_path / "raised", run)
    interrupted(Codebook(), run, data, data, good, 15)
    with pytest.raises(NonFiniteError, match="step 13: the loss, or the norm of a gradient"):
        fit(BadCodes(), run, data, data, raised)
    run = replace(run, on_nan="skip")
    skipped = folder(tmp_path / "skipped", run)
    assert fit(BadCodes(), run, data, data, skipped).progress.skipped == 7
    expected = good.load(series(good.path)[-1])[0]
    for where, step in ((raised, 13), (skipped, 20)):
        tensors, stand = where.load(series(where.path)[-1])
        assert stand["step"] == step
        assert [name for name in expected if not torch.equal(tensors[name], expected[name])] == []


def test_parameters_that_an_update_spoils_are_never_saved(tmp_path):
    """The last good checkpoint stays: it is the one that something can be learned from."""
    data, run = points(), replace(RUN, checkpoint_every=3, keep=1)
    program = Regression(optimiser=Optimiser("sgd", lr=1e10))
    where = folder(tmp_path, run)
    with pytest.raises(NonFiniteError) as stopped:
        fit(program, run, data, data, where)
    assert "start anew with a lower --lr" in str(stopped.value) or "parameters are unchanged" in str(stopped.value)
    (path,) = series(tmp_path)
    assert all(t.isfinite().all() for t in where.load(path)[0].values())


def test_steps_that_are_not_finite_are_skipped_by_choice(tmp_path):
    data, run = points(), replace(RUN, on_nan="skip")
    fitted = fit(Bad(), run, data, data, folder(tmp_path, run))
    assert fitted.progress.skipped > 0
    assert all(leaf.isfinite().all() for leaf in trees.leaves(fitted.params))
    assert metrics.read(tmp_path)[-1]["skipped"] == fitted.progress.skipped


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda p, s: (trees.map(lambda t: t / 0, p), s), "the parameter model.shift is not finite"),
        (lambda p, s: (p, {**s, "count": s["count"] / 0}), "the state count is not finite"),
    ],
)
def test_what_was_not_finite_before_the_step_is_named(tmp_path, spoil, line):
    class Spoiled(Codebook):
        def init(self, key, data):
            return spoil(*super().init(key, data))

    with pytest.raises(NonFiniteError, match=line):
        fit(Spoiled(), RUN, points(), points(), folder(tmp_path))


def test_a_gradient_that_overflows_is_named(tmp_path):
    class Steep(Regression):
        def loss(self, params, state, batch, key, weights):
            out = super().loss(params, state, batch, key, weights)
            return out._replace(loss=out.loss + (params["model"]["weight"].sum() ** 0.5))

    with pytest.raises(NonFiniteError, match=r"gradient of model\.weight is not finite"):
        fit(Steep(), RUN, points(), points(), folder(tmp_path))


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
