"""The service and its OpenAPI document agree: what a schema takes has a result, and all else is refused as it says."""

import contextlib
import json
import struct

import jsonschema
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jensen.experiments.service.bodies import BINARY, JSON
from tests.experiments.service.conftest import LATENT

Schema = jsonschema.Draft202012Validator
REFUSED = (400, 413)


@pytest.fixture(scope="module")
def document(plain):
    return json.loads(plain.get("/openapi.json")[1])


@pytest.fixture(scope="module")
def send(plain):
    """send(path, content, kind): a reply, over one connection."""
    with contextlib.closing(plain.connect()) as link:

        def sent(path, content, kind=JSON):
            try:
                link.request("POST", path, content, {"content-type": kind})
                reply = link.getresponse()
                return reply.status, reply.read(), reply.headers
            except OSError:
                link.close()
                raise

        yield sent


def operation(document, name):
    return document["paths"][f"/v1/toy/{name}"]["post"]


def takes(schema):
    """Values of a schema of the document."""
    if schema["type"] == "object":
        parts = {name: takes(each) for name, each in schema["properties"].items()}
        optional = {name: parts.pop(name) for name in set(parts) - set(schema["required"])}
        return st.fixed_dictionaries(parts, optional=optional)
    if schema["type"] == "array":
        return st.lists(takes(schema["items"]), min_size=schema["minItems"], max_size=min(schema["maxItems"], 5))
    low, high = schema.get("minimum"), schema.get("maximum")
    whole = st.integers(low, high)
    return whole if schema["type"] == "integer" else whole | st.floats(low, high, width=32)


JUNK = st.recursive(
    st.sampled_from([None, True, False, "", "1", [], {}, -1, 0, 1, 1.5, 1e30, -(2**63), 2**64, 10**400, 1e400, -0.0])
    | st.floats()
    | st.text(max_size=3),
    lambda each: st.lists(each, max_size=6) | st.dictionaries(st.sampled_from(["z", "seed", "n", "key"]), each),
    max_leaves=6,
)


@st.composite
def broken(draw, schema):
    """A value of the schema with some part of it in another's place, left out, or twice."""
    value = draw(takes(schema))
    for _ in range(draw(st.integers(1, 3))):
        spot, key = {"": value}, ""
        while isinstance(spot[key], dict | list) and spot[key] and draw(st.integers(0, 3)):
            spot = spot[key]
            key = draw(st.sampled_from(list(spot) if isinstance(spot, dict) else range(len(spot))))
        change = draw(st.sampled_from(["junk", "leave out", "again"]))
        if change == "junk" or key == "":
            spot[key] = draw(JUNK)
        elif change == "leave out":
            del spot[key]
        elif isinstance(spot, list):
            spot.extend([spot[key]] * draw(st.sampled_from([1, 130])))
        else:
            spot[draw(st.text(max_size=4))] = spot[key]
        value = spot[""] if "" in spot and isinstance(spot, dict) and key == "" else value
    return value


def written(value):
    return json.dumps(value).encode("utf-8", "surrogatepass")


def test_the_document_is_one(document):
    """Its schemas are JSON Schema's; every reference leads somewhere; no two operations have one name."""
    schemas = [document["components"]["schemas"]["Error"]]
    names = []
    for path, methods in document["paths"].items():
        assert path.startswith("/")
        for each in methods.values():
            names += [each["operationId"]] if "operationId" in each else []
            assert "200" in each["responses"]
            assert all(reply["description"] for reply in each["responses"].values())
            for part in (each.get("requestBody", {}), *each["responses"].values()):
                schemas += [content["schema"] for content in part.get("content", {}).values()]
    assert len(set(names)) == len(names) > 0
    for schema in schemas:
        Schema.check_schema(schema)
        assert schema.get("$ref", "#/components/schemas/Error") == "#/components/schemas/Error"


def check(document, name, value, reply):
    """A result of the schema where the body is of the schema, else a refusal of its schema, with its field."""
    status, content, headers = reply
    about = operation(document, name)
    fits = Schema(about["requestBody"]["content"][JSON]["schema"]).is_valid(value)
    assert (status == 200) == fits, (status, content)
    schema = document["components"]["schemas"]["Error"]
    if status == 200:
        schema = about["responses"]["200"]["content"][JSON]["schema"]
    else:
        assert status in REFUSED
        assert orjson.loads(content)["fix"]
    assert str(status) in about["responses"]
    assert headers["content-type"] == JSON
    Schema(schema).validate(orjson.loads(content))


@pytest.mark.parametrize("name", ["decode", "sample"])
def test_what_the_schema_takes_is_answered_and_nothing_else(document, send, name):
    schema = operation(document, name)["requestBody"]["content"][JSON]["schema"]

    @given(takes(schema) | broken(schema))
    def agree(value):
        content = written(value)
        with contextlib.suppress(ValueError):
            orjson.loads(content)  # NaN and surrogates are no JSON, and have no schema
            check(document, name, value, send(f"/v1/toy/{name}", content))

    agree()


