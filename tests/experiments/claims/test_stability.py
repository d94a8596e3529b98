"""The targets are the densities they claim to be, remedies bound what they say, and the fits' rows are left whole."""

import json
import math

import pytest
import torch
from scipy import stats

from jensen.core import keys, trees
from jensen.core.distributions import DiagNormal
from jensen.core.flows import Coupling
from jensen.experiments.claims import stability
from jensen.experiments.claims import stability_problems as problems
from jensen.experiments.claims.stability import Settings, Step

KEY = keys.key(0)


def test_the_chain_is_the_normal_it_says_and_its_gap_that_of_independent_normals():
    d = 5
    place = torch.arange(d)
    covariance = problems.RHO ** (place[:, None] - place).abs().double()
    exact = torch.distributions.MultivariateNormal(torch.zeros(d, dtype=torch.float64), covariance)
    z = keys.normal(KEY, (3, 2, d), torch.float64)
    torch.testing.assert_close(problems.chain(z), exact.log_prob(z))
    best = torch.linalg.inv(covariance).diagonal().reciprocal()  # variances
    independent = torch.distributions.MultivariateNormal(torch.zeros(d, dtype=torch.float64), torch.diag(best))
    assert problems.independent_gap(d) == pytest.approx(torch.distributions.kl_divergence(independent, exact).item())


def test_the_horseshoe_is_its_prior_times_its_likelihood():
    model = problems.Horseshoe.simulated(KEY, 62, 7)
    model = model._replace(x=model.x.double(), sign=model.sign.double())
    assert model.d == 62
    z = keys.normal(KEY, (3, 1, 62), torch.float64)
    for i in range(3):
        eta, log_lambda, log_tau, intercept = (t.numpy() for t in z[i, 0].split([30, 30, 1, 1]))
        beta = model.scale * math.exp(log_tau[0]) * torch.from_numpy(eta) * torch.from_numpy(log_lambda).exp()
        logits = model.x @ beta + intercept[0]
        scales = [stats.halfcauchy.logpdf(math.e**t) + t for t in (*log_lambda, *log_tau)]  # of the logarithm
        prior = sum(scales) + sum(stats.norm.logpdf(t) for t in (*eta, *intercept))
        log_p = torch.nn.functional.logsigmoid(model.sign * logits).sum().item()
        assert model.log_joint(z)[i, 0].item() == pytest.approx(prior + log_p)


@pytest.mark.parametrize("start", problems.STARTS)
def test_a_flow_starts_where_it_says_and_remedies_bound_its_weights(start):
    q = problems.deep(KEY, 20, 2, 4, start)
    z, _ = q.draw(KEY, 3)
    base, _ = q.base.draw(KEY, 3)
    assert torch.equal(z, base) == (start == "zero")
    large = trees.map(lambda t: 10 * t + 1, q.flows)
    for remedy, (low, high) in {"normalised": (0.0, 1.0), "clip": (0.9, 1.1)}.items():
        carried = problems.directions(KEY, large)
        for _ in range(50):
            flows, carried = problems.constrained(large, carried, remedy)
        norms = [torch.linalg.matrix_norm(w, 2) for f in flows if isinstance(f, Coupling) for w in f.network.weights]
        assert len(norms) == 4
        assert all(low - 1e-4 <= norm <= high + 1e-4 for norm in norms)
    flows, _ = problems.constrained(large, carried, "warm-up")
    assert flows is large


def test_a_fit_of_independent_normals_finds_the_best():
    d, seen = 4, []

    def watch(step, log_det, gradient, loss):
        seen.append((step, float(log_det), float(gradient)))

    q = problems.fit(problems.deep(KEY, d, 0, 4, "zero"), problems.chain, "warm-up", 120, 0.1, KEY, watch)
    precision = (1 + problems.RHO**2) / (1 - problems.RHO**2)
    ends = 1 / (1 - problems.RHO**2)
    exact = -0.5 * torch.tensor([[ends, precision, precision, ends]]).log()
    assert isinstance(q.base, DiagNormal)
    torch.testing.assert_close(q.base.log_scale, exact, rtol=0, atol=0.1)
    assert [step for step, *_ in seen] == list(range(120))
    assert all(log_det == pytest.approx(0, abs=1e-4) for _, log_det, _ in seen)  # no flow
    assert seen[0][2] > 5 * seen[-1][2]


def test_rows_figure_and_tables(tmp_path, capsys):
    stability.main(
        ["--out", str(tmp_path), "--dimensions", "20", "--layers", "2", "--hidden", "4", "--steps", "2", "--horseshoe",
         "62", "--data", "20", "--fit-steps", "5", "--temperatures", "4", "--chains", "2"]
    )  # fmt: skip
    rows = [Step(**json.loads(line)) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * 4 * 2
    first = {(row.start, row.remedy): row for row in rows if row.step == 0}
    assert first["zero", "none"].log_det == pytest.approx(0, abs=1e-4)
    assert abs(first["random", "none"].log_det) > 0.1
    assert first["random", "none"].gradient > 2 * first["random", "normalised"].gradient
    fits = [json.loads(line) for line in (tmp_path / "horseshoe.jsonl").read_text().splitlines()]
    assert [fit["posterior"] for fit in fits] == ["mean field", "2 couplings", "annealing from the mean field"]
    assert (tmp_path / "stability.png").stat().st_size > 0
    said = capsys.readouterr().out
    assert "2 couplings, d = 20; the best independent normals: 0.309" in said
    assert fits[-1]["verdict"] in said


def test_an_error_that_is_not_known_is_not_shown_as_one():
    fit = stability.Fit("annealing", -3.0, None, "the error is not known")
    assert "-3.00 ± ?" in stability.table_of_fits([fit], Settings())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--layers", "3"], "--layers (3,): expected even numbers of at least 2"),
        (["--dimensions", "1"], "--dimensions of at least 2"),
        (["--horseshoe", "41"], "an even --horseshoe of at least 42"),
        (["--chains", "1"], "--chains of at least 2"),
        (["--lr", "0"], "--lr 0.0, --fit-lr 5e-05: expected step sizes in (0, 1]"),
        (["--seed", "-1"], "expected --seed in [0, 2^63)"),
    ],
)
def test_bad_input_is_one_clear_line(args, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(stability.main, *args)
    assert not list(tmp_path.iterdir())
