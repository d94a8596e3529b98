"""Versions of a model side by side: which of them answers, and how they are put in and taken out."""

import concurrent.futures

import pytest
import safetensors.torch
import torch

from jensen.core import keys
from jensen.experiments.service.models import Version
from tests.experiments.process import until
from tests.experiments.service.conftest import LATENT, TOKEN, calls, read
from tests.experiments.service.test_under_fire import GOOD

AUTH = {"authorization": f"Bearer {TOKEN}"}
Z = keys.normal(keys.key(1), (3, LATENT)).contiguous()


@pytest.fixture
def both(serve, exports):
    """A service of two versions of one model."""
    return serve(build=read(*exports), tokens=(TOKEN,))


def decoded(running, path):
    """The version that has answered, and which export's the rows are."""
    status, reply = running.post(path, {"z": Z.tolist()}, **AUTH)
    assert status == 200, reply
    rows = torch.tensor(reply["outputs"]["mean"])
    (which,) = [seed for seed in range(2) if torch.allclose(rows, calls(seed)["decode"](Z))]
    assert reply["model"] == "toy"
    return reply["version"], which


def admin(running, action, **body):
    return running.post(f"/admin/{action}", body, **AUTH)


def test_the_newest_version_answers_unless_another_is_asked_for(both):
    assert decoded(both, "/v1/toy/decode") == (2, 1)
    assert decoded(both, "/v1/toy/versions/1/decode") == (1, 0)
    assert decoded(both, "/v1/toy/versions/2/decode") == (2, 1)
    body = safetensors.torch.save({"z": Z})
    ask = {"content_type": "application/vnd.safetensors", **AUTH}
    _, headers, content = both.send("POST", "/v1/toy/versions/1/decode", body, **ask)
    assert headers["x-model-version"] == "1"
    assert headers["x-model-digest"] == both.service.models.version("toy", "1").digest
    torch.testing.assert_close(safetensors.torch.load(content)["mean"], calls(0)["decode"](Z))


def test_versions_that_there_are_not(both):
    """And paths that are nearly theirs."""
    for path, field in (
        ("toy/versions/3/decode", "version"),
        ("toy/versions/01/decode", "version"),
        ("toy/versions/-1/decode", "version"),
        ("toy/versions//decode", "version"),
        ("toy/versions/1/none", "function"),
        ("toy/versions/1", "function"),
        ("toy/versions/1/decode/more", "function"),
        ("none/versions/1/decode", "model"),
    ):
        status, error = both.post(f"/v1/{path}", {"z": GOOD}, **AUTH)
        assert (status, error["field"]) == (404, field), path


def test_a_version_is_put_in_beside_others_and_taken_out(both, exports):
    status, reply = admin(both, "swap", model="toy", folder=str(exports[0]), version=7)
    assert (status, reply["version"]) == (200, 7)
    assert decoded(both, "/v1/toy/decode") == (7, 0)
    assert decoded(both, "/v1/toy/versions/2/decode") == (2, 1)
    assert admin(both, "swap", model="toy", folder=str(exports[1]))[1]["version"] == 7
    assert decoded(both, "/v1/toy/decode") == (7, 1)
    assert admin(both, "swap", model="toy", folder=str(exports[1]), version=1)[0] == 200
    assert decoded(both, "/v1/toy/versions/1/decode") == (1, 1)
    for version in (7, 2):
        assert admin(both, "retire", model="toy", version=version)[0] == 200
    assert decoded(both, "/v1/toy/decode") == (1, 1)
    status, error = admin(both, "retire", model="toy", version=1)
    assert (status, error["field"]) == (400, "version")
    until(lambda: len(both.engine.seats()) == 1)


def test_what_cannot_be_administered(both, exports):
    folder = str(exports[0])
    for action, body, status, field in (
        ("swap", {"model": "none", "folder": folder}, 404, "model"),
        ("swap", {"model": "toy"}, 400, "folder"),
        ("swap", {"model": "toy", "folder": folder, "version": 0}, 400, "version"),
        ("swap", {"model": "toy", "folder": folder, "version": True}, 400, "version"),
        ("swap", {"model": "toy", "folder": folder, "version": "2"}, 400, "version"),
        ("swap", {"model": "toy", "folder": "\0"}, 400, "folder"),
        ("retire", {"model": "toy"}, 400, "version"),
        ("retire", {"model": "toy", "version": 3}, 404, "version"),
        ("retire", {}, 400, "model"),
        ("remove", {}, 404, "path"),
    ):
        found, error = admin(both, action, **body)
        assert (found, error["field"]) == (status, field), (action, body)
    for content in (b"", b"[]", b"{"):
        assert both.send("POST", "/admin/retire", content, **AUTH)[0] == 400
    assert both.send("POST", "/admin/retire", b"{}")[0] == 401


def test_metrics_and_lists_name_the_version(both):
    decoded(both, "/v1/toy/versions/1/decode")
    labels = 'function="decode",model="toy",status="200",version="1"'
    assert f"jensen_requests_total{{{labels}}} 1.0" in both.get("/metrics")[1].decode()
    status, listed = both.send("GET", "/v1")[0], both.get("/v1")[1]
    assert status == 200
    assert b'"version":2' in listed
    assert b'"versions":{"1":' in listed
    admin(both, "retire", model="toy", version=1)
    queues = [line for line in both.get("/metrics")[1].decode().splitlines() if line.startswith("jensen_queue_rows{")]
    assert len(queues) == 2
    assert all('version="2"' in line for line in queues)


def test_a_version_that_is_retired_answers_what_it_has_taken_on(both):
    model = both.service.models.version("toy", "1")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(both.post, "/v1/toy/versions/1/decode", {"z": Z.tolist()}, **AUTH) for _ in range(64)]
        until(lambda: model.in_flight)
        assert admin(both, "retire", model="toy", version=1)[0] == 200
        replies = [each.result() for each in asked]
    assert {status for status, _ in replies} <= {200, 404}
    assert any(status == 200 for status, _ in replies)
    assert all(reply["version"] == 1 for status, reply in replies if status == 200)


def test_versions_are_ordered_as_numbers():
    assert max(Version("a", 9), Version("a", 10)).number == 10
    assert str(Version("a")) == "a@1"
