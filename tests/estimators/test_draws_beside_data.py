"""Precision, recall, density and coverage of draws, and their inception score: small cases by hand."""

import math

import numpy as np
import pytest
import torch

from jensen.core import keys
from jensen.estimators.diagnostics import inception_score, precision_recall

KEY = keys.key(32)


def at(*points):
    return torch.tensor(points)[:, None]


def clusters(key, modes):
    """400 points around the first of eight places."""
    return 5 * torch.eye(8)[(modes * keys.uniform(key, (400,))).long()] + 0.1 * pair(key, 400, d=8)[0]


def pair(key, n=150, m=150, d=2):
    a, b = keys.split(key, 2)
    return keys.normal(a, (n, d)), keys.normal(b, (m, d))


def test_balls_on_a_line():
    """Data 0, 1, 3, 7 have balls [-1, 1], [0, 2], [1, 5], [3, 11]; draws 1.5, 12, 12.5 have radii 10.5, 0.5, 0.5."""
    found = precision_recall(at(1.5, 12.0, 12.5), at(0.0, 1.0, 3.0, 7.0), k=1)
    assert found.precision.item() == pytest.approx(1 / 3)
    assert found.recall.item() == 1  # 1.5's ball is [-9, 12]
    assert found.density.item() == pytest.approx(2 / 3)  # 1.5 is in two balls
    assert found.coverage.item() == pytest.approx(2 / 4)


def test_they_are_their_definitions():
    x, y = pair(KEY, 40, 50)
    k = 3
    points = [each.double().numpy() for each in (x, y)]
    within_x, apart, _, within_y = (np.linalg.norm(s[:, None] - t[None], axis=-1) for s in points for t in points)
    of_x, of_y = (np.sort(within, 1)[:, k] for within in (within_x, within_y))
    in_y = np.array([[apart[i, j] <= of_y[j] for j in range(50)] for i in range(40)])
    in_x = np.array([[apart[i, j] <= of_x[i] for j in range(50)] for i in range(40)])
    expected = [in_y.any(1).mean(), in_x.any(0).mean(), in_y.sum(1).mean() / k, in_y.any(0).mean()]
    np.testing.assert_allclose([t.item() for t in precision_recall(x, y, k)[:4]], expected, rtol=1e-12)


def test_under_equality_density_and_coverage_have_their_means():
    """Of 60 pairs the means are within 4 standard errors; precision and recall are of one distribution."""
    n, m, k = 100, 150, 5
    each = torch.stack([torch.stack(precision_recall(*pair(key, n, m), k)[2:4]) for key in keys.split(KEY, 60)])
    coverage = 1 - math.prod((m - j) / (n + m - j) for j in range(1, k + 1))
    noise = each.std(0) / 60**0.5
    assert ((each.mean(0) - torch.tensor([1, coverage])).abs() < 4 * noise).all()


def test_what_is_never_drawn_and_what_is_drawn_beside_the_data_are_told_apart():
    a, b = keys.split(KEY, 2)
    data = clusters(a, 8)
    few, smear = precision_recall(clusters(b, 3), data), precision_recall(3 * pair(b, 400, d=8)[0], data)
    same = precision_recall(clusters(b, 8), data)
    assert few.precision > 0.9
    assert few.recall == pytest.approx(3 / 8, abs=0.1)
    assert few.verdict().endswith("most data are unlike any draw: look for what is never drawn")
    assert smear.precision < 0.5
    assert min(same.precision, same.recall) > 0.9
    assert "unlike" not in same.verdict()
    assert precision_recall(data + 100, data).verdict().endswith("draws and data lie apart")


def test_one_far_datum_raises_precision_and_not_density():
    x, y = pair(KEY)
    outlier = torch.cat([y, torch.tensor([[40.0, 0.0]])])
    wrong = x + torch.tensor([20.0, 0.0])
    assert precision_recall(wrong, y).precision == 0
    far = precision_recall(wrong, outlier)
    assert far.precision > 0.9
    assert far.density < 0.25
    assert far.coverage < 0.05


def test_copies_of_data_are_where_data_are():
    """The balls of points that are in a sample more than k times have a radius of 0, and have the copies in them."""
    points = torch.tensor([[0.0, 0.0]] * 10 + [[1.0, 2.0]] * 10)
    found = precision_recall(points[:15], points)
    assert [t.item() for t in found[:2]] == [1, 1]


def test_the_score_is_its_divergences():
    log_p = (3 * keys.normal(KEY, (60, 4))).double().log_softmax(-1)
    each = []
    for i in range(5):
        p = log_p[i::5].exp().numpy()
        each.append(np.exp((p * np.log(p / p.mean(0))).sum(1).mean()))
    found = inception_score(log_p, 5)
    assert found.score.item() == pytest.approx(np.mean(each), rel=1e-12)
    assert found.error.item() == pytest.approx(np.std(each, ddof=1) / 5**0.5, rel=1e-9)


def test_sure_and_even_draws_have_the_number_of_classes_and_others_less():
    classes = torch.arange(200) // 10 % 4  # each split of ten has rows i, i + 10, …: all classes alike
    sure = torch.eye(4)[classes]
    found = inception_score(sure.log())
    assert found.score.item() == pytest.approx(4, rel=1e-12)
    assert found.error.item() == 0
    assert found.verdict() == "an inception score of 4.00 ± 0, of at most 4"
    assert inception_score(sure[:, [0, 0, 0, 0]].softmax(-1).log()).score.item() == pytest.approx(1)  # nothing is told
    one = torch.eye(4)[torch.zeros(200, dtype=torch.int64)]
    assert inception_score(one.log()).score.item() == pytest.approx(1)  # one class is drawn
    three = torch.eye(4)[torch.arange(300) // 10 % 3]
    assert inception_score(three.log()).score.item() == pytest.approx(3)


def test_few_draws_of_a_split_have_too_small_a_score():
    """500 splits of 40 sure draws of 10 classes: E log score is log 10 - 9 / 80, but for noise and terms in 1 / n^2."""
    drawn = torch.eye(10)[(10 * keys.uniform(KEY, (20_000,))).long()]
    each = torch.stack([inception_score(part.log(), 2).score.log() for part in drawn.split(80)])
    noise = each.std().item() / 250**0.5
    assert abs(each.mean().item() - (math.log(10) - 9 / 80)) < 4 * noise + 9 / 40**2
    assert math.log(10) - each.mean().item() > 4 * noise
