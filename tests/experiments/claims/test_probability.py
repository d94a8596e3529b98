"""Every figure is its exact value, exact values are those of scipy, and a figure that is off is named."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from jensen.experiments.claims import estimation_limits, limit_theorems, probability
from jensen.experiments.claims.computed import Row, slope, table, verdict
from jensen.experiments.claims.probability import Settings, run

SMALL = Settings(draws=20_000)


@pytest.fixture(scope="module")
def parts():
    return probability.measure(SMALL)


@pytest.fixture(scope="module")
def rows(parts):
    return [row for part in parts for row in part.rows]


def test_every_figure_is_its_exact_value(rows):
    assert verdict(rows) == f"all {len(rows)} figures hold, to 4.5 standard errors or to rounding"
    assert len({(row.part, row.quantity) for row in rows}) == len(rows)
    assert {part.__name__ for part in probability.PARTS} >= {"large_numbers", "conditioning", "shrinkage"}


def test_kolmogorovs_distances_by_scipy():
    """The largest |gamma's cdf - normal's|, 0.05963 at N = 5 and 0.005947 at 500; the third moment is 12 / e - 2."""
    for n, known in limit_theorems.KOLMOGOROV.items():
        mean = stats.gamma(n, loc=-(n**0.5), scale=n**-0.5)
        best = optimize.minimize_scalar(lambda x, m=mean: -abs(m.cdf(x) - stats.norm.cdf(x)), bounds=(-1, 1))
        assert -best.fun == pytest.approx(known, rel=1e-4)
    third = stats.expon.expect(lambda x: abs(x - 1) ** 3)
    assert third == pytest.approx(limit_theorems.RHO, rel=1e-6)
    assert abs(limit_theorems.RHO - 2.41455) < 1e-5
    assert limit_theorems.ESSEEN * third / 5**0.5 == pytest.approx(0.5127, abs=5e-5)


def test_exact_values_by_scipy(rows):
    """Those that the script states by a formula of its own."""
    exact = {row.quantity: row.exact for row in rows}
    assert exact["entropy of the t of 5"] == pytest.approx(stats.t(5, scale=0.6**0.5).entropy(), abs=1e-7)
    assert exact["entropy of the logistic"] == pytest.approx(stats.logistic(scale=3**0.5 / math.pi).entropy())
    tail = stats.gamma(64).cdf(64 * 0.8) + stats.gamma(64).sf(64 * 1.2)
    assert exact["P(off by 0.2) at N = 64"] == pytest.approx(tail, rel=1e-9)
    deviation = stats.chi(9, scale=1 / 3)
    assert exact["variance of the sample's deviation"] == pytest.approx(deviation.var(), rel=1e-9)
    assert exact["E |x| at d = 1,000"] == pytest.approx(stats.chi(1000).mean(), rel=1e-9)
    assert exact["E |x| at d = 1,000"] == pytest.approx(31.61, abs=0.005)
    for d, norm in ((3, 2.0), (10, 2.0), (10, 8.0)):
        inverse = stats.ncx2(d, norm**2).expect(lambda x: 1 / x) if norm else 1 / (d - 2)
        assert estimation_limits.risk(d, norm) == pytest.approx(d - (d - 2) ** 2 * inverse, rel=1e-5)
    assert exact["real part at t = 1, N = 5"] == pytest.approx(
        stats.gamma(5, loc=-(5**0.5), scale=5**-0.5).expect(np.cos), rel=1e-6
    )


def test_log_densities_in_fractions_are_exact():
    """diag(4, 1/4, 1) by hand, and a product of triangular matrices of small integers."""
    x = torch.tensor([2.0, 0.5, 3.0], dtype=torch.float64)
    exact = estimation_limits.exact_log_density(torch.diag(torch.tensor([4.0, 0.25, 1.0]).double()), x)
    assert exact == pytest.approx(-0.5 * (1 + 1 + 9 + 3 * math.log(2 * math.pi)), abs=1e-14)
    factor = torch.tensor([[2.0, 0, 0], [1, 3, 0], [-2, 1, 1]], dtype=torch.float64)
    known = torch.distributions.MultivariateNormal(torch.zeros(3).double(), scale_tril=factor).log_prob(x)
    assert estimation_limits.exact_log_density(factor @ factor.T, x) == pytest.approx(known.item(), abs=1e-12)


def test_a_figure_that_is_off_is_marked_and_named(rows):
    """Planted: a slope of -1/3, a bias of 2 %, a tail above its bound."""
    wrong = [
        Row("law of large numbers", "a slope", -1 / 3, -0.5, 0.01),
        Row("Cramér and Rao", "a biased variance", 0.1836, 0.18),
        Row("Cramér and Rao", "a tail", 0.3, 0.25, relation="≤"),
        Row("Cramér and Rao", "a tail below", 0.2, 0.25, relation="≤"),
    ]
    assert verdict(wrong) == "3 of 4 figures are off: a slope; a biased variance; a tail"
    assert table(wrong).count("← off") == 3
    assert "← off" not in table(rows)
    assert slope([1, 10, 100], [5.0, 0.5, 0.05]) == pytest.approx(-1)


def test_rows_and_the_figure_are_left_in_the_folder(tmp_path, parts, monkeypatch):
    monkeypatch.setattr(probability, "measure", lambda settings: parts[:3])
    found = run(Settings(out=tmp_path / "all", draws=20_000))
    written = [json.loads(line) for line in (tmp_path / "all/rows.jsonl").read_text().splitlines()]
    assert [(row["quantity"], row["computed"], row["holds"]) for row in written] == [
        (row.quantity, row.computed, True) for row in found
    ]
    assert (tmp_path / "all/probability.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--draws", "10"], "expected --draws of at least 20000, got 10"),
        (["--seed", "-1"], "expected --seed in [0, 2^63)"),
    ],
)
def test_bad_input_is_one_clear_line(args, message, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert message in refused(probability.main, *args)
    assert not list(tmp_path.iterdir())
