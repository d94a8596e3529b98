"""Draws judged by a classifier: numbers are the diagnostics' of its features, and the order of draws says nothing."""

from pathlib import Path

import pytest
import torch

from jensen.core import keys
from jensen.estimators.diagnostics import frechet
from jensen.experiments.claims.fitted import fitted_classifier
from jensen.experiments.data import labelled
from jensen.experiments.programs.judge import Judge
from jensen.experiments.report.draws import against, judged, measured, most

KEY = keys.key(41)


@pytest.fixture(scope="module")
def judge():
    """A perceptron of digits, of a second's training."""
    data = labelled.digits()
    model, params = fitted_classifier(data.train, 32, 150, KEY)
    return Judge(Path("c"), "digits", model, params, data.train["x"], data.test["x"], data.test["labels"])


def test_numbers_are_the_diagnostics_of_features(judge):
    x = judge.train[:50]
    features, held_out = against(judge, 50, KEY)
    assert features.shape == (50, 32)
    assert held_out.shape == (50, 64)
    found = measured(judge, x, features)
    assert torch.equal(found.distance.distance, frechet(judge.model.features(judge.params, x), features).distance)
    assert found.numbers()["frechet"] == found.distance.distance.item()
    assert 1 <= found.score.score <= 10
    assert most(judge) == 360
    assert judge.accuracy() > 0.8


def test_the_verdict_is_beside_held_out_images(judge):
    """Noise, other training images, and the very images that draws are compared with."""
    noise = judged(judge, keys.uniform(KEY, judge.test.shape), KEY)
    assert noise.verdict().startswith("draws are further from training images than held-out ones are, by")
    others = judged(judge, judge.train[-360:], KEY)
    assert "further" not in others.verdict()
    (compared, _) = keys.split(KEY)
    copies = judged(judge, judge.train[keys.permutation(compared, len(judge.train))[:360]], KEY)
    assert copies.drawn.distance.distance.abs() < 1e-8
    assert copies.drawn.where.density >= others.drawn.where.density
    text = noise.finding().summary
    assert "features (32) of the classifier in c, right of " in text
    assert "against 360 training images              360 draws        360 held-out" in text
    assert [row["of"] for row in noise.finding().rows] == ["draws", "held-out images"]


def test_classes_in_turn_are_no_fault_of_the_draws(judge):
    """Images of class i in rows i, i + 10, ...: parts of rows by their place would each lack a class."""
    order = judge.labels.sort(stable=True).indices
    in_turn = torch.cat([order[i::30] for i in range(30)])
    x = judge.test[in_turn]
    found = judged(judge, x, KEY)
    shuffled = judged(judge, x[keys.permutation(KEY, len(x))], KEY)
    assert abs(found.drawn.distance.extrapolated - shuffled.drawn.distance.extrapolated) < found.drawn.distance.error
    assert abs(found.drawn.score.score - shuffled.drawn.score.score) < 0.5


def test_a_poor_classifier_is_said_to_be_one(judge):
    poor = judge._replace(params=judge.model.init(KEY))
    assert poor.accuracy() < 0.4
    assert judged(poor, judge.train[:60], KEY).verdict().endswith("so often wrong has poor features")
