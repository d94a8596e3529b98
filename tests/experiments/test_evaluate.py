"""The command on a finished run, on damaged ones, and its measurements against models that are known."""

import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from jensen.core import bounds, keys
from jensen.core.models import sbn
from jensen.experiments import assessment, evaluate, ladder, runs, train, verdicts
from jensen.experiments.assessment import assess
from jensen.experiments.evaluate import Settings
from jensen.experiments.finished import Finished, read
from jensen.experiments.settings import InputError
from jensen.experiments.settings import Settings as Run

KEY = keys.key(5)
FEW = ["--images", "6", "--k", "1", "10", "30", "--chains", "2", "--temperatures", "4"]


@pytest.fixture
def finished(whole, tmp_path):
    """A copy of the finished run: an evaluation leaves a folder in it."""
    shutil.copytree(whole[0], tmp_path / "run")
    return tmp_path / "run"


def command(monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, args)])
    evaluate.main()


def refused(monkeypatch, capsys, *args):
    """What is said on the one line of an exit with code 2."""
    with pytest.raises(SystemExit) as stopped:
        command(monkeypatch, *args)
    errors = capsys.readouterr().err
    assert stopped.value.code == 2
    assert "Traceback" not in errors
    return " ".join(errors.split())


def test_a_run_is_judged_and_the_report_left_in_its_folder(finished, monkeypatch, capsys):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    command(monkeypatch, finished, *FEW)
    printed = capsys.readouterr().out
    target = finished / "evaluation"
    names = {"report.txt", "report.json", "rows.jsonl", "bounds.png", "weights.png", "dimensions.png", "evidence.png"}
    assert {path.name for path in target.iterdir()} == names
    assert (target / "report.txt").read_text() in printed
    assert len(printed.splitlines()) < 40
    assert max(map(len, printed.splitlines())) <= 120
    for start in ("ELBO", "IWAE", "CUBO(2)", "annealing", "sandwich", "weights", "units", "KL", "terms"):
        assert f"\n{start} " in printed
    told = json.loads((target / "report.json").read_text())
    saved = json.loads((finished / "report.json").read_text())
    assert told["rate"] + told["distortion"] == pytest.approx(-saved["elbo"], abs=0.3)
    assert told["annealed"] == pytest.approx(told["importance"], abs=5 * told["annealed_error"] + 0.1)
    assert told["active_units"] == saved["active_units"]
    rows = [json.loads(line) for line in (target / "rows.jsonl").read_text().splitlines()]
    assert {row["of"] for row in rows} == {"bound", "image", "simulated image", "dimension"}
    assert sum(row["of"] == "image" for row in rows) == 6
    assert all(path.read_bytes() == content for path, content in before.items())


def test_one_command_gives_the_same_bits_twice(finished, monkeypatch):
    contents = []
    for _ in range(2):
        command(monkeypatch, finished, *FEW)
        contents.append((finished / "evaluation" / "rows.jsonl").read_bytes())
    assert contents[0] == contents[1]


def test_bounds_from_one_set_of_weights_stand_in_order(finished):
    """ELBO <= TVO, Rényi <= IWAE <= CUBO at every K and, where each K is a multiple of the last, IWAE rising with K."""
    run = read(finished)
    log_w = assessment.log_weights(run.model, run.params, run.images.test[:20], 100, KEY)
    value = {(row["bound"], row["k"]): row["value"] for row in assessment.against_k(log_w, (1, 5, 10, 50, 100))}
    for k in (1, 5, 10, 50, 100):
        order = ["ELBO", "Rényi(0.5)", "IWAE", "CUBO(2)"]
        assert [value[name, k] for name in order] == sorted(value[name, k] for name in order)
        assert value["ELBO", k] <= value["TVO, 5 intervals", k] + 1e-5
        assert value["TVO, 5 intervals", k] <= value["IWAE", k] + 1e-5
    rising = [value["IWAE", k] for k in (1, 5, 10, 50, 100)]
    assert rising == sorted(rising)
    torch.testing.assert_close(torch.tensor(value["IWAE", 100]), bounds.iwae(log_w).mean(), rtol=1e-5, atol=1e-5)


def test_chunks_change_no_log_weight(finished, monkeypatch):
    run = read(finished)
    whole = assessment.log_weights(run.model, run.params, run.images.test[:7], 40, KEY)
    monkeypatch.setattr(assessment, "ROWS", 21)
    torch.testing.assert_close(assessment.log_weights(run.model, run.params, run.images.test[:7], 40, KEY), whole)


