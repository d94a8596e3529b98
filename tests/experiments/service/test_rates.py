"""Each client has a bucket: as many requests at once, and as many a second after them."""

import itertools

import orjson
from hypothesis import given
from hypothesis import strategies as st

from jensen.experiments.service.rates import Rates
from tests.experiments.service.conftest import LATENT, TOKEN

GOOD = {"z": [[0.5] * LATENT]}
OTHER = "another token of many letters"


@given(st.floats(0.5, 50), st.integers(1, 5), st.lists(st.floats(0, 0.6), max_size=40))
def test_a_bucket_is_that_of_its_definition(rate, burst, pauses):
    """Tokens min(burst, tokens + rate dt), of which a request takes one where there is one."""
    now, tokens = 0.0, float(burst)
    rates = Rates(rate, burst, clock=lambda: now)
    for pause in pauses:
        now += pause
        tokens = min(burst, tokens + rate * pause)
        if abs(tokens - 1) < 1e-9:
            return  # either, by rounding
        wait, headers = rates.take("a")
        assert (wait == 0) == (tokens >= 1)
        if wait:
            assert abs(wait - (1 - tokens) / rate) < 1e-9
        tokens -= tokens >= 1
        left = dict(each.split("=") for each in headers["ratelimit"].split(";")[1:])
        assert abs(int(left["r"]) - tokens) < 1 + 1e-9
        assert abs(int(left["t"]) - (burst - tokens) / rate) < 1 + 1e-9


def test_clients_are_forgotten_in_the_order_in_which_they_asked():
    rates = Rates(1, 1, most=100, clock=lambda: 0.0)
    for name in itertools.chain(range(100), [0], range(100, 1000)):
        rates.take(str(name))
        assert len(rates) <= 100
    assert not rates.take("899").wait
    assert rates.take("999").wait == 1


def test_a_client_is_refused_before_its_body_is_read(serve):
    """By its address, where there are no tokens; the reply says when to ask again."""
    running = serve(rate=0.5, burst=2)
    for left in (1, 0):
        status, headers, _ = running.send("POST", "/v1/toy/decode", orjson.dumps(GOOD))
        assert (status, headers["ratelimit-policy"]) == (200, '"requests";q=2;w=4')
        assert headers["ratelimit"].startswith(f'"requests";r={left};t=')
    link = running.connect()
    link.putrequest("POST", "/v1/toy/decode")
    link.putheader("content-length", "1000")
    link.endheaders()  # and no body
    reply = link.getresponse()
    assert (reply.status, reply.headers["retry-after"], reply.headers["ratelimit"]) == (429, "2", '"requests";r=0;t=4')
    assert orjson.loads(reply.read())["fix"]
    link.close()
    assert running.get("/healthz")[0] == 200
    assert running.service.active == 0
    assert any(line.get("error", "") and line["client"] == "127.0.0.1" for line in running.lines)


def test_tokens_are_clients(serve):
    """One that asks too often takes nothing of another's, and an unknown token is no client."""
    running = serve(tokens=(TOKEN, OTHER), rate=0.1, burst=2)

    def ask(token):
        return running.post("/v1/toy/decode", GOOD, authorization=f"Bearer {token}")[0]

    assert [ask(TOKEN) for _ in range(3)] == [200, 200, 429]
    assert [ask(f"no {TOKEN}") for _ in range(3)] == [401] * 3
    assert [ask(OTHER) for _ in range(3)] == [200, 200, 429]
    assert {line["client"] for line in running.lines if line.get("status") == 200} == {"token 1", "token 2"}
    assert not any(TOKEN in str(line) for line in running.lines)


def test_there_is_no_rate_unless_it_is_given(serve):
    running = serve()
    _, headers, _ = running.send("POST", "/v1/toy/decode", orjson.dumps(GOOD))
    assert "ratelimit" not in headers
