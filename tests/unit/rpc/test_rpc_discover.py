"""`rpc.discover` answers with a document that keeps the rules of OpenRPC 1.3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from shared.contracts import catalog
from shared.contracts.agents import ANALYZE_THREAT, DESCRIBE
from shared.contracts.constants import ERROR_CODES
from shared.contracts.wire import encode
from shared.rpc.discover import About, document
from tests import rpc_kit as kit

METHODS = list(catalog.METHODS.values())
URL = "ws://127.0.0.1:5101/"


@pytest.fixture(name="found")
def _found() -> dict[str, Any]:
    return document(METHODS, About("triage", "1.2.3", "Looks first."), URL)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_the_document_has_its_required_members_and_says_where_it_is_served(found: dict[str, Any]) -> None:
    assert found["openrpc"] == "1.3.2"
    assert found["info"] == {"title": "triage", "version": "1.2.3", "description": "Looks first."}
    assert [server["url"] for server in found["servers"]] == [URL]
    assert encode(found)


def test_every_method_is_there_once_with_params_by_name_and_a_result(found: dict[str, Any]) -> None:
    names = [method["name"] for method in found["methods"]]
    assert sorted(names) == sorted(method.name for method in METHODS)
    for method in found["methods"]:
        params = [param["name"] for param in method["params"]]
        assert len(set(params)) == len(params)
        assert method["paramStructure"] == "by-name"
        assert all({"name", "schema"} <= param.keys() for param in [*method["params"], method["result"]])
        required = [param["required"] for param in method["params"]]
        # OpenRPC: no required param after an optional one.
        assert required == sorted(required, reverse=True)
        assert params[-1] == "_meta"


def test_every_reference_leads_somewhere(found: dict[str, Any]) -> None:
    for reference in set(references(found)):
        place: Any = found
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


def test_the_codes_of_errors_are_unique_and_are_those_of_the_table(found: dict[str, Any]) -> None:
    errors = found["components"]["errors"].values()
    codes = [error["code"] for error in errors]
    assert len(set(codes)) == len(codes)
    assert all(-32019 <= code <= -32010 for code in codes)
    told = {code for error in errors for code in error.get("data", {}).get("code", [])}
    assert told == {code.code for code in ERROR_CODES.values() if -32019 <= code.rpc_code < -32010}


def test_params_are_described_as_they_are_checked() -> None:
    found = document([ANALYZE_THREAT, DESCRIBE], About(), URL)
    analyze, describe = found["methods"]
    schemas = {param["name"]: param["schema"] for param in analyze["params"]}
    assert schemas["iocs"]["items"] == {"$ref": "#/components/schemas/Observable"}
    assert schemas["_meta"] == {"$ref": "#/components/schemas/Handoff"}
    assert analyze["result"]["schema"] == {"$ref": "#/components/schemas/Assessment"}
    assert [param["name"] for param in describe["params"]] == ["_meta"]
    assert "AnalyzeThreat" not in found["components"]["schemas"]


async def test_a_port_answers_with_what_it_serves() -> None:
    async with kit.serving(kit.Agent()) as server, kit.raw(server) as socket:
        reply = await kit.ask(socket, {"jsonrpc": "2.0", "method": "rpc.discover", "id": 1})
        again = await kit.ask(socket, {"jsonrpc": "2.0", "method": "rpc.discover", "params": {}, "id": 2})
        url = kit.address(server)
    found = reply["result"]
    assert found["servers"][0]["url"] == url
    assert "subtract" in {method["name"] for method in found["methods"]}
    (subtract,) = [method for method in found["methods"] if method["name"] == "subtract"]
    assert [(param["name"], param["required"]) for param in subtract["params"]] == [
        ("minuend", True),
        ("subtrahend", True),
        ("_meta", False),
    ]
    assert again["result"] == found
