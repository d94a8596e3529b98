"""The command on a finished run, and its measurements against models that are known."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from jensen.core import bounds, keys
from jensen.core.models import sbn
from jensen.experiments import assessment, assessment_figures, evaluate, inference, ladder, runs, train, verdicts
from jensen.experiments.assessment import assess
from jensen.experiments.evaluate import Settings
from jensen.experiments.finished import Finished, read
from jensen.experiments.settings import InputError
from jensen.experiments.settings import Settings as Run
from tests.experiments.process import FEW, contents, rewrite

KEY = keys.key(5)


@pytest.fixture(autouse=True)
def quick_fits(monkeypatch):
    """Of q to single images: what they are worth is another test's."""
    for name in ("MEAN_FIELD", "FLOW"):
        monkeypatch.setattr(inference, name, {"steps": 2, "lr": 0.01})


def command(monkeypatch, *args):
    monkeypatch.setattr("sys.argv", ["evaluate", *map(str, args)])
    evaluate.main()


def elbo_error(run, s=200):
    """The standard error of an ELBO by 10 samples of every test image; the KL is exact."""
    x = run.images.test
    q = run.model.posterior(run.params["encoder"], x)
    values = run.model.log_likelihood(run.params["decoder"], x, q.sample(q.noise(KEY, s)))
    return (values.var(0).sum() / 10).sqrt().item() / len(x)


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
    for start in ("ELBO", "IWAE", "CUBO(2)", "annealing", "sandwich", "gaps", "weights", "units", "KL", "terms"):
        assert f"\n{start} " in printed
    told = json.loads((target / "report.json").read_text())
    saved = json.loads((finished / "report.json").read_text())
    assert abs(told["rate"] + told["distortion"] + saved["elbo"]) < 4 * 2**0.5 * elbo_error(read(finished))
    assert told["annealed"] == pytest.approx(told["importance"], abs=5 * told["annealed_error"] + 0.1)
    assert told["active_units"] == saved["active_units"]
    rows = [json.loads(line) for line in (target / "rows.jsonl").read_text().splitlines()]
    assert {row["of"] for row in rows} == {"bound", "image", "simulated image", "dimension", "gap"}
    assert sum(row["of"] == "image" for row in rows) == 6
    assert sum(row["of"] == "gap" for row in rows) == told["gaps"]["images"] == 2
    assert all(path.read_bytes() == content for path, content in before.items())


def test_one_command_gives_the_same_bits_twice(finished, monkeypatch):
    found = []
    for _ in range(2):
        command(monkeypatch, finished, *FEW)
        found.append(contents(finished / "evaluation"))
    assert len(found[0]) == 7
    assert [name for name in found[0] if found[0][name] != found[1].get(name)] == []


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
    groups = ladder.at(ladder.Groups(2), log_w, 6)
    assert groups is not None
    torch.testing.assert_close(groups[1], bounds.Miwae(2, 3)(log_w[6:12]))
    assert ladder.at(ladder.Groups(2), log_w, 5) is None
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
    found = assess(run, 10, settings.k, 4, 5, 3, KEY)
    assert found.annealed is None
    assert found.sandwich is None
    assert found.inference is None
    text = " ".join(evaluate.report(run, found, settings).split())
    assert "it moves z along gradients, and these units are discrete" in text
    assert ("collapse is not judged" in text) == (layers == 2)
    assert "its limit is finite on every image, for a discrete q has bounded weights" in text
    assert "for ever" not in text
    heavy = found._replace(importance=found.importance._replace(k_hat=torch.full((10,), 0.9)), samples=5000)
    assert "wider tails" not in verdicts.verdicts(run, heavy, settings.k)["weights"]
    legend = assessment_figures.weights(heavy).axes[0].get_legend()
    assert legend is not None
    assert not [label for label in legend.get_texts() if "no variance" in label.get_text()]
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
    weight = load_file(other / runs.LAST)["params.encoder.1.weight"]
    rewrite(other, **{"params.encoder.1.weight": weight * 0.5})
    command(monkeypatch, finished, other, *FEW)
    printed = capsys.readouterr().out
    assert "KL weight      rate  distortion" in printed
    assert "the best ELBO is that of KL weight" in printed
    names = {path.name for path in (finished / "evaluation").iterdir()}
    assert {"rate-distortion.txt", "rate-distortion.jsonl", "rate-distortion.png"} < names
    assert not (other / "evaluation" / "rate-distortion.png").exists()
    rows = [json.loads(line) for line in (finished / "evaluation/rate-distortion.jsonl").read_text().splitlines()]
    assert [row["kl_weight"] for row in rows] == [1.0, 4.0]
    assert "trained with KL weight 4" in (other / "evaluation/report.txt").read_text()
    for folder, row in zip((finished, other), rows, strict=True):
        told = json.loads((folder / "evaluation/report.json").read_text())
        assert [row[name] for name in ("rate", "distortion")] == [told[name] for name in ("rate", "distortion")]
    assert rows[0]["rate"] > rows[1]["rate"]


def reweigh(folder, **changes):
    """The run as if it had been trained with other settings."""
    config = json.loads((folder / runs.CONFIG).read_text()) | changes
    (folder / runs.CONFIG).write_text(json.dumps(config))
    rewrite(folder)


def test_verdicts_say_what_to_do(finished):
    run = read(finished)
    settings = Settings(runs=(finished,), images=4, k=(2, 20))
    found = assess(run, 4, settings.k, 2, 2, 0, KEY)
    assert found.inference is None
    assert "gaps" not in verdicts.verdicts(run, found, settings.k)
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


def test_units_on_which_the_rules_disagree_are_named(finished):
    """A unit whose mean stays while its width does not is unused by the one rule and has not collapsed by the other."""
    run = read(finished)
    run.params["encoder"]["1"]["weight"][1] = 0
    found = assess(run, 2, (1, 2), 2, 1, 0, KEY)
    assert found.units.active.tolist() == [True, False]
    assert "The two rules disagree on 1: not active" in verdicts.verdicts(run, found, (1, 2))["KL"]
    fine = assess(read(finished), 2, (1, 2), 2, 1, 0, KEY)
    assert "disagree" not in verdicts.verdicts(run, fine, (1, 2))["KL"]


def test_what_has_no_json_number_is_null():
    assert evaluate.finite({"a": float("inf"), "b": {"c": float("nan"), "d": 1.5}, "e": "x"}) == {
        "a": None, "b": {"c": None, "d": 1.5}, "e": "x",
    }  # fmt: skip


def test_a_run_that_stopped_early_is_judged_by_its_best_parameters(finished):
    tensors = load_file(finished / runs.LAST)
    settings = runs.read_settings(finished)
    best = {name.removeprefix("params."): t for name, t in tensors.items() if name.startswith("params.")}
    best["encoder.0.bias"] = best["encoder.0.bias"] + 7
    runs.save_checkpoint(finished / runs.BEST, best, {"step": 60}, settings)
    rewrite(finished, {"step": 100, "best": -20.0})
    assert torch.equal(read(finished).params["encoder"]["0"]["bias"], best["encoder.0.bias"])
    (finished / runs.BEST).unlink()
    with pytest.raises(InputError, match=r"is damaged or no checkpoint .*: restore it, or train again"):
        read(finished)
