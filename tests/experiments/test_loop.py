import json
import math
from dataclasses import replace

import pytest
import torch

from jensen.core import keys, trees
from jensen.core.models import sbn, vae
from jensen.experiments import loop, runs
from jensen.experiments.loop import fit
from jensen.experiments.nonfinite import NonFiniteError, explain
from jensen.experiments.settings import InputError, Settings

MODEL = vae.mlp(16, (8,), 3)
PLAIN = Settings(compile=False, pixels="static", batch=10, steps=40, checkpoint_every=10, log_every=5)
NET = replace(PLAIN, model="sbn", units=3)


def build(settings):
    return sbn.build(16, settings.units, settings.layers) if settings.model == "sbn" else MODEL


def images(n=60):
    return (keys.uniform(keys.key(4), (n, 16)) < torch.linspace(0.05, 0.95, 16)).float()


def initial(settings, train):
    init_key, _, _ = keys.split(keys.key(settings.seed), 3)
    return MODEL.init(init_key, train.mean(0))


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(trees.leaves(a), trees.leaves(b), strict=True))


@pytest.mark.parametrize(
    "settings",
    [
        PLAIN,
        replace(PLAIN, pixels="dynamic", bound="iwae", k=3),
        replace(PLAIN, kl_warmup=20, free_bits=0.1, lr_warmup=5, clip=1.0),
        replace(PLAIN, dtype="float64", patience=2),
        replace(PLAIN, pixels="dynamic", compile=True),
        replace(NET, layers=2, bound="iwae", k=2, baseline="nvil", patience=2),
        replace(NET, estimator="relax", clip=1.0),
    ],
    ids=["plain", "iwae", "schedules", "patience", "compiled", "nvil", "relax"],
)
def test_resuming_gives_the_same_bits(tmp_path, monkeypatch, settings):
    model, train = build(settings), images().to(getattr(torch, settings.dtype))
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole, _ = fit(model, train, settings, tmp_path / "whole")

    def stop_at(step, *rest):
        if step == 27:
            raise MemoryError
        return original(step, *rest)

    original = loop.warmup_cosine
    monkeypatch.setattr(loop, "warmup_cosine", stop_at)
    with pytest.raises(MemoryError):
        fit(model, train, settings, tmp_path / "parts")
    assert runs.read_metrics(tmp_path / "parts")[-1]["step"] == 25
    monkeypatch.setattr(loop, "warmup_cosine", original)
    resumed, _ = fit(model, train, settings, tmp_path / "parts")
    assert same(whole, resumed)
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "parts" / file.name).read_bytes(), file.name


def test_training_raises_the_bound(tmp_path):
    fit(MODEL, images(), replace(PLAIN, steps=200, lr=1e-2), tmp_path)
    rows = runs.read_metrics(tmp_path)
    assert rows[-1]["objective"] > rows[0]["objective"] + 0.5


