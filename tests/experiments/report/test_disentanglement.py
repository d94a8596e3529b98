"""The report of images with known factors: scores of codes that are the factors, and of codes that mix them."""

import torch

from jensen.core import keys
from jensen.core.distributions import DiagNormal
from jensen.experiments import report

FACTORS = {"shape": torch.arange(400) % 4, "x": torch.arange(400) // 4 % 5}
X = torch.stack([*FACTORS.values(), 0 * FACTORS["x"]], 1).float()
NOISE = 0.01 * keys.normal(keys.key(1), (400, 1))


class Reader:
    """A model whose posterior means are a linear function of the data."""

    def __init__(self, weight):
        self.weight = torch.tensor(weight)

    def posterior(self, params, x):
        loc = x @ self.weight.T
        return DiagNormal(loc, torch.zeros_like(loc))


def found(weight):
    return report.disentanglement(Reader(weight), {}, X + NOISE, FACTORS)


def test_codes_that_are_the_factors_score_one():
    finding = found([[1.0, 0, 0], [0, 1.0, 0]])
    scores, shape, x = finding.rows
    assert min(scores["mig"], scores["disentanglement"], scores["completeness"], scores["informativeness"]) > 0.9
    assert (shape["of"], shape["best"], x["of"], x["best"]) == ("shape", 0, "x", 1)
    assert finding.figure is not None
    lines = finding.summary.splitlines()
    assert lines[0].split()[:6] == ["known", "factors,", "in", "[0,", "1]", "MIG"]
    assert lines[1].split()[:3] == ["all", "factors", f"{scores['mig']:.3f}"]


def test_codes_that_mix_them_do_not():
    scores = found([[1.0, 1.0, 0], [1.0, -1.0, 0]]).rows[0]
    assert scores["mig"] < 0.2
    assert scores["disentanglement"] < 0.2


def test_one_dimension_has_nothing_beside_it():
    finding = found([[1.0, 0, 0]])
    assert (finding.rows, finding.summary) == ([], "one latent dimension: MIG, SAP and DCI compare two or more\n")
