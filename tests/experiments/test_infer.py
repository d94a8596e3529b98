"""The command of inference: its numbers are the posterior's, every model and method runs, and bad input is one line."""

import json
import zipfile
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from jensen.core import keys
from jensen.core.models import bayes
from jensen.experiments import infer
from jensen.experiments.inference import embedded, figures, models, tables
from jensen.experiments.inference.methods import METHODS, Budget

TINY = ("--samples", "200", "--chains", "4", "--steps", "20", "--particles", "60", "--rounds", "1")
WIDE = {"dtype": torch.float64}


def ran(*args):
    infer.main(list(map(str, args)))


def refused(capsys, *args):
    with pytest.raises(SystemExit) as ended:
        ran(*args)
    assert ended.value.code == 2
    return capsys.readouterr().err


def quadrature():
    """Mean and standard deviation of mu and tau of eight schools: theta integrates to y ~ N(mu, tau^2 + sigma^2)."""
    data = embedded.eight_schools()
    y, sigma = data.tensor("y"), data.tensor("sigma")
    mu, tau = torch.linspace(-30, 40, 281, **WIDE)[:, None], torch.linspace(0.01, 80, 4000, **WIDE)
    variance = tau.square()[:, None] + sigma.square()
    log_weight = -0.5 * (mu / 5).square() - torch.log1p((tau / 5).square()) - 0.5 * variance.log().sum(-1)
    for j in range(8):
        log_weight = log_weight - 0.5 * (y[j] - mu).square() / variance[:, j]
    weight = torch.softmax(log_weight.flatten(), 0).reshape(log_weight.shape)
    found = {}
    for name, x in {"mu": mu, "tau": tau}.items():
        mean = (weight * x).sum()
        found[name] = mean.item(), (weight * (x - mean).square()).sum().sqrt().item()
    return found


def test_eight_schools_by_full_rank_is_the_posterior_and_everything_is_written(tmp_path, capsys):
    draws = {name: (mean + sd * torch.linspace(-1.7, 1.7, 50)).tolist() for name, (mean, sd) in quadrature().items()}
    (tmp_path / "draws.json").write_text(json.dumps([draws, draws]))
    ran("--reference", tmp_path / "draws.json", "--rounds", 3, "--particles", 200, "--out", tmp_path / "out")
    shown = capsys.readouterr().out
    table = json.loads((tmp_path / "out/table.json").read_text())
    rows = {row["name"]: row for row in table["parameters"]}
    for name, (mean, sd) in quadrature().items():
        assert abs(rows[name]["mean"] - mean) < 0.15 * sd
        assert abs(rows[name]["sd"] / sd - 1) < 0.1
        assert rows[name]["low"] < mean < rows[name]["high"]
    assert rows["theta[7]"]["r_hat"] is None
    assert table["evidence"]["SMC"]["standard_error"] < 0.1
    assert abs(table["evidence"]["SMC"]["log_p"] - table["evidence"]["importance"]["log_p"]) < 0.3
    assert all(part in shown for part in ("reference", "k-hat", "log p(x) by importance", "weights are"))
    assert shown.startswith((tmp_path / "out/table.txt").read_text())
    kept = load_file(tmp_path / "out/draws.safetensors")
    assert kept["theta"].shape == (4000, 8)
    torch.testing.assert_close(kept["theta"], kept["mu"][:, None] + kept["tau"][:, None] * kept["theta_raw"])
    for name in ("marginals.png", "pairs.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_the_centred_model_is_flagged():
    ready = models.parse("eight-schools-centred")
    posterior = models.conditioned(ready, models.table(ready, None))
    found = METHODS["advi"](posterior, keys.key(0), Budget(samples=2000, rounds=1))
    assert found.k_hat > 0.7
    assert "weights are unreliable" in found.verdict
    assert "as in a centred parameterisation" in found.verdict


def test_particles_that_know_of_each_other_have_no_monte_carlo_error(capsys):
    ran("--method", "svgd", "--model", "ar(1)", *TINY)
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("mu "))
    assert len(row.split()) == 5  # a name, a mean, a standard deviation and two quantiles


@pytest.mark.slow
def test_every_method_is_compared(tmp_path, capsys):
    ran("--method", "all", "--model", "ar(1)", *TINY, "--posterior", "planar(1)", "--out", tmp_path)
    found = json.loads((tmp_path / "table.json").read_text())["methods"]
    each = {row["method"]: row for row in found}
    assert {name.partition(",")[0] for name in each} == set(METHODS)
    assert {"advi, diag", "advi, full", "advi, planar(1)"} <= set(each)
    assert "1 or 2 coordinates, got 3" in each.pop("grid")["error"]
    assert "expected logistic regression, got AR(1)" in each.pop("ep")["error"]
    assert each["hmc"].pop("mean_off") is None  # which the others are compared with
    assert all(row["error"] is None and row.get("mean_off", 0) is not None for row in each.values())
    assert each["svgd"]["ess"] is None
    assert each["advi, full"]["gap"] is not None
    assert each["smc"]["gap"] is None
    assert each["metropolis"]["r_hat"] > 0.9
    shown = capsys.readouterr().out
    assert "a mean from HMC's" in shown
    doubted = [name for name, row in each.items() if not row["reliable"]]
    assert doubted
    assert all(f"\n{name}" in shown.partition("\nin doubt\n")[2] for name in doubted)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "ep"])
