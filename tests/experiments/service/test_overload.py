"""More than the service can take: bounds that are kept, and every request answered, rejected or timed out."""

import concurrent.futures
import time

import pytest
import torch

from tests.bench import overload
from tests.experiments.service.conftest import LATENT, PIXELS

GOOD = [[0.5] * LATENT]


@pytest.mark.parametrize("seconds", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_ten_times_what_a_model_can_take(seconds):
    """Open loop, from a process of its own; the client's counts are those of /metrics."""
    found = overload.measured(seconds)
    client, most = found["client"], found["deepest queue"].split(" of ")
    assert found["sent"] == sum(client.values())
    assert client == found["service"]
    assert set(client) <= {"200", "429", "504"}
    assert int(most[0]) <= int(most[1])
    assert client["200"]
    assert client["429"]
    if seconds == 30:  # a while in which other processes take shares of both
        assert 4 * found["rejects, ms"]["p50"] < found["answers, ms"]["p50"]
        assert client["200"] > 0.5 * seconds * overload.BATCH / overload.SECONDS_OF_A_BATCH


def test_what_would_be_late_is_refused_at_once(serve):
    """As soon as it is known how long a batch takes; nobody waits for a result that comes after the deadline."""

    def decode(z):
        time.sleep(0.1)
        return torch.zeros(len(z), PIXELS)

    running = serve({"decode": decode}, queue=250, rows=10, deadline=0.45)
    assert running.post("/v1/toy/decode", {"z": GOOD})[0] == 200
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda _: running.send("POST", "/v1/toy/decode", GOOD_BODY), range(20)))
    statuses = [status for status, *_ in replies]
    assert set(statuses) == {200, 429}
    assert 2 <= statuses.count(200) <= 4
    assert all(int(headers["retry-after"]) >= 1 for status, headers, _ in replies if status == 429)


GOOD_BODY = b'{"z": [%b]}' % b", ".join([b"[0, 0, 0, 0, 0]"] * 10)


def test_a_batch_that_was_slow_once_is_forgiven(serve):
    """Where nothing waits a request is taken, whatever the last batch took."""
    slow = [0.5]

    def decode(z):
        time.sleep(slow.pop() if slow else 0)
        return torch.zeros(len(z), PIXELS)

    running = serve({"decode": decode}, deadline=0.2)
    assert running.post("/v1/toy/decode", {"z": GOOD})[0] == 504
    time.sleep(0.5)
    assert running.post("/v1/toy/decode", {"z": GOOD})[0] == 200