JSONS = {
    "NaN": b'{"z": [[NaN, 0, 0, 0, 0]]}',
    "Infinity": b'{"z": [[-Infinity, 0, 0, 0, 0]]}',
    "beyond doubles": b'{"z": [[1e999, 0, 0, 0, 0]]}',
    "a number of 5,000 digits": b'{"z": [[' + b"9" * 5000 + b", 0, 0, 0, 0]]}",
    "deep lists": b'{"z": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "deep objects": b'{"z": ' * 200_000 + b"1" + b"}" * 200_000,
    "lists of 100 levels": b'{"z": ' + b"[" * 100 + b"1" + b"]" * 100 + b"}",
    "two of a name": b'{"z": 3, "z": [[0, 0, 0, 0]]}',
    "surrogates": b'{"z": "\\ud800"}',
    "no UTF-8": b'{"z": "\xff"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"z": []}'.encode("utf-16"),
    "two values": b"{} {}",
    "a comma": b'{"z": [[0, 0, 0, 0, 0],]}',
    "a comment": b'{"z": [] /* none */}',
    "NUL": b'{"z": []}\x00',
    "truth among numbers": b'{"z": [[true, 0.5, 0, 0, 0]]}',
    "a long name": b'{"' + b"a" * 10**6 + b'": 1}',
    "many names": b"{" + b", ".join(b'"%d": 1' % i for i in range(50_000)) + b"}",
}


def test_no_json_is_a_fault(send):
    for name, content in JSONS.items():
        status, reply, _ = send("/v1/toy/decode", content)
        assert status == 400, name
        assert len(reply) < 1000, name
        error = orjson.loads(reply)
        assert error["field"], name
        assert error["fix"], name


def tensors(header, content=b"", length=None):
    """A file of safetensors."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + content


def z(begin, end, dtype="F32", shape=(1, LATENT)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


ZEROS = bytes(4 * LATENT)
ARRAYS = {
    "nothing": b"",
    "seven bytes": bytes(7),
    "a header beyond the file": tensors({"z": z(0, 20)}, ZEROS, 10**6),
    "a header beyond memory": tensors({"z": z(0, 20)}, ZEROS, 2**63),
    "no JSON": tensors(b"{", ZEROS),
    "deep JSON": tensors(b"[" * 10**5 + b"]" * 10**5, ZEROS),
    "a list": tensors([1], ZEROS),
    "no offsets": tensors({"z": {"dtype": "F32", "shape": [1, LATENT]}}, ZEROS),
    "offsets beyond the file": tensors({"z": z(0, 2000, shape=(1, 500))}, ZEROS),
    "offsets that go back": tensors({"z": z(20, 0)}, ZEROS),
    "negative offsets": tensors({"z": z(-20, 0)}, ZEROS),
    "offsets of another length": tensors({"z": z(0, 16)}, bytes(16)),
    "an overlap": tensors({"z": z(0, 20), "y": z(4, 24)}, bytes(24)),
    "a gap": tensors({"z": z(8, 28)}, bytes(28)),
    "bytes over": tensors({"z": z(0, 20)}, bytes(40)),
    "a shape that overflows": tensors({"z": z(0, 20, shape=(2**62, 2**62))}, ZEROS),
    "a negative shape": tensors({"z": z(0, 20, shape=(-1, -5))}, ZEROS),
    "no such dtype": tensors({"z": z(0, 20, "F31")}, ZEROS),
    "another dtype": tensors({"z": z(0, 10, "BF16")}, bytes(10)),
    "an empty shape": tensors({"z": z(0, 4, shape=())}, bytes(4)),
    "no rows": tensors({"z": z(0, 0, shape=(0, LATENT))}),
    "a wide row of none": tensors({"z": z(0, 0, shape=(0, 2**40))}),
    "metadata alone": tensors({"__metadata__": {"a": "b"}}),
    "metadata of another kind": tensors({"__metadata__": 3, "z": z(0, 20)}, ZEROS),
    "two of a name": tensors(b'{"z": %b, "z": %b}' % ((json.dumps(z(0, 20, "F31")).encode(),) * 2), ZEROS),
    "many names": tensors({str(i): z(0, 0, shape=(0,)) for i in range(20_000)}),
}


def test_no_file_of_arrays_is_a_fault(send):
    for name, content in ARRAYS.items():
        status, reply, headers = send("/v1/toy/decode", content, BINARY)
        assert (status, headers["content-type"]) == (400, JSON), name
        assert len(reply) < 1000, name
        assert orjson.loads(reply)["fix"], name
    good = tensors({"z": z(0, 20)}, ZEROS)
    assert send("/v1/toy/decode", good, BINARY)[0] == 200


@given(st.data())
def test_no_damaged_file_of_arrays_is_a_fault(send, data):
    content = bytearray(tensors({"z": z(0, 20), "y": z(20, 40)}, bytes(40)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    status, reply, _ = send("/v1/toy/decode", bytes(content), BINARY)
    assert status in REFUSED
    assert orjson.loads(reply)["fix"]
