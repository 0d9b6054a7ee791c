"""Identity inside the whole stack: nobody passes a service unsigned, also from loopback; keys change while it runs."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from cli import session
from services.__main__ import SERVICES
from shared.contracts.alerts import CREATE_ALERT, AlertCreate
from shared.contracts.catalog import ENDPOINTS
from shared.contracts.constants import PUBLIC
from shared.identity import Principal, Signer, service_principal, sign_claims
from shared.keyring import load_private_key, new_private_key, service_kid
from tests.stack import Stack, data_folder, running_stack
from tests.system.command import aurora
from tests.system.waiting import verdict_on

ROOT = Principal("user_root", "user", "root", "admin", service_principal("gateway").permissions)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One stack for all tests of this file."""
    with data_folder() as folder, running_stack(folder) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as opened:
        yield opened


def _pem(stack: Stack, name: str) -> str:
    return (stack.data_dir / "secrets" / f"{name}.key").read_text(encoding="utf-8")


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _wrong_tokens(stack: Stack, audience: str) -> dict[str, str | None]:
    """What is wrong -> the token that a peer on loopback shows."""
    operator, foreign = Signer("operator", _pem(stack, "operator")), new_private_key()
    now = int(time.time())
    claims = {"iss": "aurora", "aud": audience, "sub": ROOT.id, "iat": now, "exp": now + 60, "jti": "x"}
    claims["principal"] = msgspec.to_builtins(ROOT)
    gateway_kid = service_kid("gateway", _pem(stack, "gateway"))
    return {
        "none": None,
        "no JWT": "letmein",
        "not signed": f"{_part({'alg': 'none', 'kid': gateway_kid})}.{_part(claims)}.",
        "signed by a stranger": Signer("gateway", foreign).sign(ROOT, audience),
        "signed by a stranger under the gateway's key id": sign_claims(claims, gateway_kid, load_private_key(foreign)),
        "the operator's, for somebody else": operator.sign(ROOT, audience),
        "the operator's, with more rights": operator.sign(_with_all_rights(service_principal("operator")), audience),
        "the operator's, for another audience": operator.sign(service_principal("operator"), "nobody"),
        "expired": operator.sign(service_principal("operator"), audience, ttl_seconds=-60),
        "signed by the key of access tokens": Signer("gateway", _pem(stack, "token")).sign(ROOT, audience),
        "a user's": stack.admin_token(),
    }


def _with_all_rights(principal: Principal) -> Principal:
    return msgspec.structs.replace(principal, permissions=ROOT.permissions)


async def test_no_service_answers_anybody_unsigned(stack: Stack, http: aiohttp.ClientSession) -> None:
    services = stack.runtime.services
    behind = {endpoint.service for endpoint in ENDPOINTS.values()} - {"gateway"}
    assert behind <= services.keys()
    for service in sorted(behind):
        tokens = _wrong_tokens(stack, service)
        for number, endpoint in enumerate(endpoint for endpoint in ENDPOINTS.values() if endpoint.service == service):
            if number:  # every kind of wrong at one endpoint, the plainest at each
                tokens = {what: tokens[what] for what in ("none", "a user's")}
            assert endpoint.permission != PUBLIC, endpoint
            url = services[service].url + endpoint.path.format_map(defaultdict(lambda: "x"))
            method = "GET" if endpoint.method == "WS" else endpoint.method
            for what, token in tokens.items():
                async with http.request(method, url, headers=_bearer(token)) as response:
                    assert response.status == 401, f"{what}: {endpoint}"


async def test_nobody_reads_a_services_metrics_unsigned(stack: Stack, http: aiohttp.ClientSession) -> None:
    for name in SERVICES:
        service = stack.runtime.services[name]
        for what, token in _wrong_tokens(stack, name).items():
            if name == "gateway" and what == "a user's":
                continue
            async with http.get(f"{service.url}/metrics", headers=_bearer(token)) as response:
                assert response.status == 401, f"{what}: {name}"


async def test_no_agent_opens_its_socket_to_anybody_unsigned(stack: Stack, http: aiohttp.ClientSession) -> None:
    agents = stack.runtime.agents
    assert len(agents) >= 3
    others = {name: _token(agent.token_file) for name, agent in agents.items()}
    for name, agent in agents.items():
        tokens = _wrong_tokens(stack, f"agent:{name}")
        tokens["another agent's"] = next(token for other, token in others.items() if other != name)
        for what, token in tokens.items():
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(agent.url, headers=_bearer(token))
            assert refused.value.status == 401, f"{what}: {name}"
        async with http.ws_connect(agent.url, headers=_bearer(others[name])) as socket:
            assert not socket.closed