def test_groups_are_of_neighbours_and_the_jackknife_knows_its_limits():
    log_w = keys.normal(KEY, (23, 3), torch.float64)
    values = ladder.at(bounds.iwae, log_w, 5)
    assert values is not None
    assert values.shape == (4, 3)
    torch.testing.assert_close(values[2], bounds.iwae(log_w[10:15]))
    jackknife = ladder.at(bounds.Jackknife(1), log_w, 5)
    assert jackknife is not None
    torch.testing.assert_close(jackknife[3], bounds.Jackknife(1)(log_w[15:20]))
    assert ladder.at(bounds.Jackknife(1), log_w, 1) is None
    mean, error = ladder.mean(values)
    assert mean == pytest.approx(values.mean().item())
    assert error == pytest.approx((values.var(0) / 4).sum().sqrt().item() / 3)
    assert ladder.mean(values[:1])[1] is None


@pytest.mark.parametrize("layers", [1, 2])
def test_discrete_units_are_not_annealed(layers, tmp_path):
    model = sbn.build(8, 3, layers)
    x = (keys.uniform(KEY, (30, 8)) < 0.4).float()
    params = model.init(KEY, x.mean(0))
    images = train.Images(x, x, torch.zeros(30), (1, 2, 4))
    run = Finished(tmp_path, Run(model="sbn", units=3, layers=layers), model, params, images)
    settings = Settings(runs=(tmp_path,), images=10, k=(1, 40))
    found = assess(run, 10, settings.k, 4, 5, KEY)
    assert found.annealed is None
    assert found.sandwich is None
    text = " ".join(evaluate.report(run, found, settings).split())
    assert "it moves z along gradients, and these units are discrete" in text
    assert ("collapse is not judged" in text) == (layers == 2)
    truth = model.log_joint(params["decoder"], x[:10], _support(3 * layers).expand(-1, 10, -1)).logsumexp(0)
    error = found.importance.standard_error.square().sum().sqrt() / 10
    assert abs(found.importance.log_p.mean() - truth.mean()) < 4 * error + 0.05
    assert {row["of"] for row in evaluate.rows(found)} == {"bound", "image", "dimension"}


def _support(d):
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * d)[:, None]


def test_several_runs_make_a_rate_distortion_curve(finished, monkeypatch, capsys):
    other = finished.parent / "other"
    shutil.copytree(finished, other)
    reweigh(other, kl_weight=4.0)
    command(monkeypatch, finished, other, *FEW)
    printed = capsys.readouterr().out
    assert "KL weight      rate  distortion" in printed
    assert "the best ELBO is that of KL weight" in printed
    names = {path.name for path in (finished / "evaluation").iterdir()}
    assert {"rate-distortion.txt", "rate-distortion.jsonl", "rate-distortion.png"} < names
    assert not (other / "evaluation" / "rate-distortion.png").exists()
    rows = [json.loads(line) for line in (finished / "evaluation/rate-distortion.jsonl").read_text().splitlines()]
    assert [row["kl_weight"] for row in rows] == [1.0, 4.0]


def reweigh(folder, **changes):
    """The run as if it had been trained with other settings."""
    config = json.loads((folder / runs.CONFIG).read_text()) | changes
    (folder / runs.CONFIG).write_text(json.dumps(config))
    settings = runs.read_settings(folder)
    tensors = load_file(folder / runs.LAST)
    run = {"state": {"step": 100, "best": None}, "config": settings.config()}
    save_file(tensors, folder / runs.LAST, {"run": json.dumps(run)})


def test_verdicts_say_what_to_do(finished):
    run = read(finished)
    settings = Settings(runs=(finished,), images=4, k=(2, 20))
    found = assess(run, 4, settings.k, 2, 2, KEY)
    assert found.annealed is not None
    assert found.sandwich is not None
    low = found._replace(annealed=found.annealed._replace(log_p=found.importance.log_p - 3))
    high = found._replace(annealed=found.annealed._replace(log_p=found.importance.log_p + 3))
    wide = found._replace(sandwich=found.sandwich._replace(upper=found.sandwich.lower + torch.arange(1.0, 5.0)))
    assert "annealing has not arrived: raise --temperatures" in verdicts.of_evidence(low)["annealing"]
    assert "importance sampling has not arrived: quote annealing" in verdicts.of_evidence(high)["annealing"]
    assert "not surely below 0.1 nats: raise --temperatures" in verdicts.of_evidence(wide)["sandwich"]
    falls = verdicts.curve([(0.5, 5.0, 20.0, "a"), (1.0, 4.0, 20.5, "b")])
    assert "the rate falls as the KL weight rises; the best ELBO is that of KL weight 1" in falls
    assert "does not fall" in verdicts.curve([(0.5, 4.0, 20.0, "a"), (1.0, 5.0, 20.5, "b")])


