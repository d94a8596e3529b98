import time

from jensen.experiments.run.session import Sparingly


def test_drawing_takes_at_most_its_share_of_the_time(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    calls = []

    def draw(params, state):
        calls.append(clock[0])
        clock[0] += 3.0

    watched = Sparingly(draw, 0.1)
    for _ in range(1000):
        clock[0] += 0.5
        watched({}, {})
    assert 3.0 * len(calls) <= 0.1 * clock[0] + 3.0
    assert calls[0] == 0.5
    assert len(calls) >= 10
