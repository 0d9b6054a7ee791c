"""API keys on a real gateway: made, presented in each product's style, used, revoked."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
import pytest_asyncio

from tests.gateway import Gateway, gateway
from tests.stack import Servers

KEYS = "/api/v1/auth/api-keys"
INGEST = "/api/v1/siem/logs/ingest"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Gateway]:
    async with gateway(servers, tmp_path_factory.mktemp("gateway")) as started:
        yield started


async def _create(running: Gateway, *scopes: str, **more: Any) -> dict[str, Any]:
    body = {"name": "a shipper", "scopes": list(scopes or ("siem:write",)), **more}
    status, answer, _ = await running.ask("POST", KEYS, json=body)
    assert status == 201, answer
    key: dict[str, Any] = answer
    return key


async def _ingest(running: Gateway, headers: dict[str, str]) -> tuple[int, Any]:
    async with running.http.post(running.url + INGEST, json=[{"a": 1}], headers=headers) as response:
        return response.status, await response.json()


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _styles(key: dict[str, Any]) -> Iterable[dict[str, str]]:
    whole, secret = key["key"], key["key"].split("_", 2)[2]
    yield {"X-API-Key": whole}
    for value in (
        f"Bearer {whole}",
        f"Splunk {whole}",
        f"ApiKey {whole}",
        f"ApiKey {_base64(whole)}",
        f"ApiKey {_base64(key['id'] + ':' + secret)}",
        f"ApiKey {_base64(key['id'] + ':' + whole)}",
        f"Basic {_base64('elastic:' + whole)}",
        f"Basic {_base64(key['id'] + ':' + secret)}",
    ):
        yield {"Authorization": value}


async def test_a_key_is_shown_once_and_listed_without_its_secret(running: Gateway) -> None:
    key = await _create(running, "siem:write", "siem:write", "siem:read")
    assert key["key"].startswith("aur_" + key["id"].replace("-", "") + "_")
    assert key["scopes"] == ["siem:write", "siem:read"]
    _, page, _ = await running.get(KEYS)
    assert page["items"][0] == {name: value for name, value in key.items() if name != "key"}
    assert key["key"].split("_", 2)[2] not in str(page)


async def test_keys_are_listed_in_pages(running: Gateway) -> None:
    made = [(await _create(running))["id"] for _ in range(3)]
    _, first, _ = await running.get(KEYS + "?limit=2")
    _, second, _ = await running.get(f"{KEYS}?limit=1&cursor={first['next_cursor']}")
    assert [key["id"] for key in first["items"] + second["items"]] == made[::-1]
    status, answer, _ = await running.get(KEYS + "?cursor=x")
    assert (status, answer["error"]["code"]) == (422, "AURORA-4220")


async def test_a_key_works_in_the_style_of_each_product(running: Gateway) -> None:
    key = await _create(running)
    for headers in _styles(key):
        status, told = await _ingest(running, headers)
        assert status in (200, 202), f"{list(headers)}: {told}"
        assert told["principal"] == {"id": key["id"], "role": "api_service"}
    assert key["key"] not in running.log_file.read_text()
    assert key["key"].split("_", 2)[2] not in running.log_file.read_text()


async def test_the_last_use_of_a_key_is_written_down(running: Gateway) -> None:
    key = await _create(running)
    assert key["last_used_at"] is None
    await _ingest(running, {"X-API-Key": key["key"]})

    async def last_used() -> Any:
        _, page, _ = await running.get(KEYS)
        return next(item["last_used_at"] for item in page["items"] if item["id"] == key["id"])

    async with asyncio.timeout(20):
        while await last_used() is None:  # noqa: ASYNC110 - the state of another process has no event
            await asyncio.sleep(0.2)
    assert await last_used() >= key["created_at"]


async def test_a_revoked_key_is_refused_at_once_in_every_style(running: Gateway) -> None:
    key = await _create(running)
    for headers in _styles(key):
        assert (await _ingest(running, headers))[0] < 300
    assert (await running.ask("DELETE", f"{KEYS}/{key['id']}"))[0] == 204
    for headers in _styles(key):
        status, answer = await _ingest(running, headers)
        assert (status, answer["error"]["code"]) == (401, "AURORA-4012")
    _, page, _ = await running.get(KEYS)
    assert key["id"] not in {item["id"] for item in page["items"]}


@pytest.mark.parametrize(
    ("key_id", "refusal"),
    [
        ("nonsense", (404, "AURORA-4040")),
        ("0193a000-0000-7000-8000-000000000000", (404, "AURORA-4040")),
        ("%00", (422, "AURORA-4220")),
    ],
)
async def test_a_key_that_isnt_there_cant_be_revoked(running: Gateway, key_id: str, refusal: tuple[int, str]) -> None:
    status, answer, _ = await running.ask("DELETE", f"{KEYS}/{key_id}")
    assert (status, answer["error"]["code"]) == refusal


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"scopes": []}, "body.scopes"),
        ({"scopes": ["root:write"]}, "body.scopes[0]"),
        ({"name": ""}, "body.name"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "body.expires_at"),
        ({"more": 1}, "body.more"),
    ],
)
async def test_what_is_wrong_with_a_new_key_is_named(running: Gateway, change: dict[str, Any], path: str) -> None:
    body = {"name": "x", "scopes": ["siem:write"], **change}
    status, answer, _ = await running.ask("POST", KEYS, json=body)
    assert (status, answer["error"]["code"]) == (422, "AURORA-4220")
    assert answer["error"]["detail"][0]["path"] == path