def test_compiled_training_agrees_with_eager(tmp_path):
    settings = replace(PLAIN, pixels="dynamic", bound="iwae", k=2, clip=5.0, steps=6, checkpoint_every=3)
    results = {}
    for name, compiled in (("eager", False), ("compiled", True)):
        (tmp_path / name).mkdir()
        results[name], _ = fit(MODEL, images(), replace(settings, compile=compiled), tmp_path / name)
    for a, b in zip(*(trees.leaves(r) for r in results.values()), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_terms_in_a_row_sum_to_the_objective(tmp_path):
    fit(MODEL, images(), PLAIN, tmp_path)
    for row in runs.read_metrics(tmp_path):
        assert row["reconstruction"] - row["kl"] == pytest.approx(row["objective"], abs=1e-5)


def test_every_datum_is_seen_once_an_epoch(tmp_path, monkeypatch):
    """Of 60 data in batches of 10, with 40 steps: six epochs, each in an order of its own, and four batches."""
    seen = []

    def step(params, batch, *rest):
        seen.append(batch[:, 0])
        return trees.map(torch.zeros_like, params), torch.zeros(len(loop.SUMMARY))

    monkeypatch.setattr(loop, "train_step", lambda model, settings: step)
    train = torch.arange(60.0)[:, None].expand(60, 16) / 60
    fit(MODEL, train, PLAIN, tmp_path)
    epochs = torch.cat(seen[:36]).unflatten(0, (6, 60))
    assert all(torch.equal(epoch.sort().values, train[:, 0]) for epoch in epochs)
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 6
    assert len(seen) == 40


def test_a_poisoned_datum_is_named_and_parameters_stay(tmp_path):
    train, settings = images(), PLAIN
    mean = train.mean(0)
    train[37, 5] = torch.nan
    params = MODEL.init(keys.key(0), mean)
    batch = train[30:40]
    text = explain(MODEL, settings, params, batch, torch.arange(30, 40), keys.key(1), 12, torch.tensor(1.0))
    assert text.startswith("step 12: the term reconstruction is nan at datum 37 (row 7 of the batch, 1 of 10 data)")
    assert "the gradient of encoder.0.weight is not finite" in text
    with pytest.raises(NonFiniteError, match=r"reconstruction is nan at datum .*parameters are unchanged; --on-nan"):
        fit(MODEL, train, settings, tmp_path)


def poisoned(train, settings):
    """A NaN in the datum of the first batch's first row, after the parameters' start is taken from clean data."""
    _, order_key, _ = keys.split(keys.key(settings.seed), 3)
    order = keys.permutation(keys.fold_in(order_key, 0), len(train))
    return int(order[0])


def test_nan_in_training_raises_at_its_step_or_is_skipped_and_counted(tmp_path, monkeypatch):
    """The parameters' start comes from clean data; one datum is poisoned; exactly its steps are left out."""
    clean = images()
    start = initial(PLAIN, clean)
    monkeypatch.setattr(type(MODEL), "init", lambda self, key, mean: trees.map(torch.clone, start))
    train, datum = clean.clone(), poisoned(clean, PLAIN)
    train[datum, 0] = torch.nan
    (tmp_path / "raise").mkdir()
    with pytest.raises(NonFiniteError, match=f"step 0: .* at datum {datum} "):
        fit(MODEL, train, PLAIN, tmp_path / "raise")
    saved, _ = runs.load_checkpoint(tmp_path / "raise" / runs.LAST, PLAIN)
    stored = {path.removeprefix("params."): t for path, t in saved.items()}
    assert same(trees.from_paths(stored, start), start)
    (tmp_path / "skip").mkdir()
    settings = replace(PLAIN, on_nan="skip", steps=12, log_every=1)
    params, progress = fit(MODEL, train, settings, tmp_path / "skip")
    assert progress.skipped == 2  # once in each of two epochs
    assert all(torch.isfinite(leaf).all() for leaf in trees.leaves(params))
    rows = runs.read_metrics(tmp_path / "skip")
    assert rows[0]["objective"] is None
    assert rows[0]["skipped"] == 1
    assert sum(row["objective"] is None for row in rows) == 2
    one = replace(settings, steps=1)
    (tmp_path / "one").mkdir()
    untouched, _ = fit(MODEL, train, one, tmp_path / "one")
    assert same(untouched, start)


def test_a_poisoned_parameter_is_named():
    params = initial(PLAIN, images())
    params["decoder"]["network"]["1"]["bias"][2] = math.inf
    text = explain(MODEL, PLAIN, params, images(10), torch.arange(10), keys.key(1), 3, torch.tensor(1.0))
    assert "step 3: the term reconstruction is" in text
    assert "the parameter decoder.network.1.bias is not finite" in text


def test_clipping_bounds_the_update_and_not_the_reported_norm():
    from jensen.experiments.objectives import train_step

    params, batch = initial(PLAIN, images()), images(10)
    args = (params, batch, keys.key(0), torch.tensor(0), torch.tensor(1.0))
    free, summary = train_step(MODEL, PLAIN)(*args)
    clipped, reported = train_step(MODEL, replace(PLAIN, clip=0.5))(*args)
    assert trees.norm(free) > 0.5
    assert trees.norm(clipped).item() == pytest.approx(0.5, rel=1e-5)
    assert torch.equal(summary, reported)
    loose, _ = train_step(MODEL, replace(PLAIN, clip=1e6))(*args)
    assert same(loose, free)


def test_early_stopping_keeps_the_best(tmp_path):
    settings = replace(PLAIN, steps=4000, patience=2, lr=0.05)
    params, progress = fit(MODEL, images(), settings, tmp_path)
    assert progress.stopped
    assert progress.step < 4000
    best, state = runs.load_checkpoint(tmp_path / runs.BEST, settings)
    assert same(trees.from_paths(best, params), params)
    assert state["step"] == progress.step - 2 * 5


def test_a_batch_beyond_the_data_raises(tmp_path):
    with pytest.raises(InputError, match="--batch 61 exceeds the 60 training data"):
        fit(MODEL, images(), replace(PLAIN, batch=61), tmp_path)
    with pytest.raises(InputError, match="exceeds the 54 training data"):
        fit(MODEL, images(), replace(PLAIN, batch=60, patience=1), tmp_path)


def test_foreign_and_damaged_checkpoints_raise(tmp_path):
    fit(MODEL, images(), PLAIN, tmp_path)
    with pytest.raises(InputError, match=r"of another run: it has --k 1 where this run has 2"):
        fit(MODEL, images(), replace(PLAIN, k=2), tmp_path)
    last = tmp_path / runs.LAST
    last.write_bytes(last.read_bytes()[:100])
    with pytest.raises(InputError, match="is damaged or no checkpoint"):
        fit(MODEL, images(), PLAIN, tmp_path)


def test_a_torn_last_row_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 5}) + "\n" + '{"step": 10, "obj')
    assert runs.read_metrics(tmp_path) == [{"step": 5}]