def test_every_method_finds_a_regression_with_one_covariate(name):
    """Known noise: the posterior is a normal, and its moments and evidence are exact."""
    x = torch.stack([torch.ones(20, **WIDE), torch.linspace(-1, 2, 20, **WIDE)], 1)
    data = {"x": x, "y": x @ torch.tensor([0.5, -1.0], **WIDE) + (-1.0) ** torch.arange(20)}
    exact, posterior = bayes.exact_regression(data), bayes.condition(bayes.linear_regression(2), data)
    budget = Budget(samples=1000, chains=8, steps=60, particles=1000, rounds=1)
    if name == "svgd":  # which has to settle
        budget = replace(budget, steps=400)
    found = METHODS[name](posterior, keys.key(0), budget)
    rows = found.rows(posterior)
    scale = exact.covariance.diagonal().sqrt()
    for i, row in enumerate(rows):
        assert row.name == f"weights[{i}]"
        error = 0.1 * row.sd if row.error is None else row.error
        assert abs(row.mean - exact.mean[i].item()) < 5 * error + 1e-6
        assert abs(row.sd / scale[i].item() - 1) < 0.2
        assert row.low < row.mean < row.high
    for each in found.evidence.values():
        assert abs(each.log_p - exact.log_evidence).item() < 5 * each.standard_error.item() + 1e-6
    z = found.resampled(keys.key(1), 4000)
    torch.testing.assert_close(z.mean(0), posterior.flat(z).mean(0))
    assert ((z.mean(0) - exact.mean) / scale).abs().max() < 0.2


