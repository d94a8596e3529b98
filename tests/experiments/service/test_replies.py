"""Replies are the functions' own, with the same bytes alone and in a batch."""

import json
import threading

import safetensors.torch
import torch

from jensen.core import keys
from jensen.experiments.deployment import load
from tests.experiments.service.conftest import LATENT, calls, read


def test_replies_are_the_functions_own(serve, exports):
    """Of an export, in JSON and in a binary body, of more rows than a batch has."""
    running, functions = serve(build=read(exports[0])), load(exports[0])
    z = keys.normal(keys.key(1), (25, LATENT))
    expected = functions["decode"](z)
    status, found = running.post("/v1/toy/decode", {"z": z.tolist()})
    assert status == 200
    torch.testing.assert_close(torch.tensor(found["outputs"]["mean"]), expected)
    status, content = running.arrays("/v1/toy/decode", {"z": z})
    assert status == 200
    torch.testing.assert_close(safetensors.torch.load(content)["mean"], expected)
    assert torch.equal(safetensors.torch.load(content)["mean"], torch.tensor(found["outputs"]["mean"]))
    status, found = running.post("/v1/toy/sample", {"seed": 3, "n": 4})
    draws = functions["sample"](keys.at(keys.key(3), datum=torch.arange(4)))
    torch.testing.assert_close(torch.tensor(found["outputs"]["mean"]), draws)
    assert found["seed"] == 3
    assert found["digest"] == running.service.models["toy"].digest


def test_a_reply_has_the_same_bytes_alone_and_in_a_batch(serve, exports):
    """Wherever in a batch its rows are."""
    running = serve(build=read(exports[0]), wait=0.02)
    bodies = [("decode", {"z": keys.normal(keys.key(i), (1 + i % 3, LATENT)).tolist()}) for i in range(12)]
    bodies += [("sample", {"seed": i, "n": 1 + i % 3}) for i in range(12)]

    def reply(i):
        name, body = bodies[i]
        return running.send("POST", f"/v1/toy/{name}", json.dumps(body), content_type="application/json")[::2]

    alone = [reply(i) for i in range(len(bodies))]
    found = [None] * len(bodies)

    def ask(i):
        found[i] = reply(i)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone
    assert {status for status, _ in alone} == {200}
    batches = running.get("/metrics")[1].decode()
    assert 'jensen_batch_rows_count{function="decode",model="toy",version="1"}' in batches
    total = sum(float(line.split()[-1]) for line in batches.splitlines() if "batch_rows_count" in line)
    assert total < 2 * len(bodies), "nothing was batched"


def test_rows_in_every_place_of_a_batch_have_the_same_bits(exports):
    """The width that batches are padded to leaves no row to another code path."""
    functions, width = load(exports[0]), 16
    row = keys.normal(keys.key(5), (1, LATENT))
    others = keys.normal(keys.key(6), (width, LATENT))
    places = []
    for i in range(width):
        z = others.clone()
        z[i] = row
        places.append(functions["decode"].unchecked(z)[i])
    assert all(torch.equal(each, places[0]) for each in places)


def test_a_request_without_a_seed_gets_one_to_repeat_it(plain):
    _, first = plain.post("/v1/toy/sample", {})
    assert plain.post("/v1/toy/sample", {"seed": first["seed"]})[1] == first
    assert plain.post("/v1/toy/sample", {})[1]["outputs"] != first["outputs"]
    _, content = plain.arrays("/v1/toy/sample", {"seed": torch.tensor(first["seed"])})
    found = safetensors.torch.load(content)
    assert int(found["seed"]) == first["seed"]
    assert torch.equal(found["mean"], torch.tensor(first["outputs"]["mean"]))


def test_the_reply_is_of_the_type_that_is_accepted(plain):
    body, ask = json.dumps({"seed": 1}), {"content_type": "application/json"}
    _, headers, content = plain.send("POST", "/v1/toy/sample", body, accept="application/vnd.safetensors", **ask)
    assert headers["content-type"] == "application/vnd.safetensors"
    assert set(safetensors.torch.load(content)) == {"mean", "seed"}
    assert headers["x-model-digest"] == "0" * 64


def test_pages(serve):
    """Health, readiness, metrics, models and the document, whose paths are those of the functions."""
    running = serve()
    assert running.get("/healthz") == (
        200,
        b'{"ok":true,"stalled":[],"workers":[{"seat":"1","id":"thread-1","lost":0}]}',
    )
    assert running.get("/readyz")[0] == 200
    assert json.loads(running.get("/v1")[1])["models"]["toy"]["functions"] == list(calls())
    document = json.loads(running.get("/openapi.json")[1])
    posts = {path for path in document["paths"] if path.startswith("/v1/")}
    assert posts == {f"/v1/toy/{middle}{name}" for middle in ("", "versions/1/") for name in ("decode", "sample")}
    schema = document["paths"]["/v1/toy/decode"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["z"]["items"]["maxItems"] == LATENT
    assert b"/v1/toy/sample" in running.get("/docs")[1]
    running.send("GET", "/v1", x_request_id="mine-7")
    assert (
        'jensen_requests_total{function="/v1",model="",status="200",version=""} 2.0'
        in running.get("/metrics")[1].decode()
    )
    assert any(line.get("id") == "mine-7" and line["status"] == 200 for line in running.lines)