async def test_keys_change_while_everything_runs_and_nothing_is_refused(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    pids = {name: service.pid for name, service in stack.runtime.services.items()}
    token, kids = stack.admin_token(), await _kids(stack, http)
    agent = stack.runtime.agents["triage"]
    before = _token(agent.token_file)
    stop, statuses = asyncio.Event(), list[int]()

    async def traffic() -> None:
        while not stop.is_set():
            async with http.get(f"{stack.runtime.gateway}/api/v1/alerts", headers=_bearer(token)) as response:
                statuses.append(response.status)
            await asyncio.sleep(0.02)

    running = asyncio.create_task(traffic())
    try:
        for _ in range(2):
            ended = await aurora("identity", "rotate", data_dir=stack.data_dir)
            assert ended.code == 0, ended.err
            assert await _signs_with_a_new_key(stack, kids)
            kids = await _kids(stack, http)
        await _investigate(stack)
    finally:
        stop.set()
        await running
    assert set(statuses) == {200}
    assert len(kids) == 3
    for text in (before, _token(agent.token_file)):
        async with http.ws_connect(agent.url, headers=_bearer(text)):
            pass
    assert {name: service.pid for name, service in stack.runtime.services.items()} == pids


async def test_a_key_that_was_stolen_opens_nothing_once_it_is_replaced_without_an_overlap(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    stolen = {name: _pem(stack, name) for name in ("gateway", "operator")}
    token, kids = stack.admin_token(), await _kids(stack, http)
    alerts = f"{stack.runtime.services['siem'].url}/api/v1/alerts"
    forged = {name: Signer(name, pem) for name, pem in stolen.items()}
    tokens = [forged["gateway"].sign(ROOT, "siem"), forged["operator"].own_token("siem")]
    for text in tokens:
        async with http.get(alerts, headers=_bearer(text)) as response:
            assert response.status == 200
    assert (await aurora("identity", "rotate", "--overlap=0", data_dir=stack.data_dir)).code == 0

    async def refused() -> bool:
        status = []
        # Those that were verified before, and one that is made now.
        for text in (*tokens, forged["gateway"].sign(ROOT, "siem")):
            async with http.get(alerts, headers=_bearer(text)) as response:
                status.append(response.status)
        async with http.get(f"{stack.runtime.gateway}/api/v1/alerts", headers=_bearer(token)) as response:
            status.append(response.status)
        return set(status) == {401}

    async with asyncio.timeout(10):
        while not await refused():  # noqa: ASYNC110 - the state of another process has no event
            await asyncio.sleep(0.1)
    assert await _signs_with_a_new_key(stack, kids)
    assert len(await _kids(stack, http)) == 1
    await _investigate(stack)


async def test_a_key_gets_a_new_secret_on_the_command_line(stack: Stack, http: aiohttp.ClientSession) -> None:
    created = await aurora("keys", "create", "a program", "--scope", "alerts:read", "--json", data_dir=stack.data_dir)
    (key,) = created.values()
    rotated = await aurora("keys", "rotate", key["id"], "--grace", "600", data_dir=stack.data_dir)
    assert (rotated.code, rotated.out.count("\n")) == (0, 1), rotated.err
    (listed,) = (await aurora("keys", "list", "--json", data_dir=stack.data_dir)).values()
    assert listed["previous_until"] > listed["rotated_at"] > key["created_at"]
    for text in (key["key"], rotated.out.strip()):
        async with http.get(f"{stack.runtime.gateway}/api/v1/alerts", headers=_bearer(text)) as response:
            assert response.status == 200
    again = await aurora("keys", "rotate", "nonsense", data_dir=stack.data_dir)
    assert (again.code, again.out, again.err.count("\n")) == (1, "", 1)


async def _investigate(stack: Stack) -> None:
    """An alert is investigated: the orchestrator reads siem and asks the agents, and they read siem."""
    async with session.opened(session.find(stack.data_dir, None)) as api:
        asked = AlertCreate(title="A new key", source="test", source_ref=secrets.token_hex(8))
        alert = await api.call(CREATE_ALERT, body=asked)
        investigation = await verdict_on(api, alert.id)
    assert investigation.status in ("completed", "review_required")
    assert not [step.error for step in investigation.steps if step.error]


async def _signs_with_a_new_key(stack: Stack, kids: set[str]) -> bool:
    """Whether the gateway signs access tokens with a key that wasn't published before, within some seconds."""
    async with asyncio.timeout(10):
        while _kid(await asyncio.to_thread(stack.admin_token)) in kids:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.2)
    return True


async def _kids(stack: Stack, http: aiohttp.ClientSession) -> set[str]:
    async with http.get(f"{stack.runtime.gateway}/.well-known/jwks.json") as response:
        return {jwk["kid"] for jwk in (await response.json())["keys"]}


def _kid(token: str) -> str:
    head = token.split(".", maxsplit=1)[0]
    return str(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])


def _token(file: str) -> str:
    return Path(file).read_text(encoding="utf-8").strip()


def _bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}