def test_the_seed_decides(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,2\n2,4\n3,5\n")

    def means(seed):
        ran("--method", "metropolis", *TINY, "--model", "linear", "--data", path, "--seed", seed, "--out", tmp_path)
        return [row["mean"] for row in json.loads((tmp_path / "table.json").read_text())["parameters"]]

    assert means(1) == means(1)
    assert means(1) != means(2)


def test_kidscore_from_a_file_is_least_squares(tmp_path):
    """With a flat prior of the weights their means are those of least squares."""
    iq = 100 + 15 * keys.normal(keys.key(0), (1, 80), torch.float64)[0]
    score = 26 + 0.6 * iq + 18 * keys.normal(keys.key(1), (1, 80), torch.float64)[0]
    content = json.dumps({"N": 80, "mom_iq": iq.tolist(), "kid_score": score.tolist()})
    with zipfile.ZipFile(tmp_path / "kidiq.json.zip", "w") as archive:
        archive.writestr("kidiq.json", content)
    ran("--model", "kidscore", "--data", tmp_path / "kidiq.json.zip", "--particles", 60, "--out", tmp_path / "out")
    table = json.loads((tmp_path / "out/table.json").read_text())
    expected = torch.linalg.lstsq(torch.stack([torch.ones_like(iq), iq], 1), score[:, None]).solution[:, 0]
    for row, mean in zip(table["parameters"], expected.tolist(), strict=False):
        assert abs(row["mean"] - mean) < 0.1 * row["sd"]


def test_columns_of_a_csv_by_name_and_one_coordinate_by_a_grid(tmp_path, capsys):
    """The posterior of a slope with known noise is exact."""
    lines = [f"b{i},{i / 10},{i / 5 + (-1) ** i}" for i in range(20)]
    (tmp_path / "a.csv").write_text("\n".join(["name,age,height", *lines]))
    ran("--model", "linear", "--data", tmp_path / "a.csv", "--columns", "x=age", "y=height", "--method", "grid",
        "--out", tmp_path / "out")  # fmt: skip
    x = torch.tensor([[1.0, i / 10] for i in range(20)], **WIDE)
    exact = bayes.exact_regression({"x": x, "y": torch.tensor([i / 5 + (-1) ** i for i in range(20)], **WIDE)})
    table = json.loads((tmp_path / "out/table.json").read_text())
    for i, row in enumerate(table["parameters"]):
        assert abs(row["mean"] - exact.mean[i].item()) < 4 * row["error"]
        assert abs(row["sd"] / exact.covariance[i, i].sqrt().item() - 1) < 0.04
    assert abs(table["evidence"]["grid"]["log_p"] - exact.log_evidence.item()) < 1e-6
    assert "log p(x) by grid" in capsys.readouterr().out


def test_expectation_propagation_is_of_logistic_regression():
    """A posterior whose moments a grid knows."""
    x = torch.stack([torch.ones(30, **WIDE), torch.linspace(-2, 2, 30, **WIDE)], 1)
    data = {"x": x, "y": (x[:, 1] + torch.sin(7 * x[:, 1]) > 0.3).double()}
    posterior = bayes.condition(bayes.logistic_regression(2), data)
    found, exact = (METHODS[name](posterior, keys.key(0), Budget()) for name in ("ep", "grid"))
    for row, known in zip(found.rows(posterior), exact.rows(posterior), strict=True):
        assert abs(row.mean - known.mean) < 5 * (row.error + known.error)


@pytest.mark.parametrize("name", [name for name in models.ROWS if name != "kidscore"])
def test_every_model_has_data_of_its_own(name):
    ready = models.parse(name)
    posterior = models.conditioned(ready, models.table(ready, None))
    bayes.check(posterior, keys.key(0))
    assert posterior(posterior.start[None]).isfinite().all()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model", "eight-school"], "the nearest is 'eight-schools'"),
        (["--model", "mixture(1)"], "k"),
        (["--model", "kidscore"], "--data FILE"),
        (["--method", "avdi"], "the nearest is 'advi'"),
        (["--method", "hmc", "--posterior", "flow"], "--posterior is of advi, laplace, all, and --method is hmc"),
        (["--posterior", "splin"], "the nearest is 'spline'"),
        (["--data", "diabets"], "the nearest is 'diabetes'"),
        (["--data", "diabetes"], "has no column 'sigma'"),
        (["--data", "none.csv"], "none.csv cannot be read"),
        (["--columns", "z=a"], "--columns as y=COLUMN or sigma=COLUMN"),
        (["--columns", "y=a,b"], "one column for y"),
        (["--chains", "1"], "--chains of at least 4"),
        (["--particles", "50"], "multiple of 20"),
        (["--seed", "-1"], "--seed"),
        (["--method", "grid"], "grid cannot take this posterior"),
        (["--reference", "none.json"], "none.json cannot be read"),
    ],
)
def test_refusals(args, message, capsys):
    error = refused(capsys, *args)
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "y,sigma\n1,2\nNA,3\n", "got 'NA' in line 3"),
        ("a.csv", "y,sigma\n1,2\nnan,3\n", "got 'nan' in line 3"),
        ("a.csv", "y,sigma\n1,2,3\n", "expected 2 cells in line 2, got 3"),
        ("a.csv", "y,y\n1,2\n", "a name of its own"),
        ("a.csv", "y,sigma\n", "lines of numbers below"),
        ("a.csv", "y,sigma\n1,2\n3,-4\n", "numbers > 0"),
        ("a.csv", "y,sgma\n1,2\n", "the nearest is 'sgma'"),
        ("a.json", "[1]", "a dict of numbers"),
        ("a.json", '{"y": [1, NaN], "sigma": [1, 2]}', "is no JSON"),
        ("a.json", '{"y": [1, 2], "sigma": [1, [2]]}', "expected numbers in sigma"),
        ("a.json", '{"y": [1, 2], "sigma": [1, 2, 3]}', "one number of rows"),
        ("a.json", '{"y": 1, "sigma": [1]}', "y with 1 axes"),
        ("a.json.zip", "no archive", "no zip archive"),
        ("a.txt", "1", "expected --data in .csv"),
    ],
)
def test_bad_files_are_one_line(tmp_path, name, content, message, capsys):
    (tmp_path / name).write_text(content)
    error = refused(capsys, "--data", tmp_path / name)
    assert message in error
    assert error.count("\n") == 1


def test_an_improper_posterior_is_refused_before_anything(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("mom_iq,kid_score\n" + "1,2\n" * 6)
    assert "weights" in refused(capsys, "--model", "kidscore", "--data", tmp_path / "a.csv", "--method", "all")


def test_reference_draws_count_from_0_and_have_to_be_of_the_model(tmp_path, capsys):
    path = tmp_path / "draws.json"
    path.write_text(json.dumps([{"theta[1]": [1, 2], "corr[2,10]": [3, 4]}] * 3))
    found = tables.reference(path)
    assert set(found) == {"theta[0]", "corr[1,9]"}
    assert len(found["theta[0]"]) == 6
    path.write_text(json.dumps([{"beta[1]": [1, 2]}]))
    assert "expected draws of mu" in refused(capsys, "--reference", path)
    path.write_text(json.dumps({"mu": [1]}))
    assert "a list of chains" in refused(capsys, "--reference", path)


@pytest.mark.parametrize("t", [keys.normal(keys.key(0), (1, 500))[0].exp(), torch.ones(9)])
def test_densities_of_positive_draws_have_no_bar_below_zero(t):
    low, high = figures.marginals("advi", {"scale": t}, {}).axes[0].get_xlim()
    assert 0 < low < t.median() < high