def test_what_has_no_json_number_is_null():
    assert evaluate.finite({"a": float("inf"), "b": {"c": float("nan"), "d": 1.5}, "e": "x"}) == {
        "a": None, "b": {"c": None, "d": 1.5}, "e": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "name one or more"),
        (("nowhere",), "nowhere holds no run: pass the folder"),
        ((__file__,), "holds no run: pass the folder"),
        (("a", "a"), "named twice"),
        (("a", "--k", "10", "5"), "expected rising counts of samples"),
        (("a", "--k", "0", "5"), "expected rising counts of samples"),
        (("a", "--images", "1"), "expected --images of at least 2, got 1"),
        (("a", "--chains", "1"), "expected --chains of at least 2, got 1"),
        (("a", "--temperatures", "0"), "expected --temperatures of at least 1, got 0"),
        (("a", "--seed", "-1"), "expected --seed in [0, 2^63), got -1"),
    ],
)
def test_bad_input_is_one_clear_line(args, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in refused(monkeypatch, capsys, *args)
    assert not list(tmp_path.iterdir())


DAMAGE = {
    "config.json": ('{"latent": ', "is damaged"),
    "last.safetensors": ("garbage", "is damaged or no checkpoint"),
    "report.json": (None, "has not finished: go on with experiments.train --resume"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_unfinished_and_damaged_runs_are_told_with_the_fix(name, finished, monkeypatch, capsys):
    content, message = DAMAGE[name]
    (finished / name).unlink() if content is None else (finished / name).write_text(content)
    assert message in refused(monkeypatch, capsys, finished)
    assert not (finished / "evaluation").exists()


def test_parameters_of_another_shape_are_told(finished, monkeypatch, capsys):
    tensors = load_file(finished / runs.LAST)
    tensors["params.encoder.0.bias"] = torch.zeros(3)
    run = {"state": {"step": 100, "best": None}, "config": runs.read_settings(finished).config()}
    save_file(tensors, finished / runs.LAST, {"run": json.dumps(run)})
    assert "expected encoder.0.bias (16,), got (3,)" in refused(monkeypatch, capsys, finished)


def test_runs_of_different_data_are_told_before_anything_is_done(finished, monkeypatch, capsys):
    other = finished.parent / "other"
    shutil.copytree(finished, other)
    reweigh(other, pixels="grey", likelihood="continuous-bernoulli")
    message = refused(monkeypatch, capsys, finished, other, *FEW)
    assert "has --likelihood continuous-bernoulli where" in message
    assert "evaluate them apart" in message
    assert not (finished / "evaluation").exists()


def test_more_images_than_there_are_and_a_folder_in_the_way(finished, monkeypatch, capsys):
    assert "exceeds the 360 test images" in refused(monkeypatch, capsys, finished, "--images", 361)
    (finished / "evaluation").write_text("")
    assert "cannot be made" in refused(monkeypatch, capsys, finished)


def test_a_run_that_stopped_early_is_judged_by_its_best_parameters(finished):
    tensors = load_file(finished / runs.LAST)
    settings = runs.read_settings(finished)
    best = {name.removeprefix("params."): t for name, t in tensors.items() if name.startswith("params.")}
    best["encoder.0.bias"] = best["encoder.0.bias"] + 7
    runs.save_checkpoint(finished / runs.BEST, best, {"step": 60}, settings)
    run = {"state": {"step": 100, "best": -20.0}, "config": settings.config()}
    save_file(tensors, finished / runs.LAST, {"run": json.dumps(run)})
    assert torch.equal(read(finished).params["encoder"]["0"]["bias"], best["encoder.0.bias"])
    (finished / runs.BEST).unlink()
    with pytest.raises(InputError, match="is damaged or no checkpoint"):
        read(finished)
