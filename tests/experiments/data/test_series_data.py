"""Series seen in part, simple answers to what is not seen, films of a ball, and subjects in progression."""

import math

import pytest
import torch

from jensen.core import keys
from jensen.core.models.latent.series import Series
from jensen.experiments.data import irregular, oscillations, progression
from jensen.experiments.data.oscillations import OscillationData
from jensen.experiments.data.progression import ProgressionData
from jensen.experiments.run.errors import InputError

KEY = keys.key(0)


def test_series_keep_a_uniform_share_of_what_they_have():
    n, m = 2000, 30
    every = torch.ones(n, m, dtype=torch.bool)
    x = Series(torch.zeros(n, m), torch.zeros(n, m, 1), every)
    share = irregular.irregular(KEY, x).mask.double().mean(-1)
    low = irregular.LEAST
    assert abs(share.mean() - (1 + low) / 2) < 4 * share.std() / n**0.5
    spread = (1 - low) ** 2 / 12 + (share * (1 - share)).mean() / m  # of the share, and of the draws given it
    assert abs(share.var() / spread - 1) < 0.1
    half = x.only(torch.arange(m) < m // 2)
    assert not irregular.irregular(KEY, half).mask[:, m // 2 :].any()


def test_simple_answers_are_those_of_loops():
    mask = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]).bool()
    values = torch.where(mask[..., None], keys.normal(KEY, (3, 5, 2)), torch.nan)
    x = Series(torch.arange(5.0).expand(3, 5), values, mask)
    means, carried = irregular.series_mean(x), irregular.carried_forward(x)
    overall = values[mask].mean(0)
    for i in range(3):
        mean = values[i][mask[i]].mean(0) if mask[i].any() else overall
        torch.testing.assert_close(means[i], mean.expand(5, 2))
        last = mean
        for t in range(5):
            torch.testing.assert_close(carried[i, t], last)
            last = values[i, t] if mask[i, t] else last


def test_oscillations_are_asked_for_where_they_are_not_seen():
    train, (x, seen, questions) = OscillationData(series=50, times=20).load(seed=3)
    again, asked = OscillationData(series=50, times=20).load(seed=4)
    assert torch.equal(asked.series.values, x.values)  # the test is that of every run
    assert not torch.equal(again.values, train.values)
    total = seen.int() + sum(where.int() for where in questions.values())
    assert (total == 1).all()
    assert (x.times[questions["extrapolation"]] >= 3.5).all()
    assert (x.times[seen | questions["interpolation"]] < 3.5).all()
    assert torch.equal(asked.given().mask, seen)
    assert train.mask.all()


def test_a_film_is_brightest_where_the_ball_is():
    found = oscillations.oscillations(KEY, 20, 10, noise=0.0)
    film = oscillations.film(KEY, found, 61)
    place = torch.linspace(-1.5, 1.5, 61)[film.values.argmax(-1)]
    torch.testing.assert_close(place, found.values.clamp(-1.5, 1.5), rtol=0, atol=0.026)
    noisy = oscillations.film(KEY, found._replace(noise=torch.tensor(0.1)), 61).values - film.values
    assert abs(noisy.double().var() / 0.01 - 1) < 4 * math.sqrt(2 / noisy.numel())


def test_stages_grow_in_bursts_of_their_mean_and_variance():
    n, visits = 4000, 6
    x, stages = progression.progression(KEY, n, visits, 0.0)
    assert (stages.diff(dim=-1) > 0).all()
    elapsed = x.times.diff(dim=-1)
    assert progression.ELAPSED[0] <= elapsed.min() < elapsed.max() <= progression.ELAPSED[1]
    pace = (stages.diff(dim=-1) / elapsed).double()
    low, high = progression.SPEED
    speed, square = (low + high) / 2, (high**3 - low**3) / (3 * (high - low))
    assert abs(pace.mean() - speed) < 5 * pace.mean(-1).std() / n**0.5
    variance = square * 1.5 - speed**2  # a burst has the second moment 1.5
    assert abs(pace.var() / variance - 1) < 0.1
    expected = 1 / (1 + torch.exp(-2 * (stages[..., None] - torch.tensor(progression.THRESHOLDS))))
    torch.testing.assert_close(x.values, expected)


def test_subjects_are_asked_for_the_visit_after_those_seen():
    train, (x, seen, questions) = ProgressionData(subjects=30, visits=6).load(seed=0)
    assert 0.5 < train.mask.double().mean() < 1
    after = questions["next visit"]
    assert (after.sum(-1) <= 1).all()
    assert not (seen & after).any()
    for i in range(len(seen)):
        if after[i].any():
            place = int(after[i].int().argmax())
            assert not x.mask[i, int(seen[i].nonzero().max()) + 1 if seen[i].any() else 0 : place].any()
            assert not questions["later visits"][i, : place + 1].any()


def test_what_cannot_be_made_is_one_clear_line():
    with pytest.raises(InputError, match=r"expected a subject, two visits and a noise of 0 or more, got 3, 1 and 0.1"):
        progression.progression(KEY, 3, 1, 0.1)
    with pytest.raises(InputError, match="expected --subjects of at least 2, got 1"):
        ProgressionData(subjects=1).check()
