"""Nobody gets past the gateway who shouldn't: every endpoint, every role, every kind of wrong token."""

from __future__ import annotations

import base64
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
import pytest
import pytest_asyncio

from services.gateway.settings import GatewaySettings
from shared.contracts.catalog import ENDPOINTS
from shared.contracts.constants import ADMIN, AUTHENTICATED, PUBLIC, SCOPES, Endpoint
from shared.contracts.identity import Role
from shared.http_dialects import code_in, is_foreign
from shared.http_errors import uses_envelope
from shared.identity import ROLE_PERMISSIONS, service_principal
from shared.keyring import service_kid
from tests.gateway import Gateway, gateway
from tests.stack import Servers

AnyEndpoint = Endpoint[Any, Any, Any]
GUARDED = [endpoint for endpoint in ENDPOINTS.values() if endpoint.permission != PUBLIC]
SCOPED = [endpoint for endpoint in GUARDED if endpoint.permission not in (AUTHENTICATED, ADMIN)]
#: Who is let in by these may still be told that the account isn't there, or that keys have no profile.
OWN = (AUTHENTICATED, ADMIN)
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Gateway]:
    limits = ("requests_per_minute", "rca_requests_per_minute", "chat_requests_per_minute")
    settings = dict.fromkeys(limits, "100000") | {"password_cost": str(GatewaySettings.password_cost)}
    async with gateway(servers, tmp_path_factory.mktemp("gateway"), **settings) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def revoked(running: Gateway) -> str:
    token: str = (await running.sign_in())["access_token"]
    status, _, _ = await running.ask("POST", "/api/v1/auth/logout", headers=running.bearer(token))
    assert status == 204
    return token


async def _call(running: Gateway, endpoint: AnyEndpoint, headers: Mapping[str, str]) -> tuple[int, Any]:
    method = "GET" if endpoint.method == "WS" else endpoint.method
    upgrade = UPGRADE if endpoint.method == "WS" else {}
    path = endpoint.path.format_map(defaultdict(lambda: "ALRT-2026-000001"))
    sent = {**upgrade, **headers}
    async with running.http.request(method, running.url + path, headers=sent) as response:
        data = await response.read()
    if response.status >= 400 and is_foreign(path):
        # A door tells a refusal as its product does, and the code beside it.
        return response.status, {"error": {"code": code_in(response.headers)}}
    body: Any = orjson.loads(data) if data and response.content_type.endswith("json") else None
    if response.status >= 400 and not uses_envelope(path):
        # The RCA API's shape has the message and the code alone.
        return response.status, {"error": {"code": body["code"]}}
    return response.status, body


def _unsigned(claims: Mapping[str, Any], algorithm: str) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()

    return f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims)}."


def _wrong_tokens(running: Gateway, revoked: str) -> dict[str, tuple[str, str]]:
    """What is wrong -> (token, expected code)."""
    now = int(time.time())
    claims = {"iss": "aurora", "aud": "aurora", "sub": "user_x", "sid": "s", "iat": now, "exp": now + 600}
    admin = {**claims, "name": "admin", "role": "admin"}
    signature = running.token.rpartition(".")
    service = {"principal": {**_builtins(service_principal("gateway")), "role": "admin"}}
    internal = {**claims, "aud": "gateway", **service}
    return {
        "revoked": (revoked, "AURORA-4012"),
        "expired": (running.token_of("admin", iat=now - 900, exp=now - 60), "AURORA-4011"),
        "expired just now": (running.token_of("admin", iat=now - 900, exp=now), "AURORA-4011"),
        "another audience": (running.token_of("admin", aud="siem"), "AURORA-4012"),
        "another issuer": (running.token_of("admin", iss="evil"), "AURORA-4012"),
        "no expiry": (running.sign({key: value for key, value in admin.items() if key != "exp"}), "AURORA-4012"),
        "no session": (running.token_of("admin", sid=""), "AURORA-4012"),
        "unknown role": (running.token_of("root"), "AURORA-4012"),
        "the gateway's identity key": (running.sign(admin, key="gateway"), "AURORA-4012"),
        "another key under our kid": (running.sign(admin, key="siem", kid=_kid(running.token)), "AURORA-4012"),
        "an internal token": (
            running.sign(internal, key="gateway", kid=service_kid("gateway", running.keys["gateway"])),
            "AURORA-4012",
        ),
        "alg none": (_unsigned(admin, "none"), "AURORA-4012"),
        "alg HS256 without a signature": (_unsigned(admin, "HS256"), "AURORA-4012"),
        "a cut signature": (signature[0] + "." + signature[2][:-4], "AURORA-4012"),
        "no JWT": ("letmein", "AURORA-4012"),
        "an unknown API key": ("aur_abc_def", "AURORA-4012"),
        "a refresh token": ("aurr_" + "x" * 43, "AURORA-4012"),
    }


def _builtins(principal: Any) -> dict[str, Any]:
    return {name: getattr(principal, name) for name in ("id", "kind", "name")} | {"permissions": []}


def _kid(token: str) -> str:
    head = token.split(".", maxsplit=1)[0]
    kid: str = orjson.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]
    return kid


@pytest.mark.parametrize("endpoint", GUARDED, ids=str)
async def test_without_a_token_nothing_is_answered(running: Gateway, endpoint: AnyEndpoint) -> None:
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}, {"Cookie": f"t={running.token}"}):
        status, body = await _call(running, endpoint, headers)
        assert (status, body["error"]["code"]) == (401, "AURORA-4010")


async def test_no_wrong_token_opens_any_endpoint(running: Gateway, revoked: str) -> None:
    before = len(running.upstreams["siem"].seen), len(running.upstreams["orchestrator"].seen)
    for what, (token, code) in _wrong_tokens(running, revoked).items():
        for endpoint in GUARDED:
            status, body = await _call(running, endpoint, running.bearer(token))
            assert (status, body["error"]["code"]) == (401, code), f"{what}: {endpoint}"
    assert (len(running.upstreams["siem"].seen), len(running.upstreams["orchestrator"].seen)) == before


def _arrived(running: Gateway, endpoint: AnyEndpoint) -> int:
    service = running.upstreams.get(endpoint.service)
    return 0 if service is None else len(service.principals)


async def _assert_lacks(running: Gateway, endpoint: AnyEndpoint, credential: str, who: str) -> None:
    """The permission is missing, that is said, and nothing of the request reached the service."""
    before = _arrived(running, endpoint)
    status, body = await _call(running, endpoint, running.bearer(credential))
    assert (status, body["error"]["code"]) == (403, "AURORA-4030"), f"{who}: {endpoint}"
    if uses_envelope(endpoint.path):
        assert body["error"]["detail"] == {"required": endpoint.permission}, f"{who}: {endpoint}"
    assert _arrived(running, endpoint) == before


async def _assert_may(running: Gateway, endpoint: AnyEndpoint, credential: str, who: str) -> None:
    """The permission isn't what stands in the way, whatever else does."""
    status, body = await _call(running, endpoint, running.bearer(credential))
    assert status != 401 or endpoint.permission in OWN, f"{who}: {endpoint}"
    if status == 403:
        assert endpoint.permission in OWN, f"{who}: {endpoint}"
        assert not (body["error"].get("detail") or {}).get("required"), f"{who}: {endpoint}"


@pytest.mark.parametrize("role", ROLE_PERMISSIONS)
async def test_a_role_may_what_the_matrix_says_and_nothing_else(running: Gateway, role: Role) -> None:
    for endpoint in GUARDED:
        token = running.token_of(role)
        needed = endpoint.permission
        if needed == AUTHENTICATED or (needed == ADMIN and role == "admin") or needed in ROLE_PERMISSIONS[role]:
            await _assert_may(running, endpoint, token, role)
        else:
            await _assert_lacks(running, endpoint, token, role)


async def test_a_key_may_what_its_scopes_say_and_nothing_else(running: Gateway) -> None:
    async def key_of(*scopes: str) -> str:
        body = {"name": "walks", "scopes": scopes}
        status, key, _ = await running.ask("POST", "/api/v1/auth/api-keys", json=body)
        assert status == 201, key
        return str(key["key"])

    everything = await key_of(*SCOPES)
    for scope in SCOPES:
        alone, without = await key_of(scope), await key_of(*(other for other in SCOPES if other != scope))
        for endpoint in (endpoint for endpoint in SCOPED if endpoint.permission == scope):
            await _assert_may(running, endpoint, alone, f"a key of {scope}")
            await _assert_lacks(running, endpoint, without, f"a key without {scope}")
    for endpoint in GUARDED:
        if endpoint.permission == ADMIN:
            await _assert_lacks(running, endpoint, everything, "a key of every scope")


async def test_what_is_public_asks_nobody_who_they_are(running: Gateway) -> None:
    for endpoint in ENDPOINTS.values():
        if endpoint.permission == PUBLIC:
            status, body = await _call(running, endpoint, {})
            assert status != 403, endpoint
            assert status != 401 or body["error"]["code"] != "AURORA-4010", endpoint


async def test_no_header_of_the_client_changes_who_it_is(running: Gateway) -> None:
    smuggled = {
        "X-User-ID": "user_somebody",
        "X-Forwarded-For": "10.0.0.1",
        "X-Forwarded-User": "root",
        "X-Forwarded-Proto": "https",
        "Forwarded": "for=10.0.0.1",
        "X-Real-IP": "10.0.0.1",
        "X-Original-URL": "/api/v1/detections/rules",
        "X-HTTP-Method-Override": "DELETE",
        "X-Aurora-Principal": "admin",
        "Cookie": "session=abc",
        "Proxy-Authorization": "Basic YTpi",
        "TE": "trailers",
        "Trailer": "Authorization",
        "Connection": "keep-alive, X-Request-ID, Authorization",
        "Keep-Alive": "timeout=1",
    }
    viewer = running.bearer(running.token_of("viewer"))
    status, told, _ = await running.get("/api/v1/alerts", headers={**viewer, **smuggled})
    assert status == 200
    assert told["principal"] == {"id": "user_viewer", "role": "viewer"}
    arrived = told["headers"]
    assert not {name.lower() for name in smuggled} & arrived.keys() - {"connection"}
    assert arrived["authorization"].startswith("Bearer ")
    assert arrived["authorization"] != viewer["Authorization"]


async def test_x_user_id_alone_is_nobody(running: Gateway) -> None:
    _, me, _ = await running.get("/api/v1/users/me")
    async with running.http.get(f"{running.url}/api/v1/alerts", headers={"X-User-ID": me["id"]}) as response:
        assert response.status == 401


async def test_the_internal_token_is_for_one_service_only(running: Gateway) -> None:
    _, told, _ = await running.get("/api/v1/alerts")
    internal = told["headers"]["authorization"]
    siem, orchestrator = running.upstreams["siem"].url, running.upstreams["orchestrator"].url
    async with running.http.get(f"{siem}/api/v1/alerts", headers={"Authorization": internal}) as response:
        assert response.status == 200
    async with running.http.get(
        f"{orchestrator}/api/v1/investigations", headers={"Authorization": internal}
    ) as response:
        assert response.status == 401
    async with running.http.get(f"{running.url}/api/v1/alerts", headers={"Authorization": internal}) as response:
        assert response.status == 401


async def test_a_users_token_opens_no_service_behind_the_gateway(running: Gateway) -> None:
    for service in running.upstreams.values():
        async with running.http.get(f"{service.url}/api/v1/alerts", headers=running.bearer()) as response:
            assert response.status in (401, 404)


@pytest.mark.parametrize(
    "hostile",
    ["short", "x" * 129, "a b c d e f g h", "<script>1</script>", '{"a":1,"b":2}', "ünïcödé-ünïcödé"],
)
async def test_a_hostile_request_id_is_replaced(running: Gateway, hostile: str) -> None:
    status, told, headers = await running.get("/api/v1/alerts", headers={"X-Request-ID": hostile})
    if status == 400:  # not even HTTP
        assert told["error"]["code"] == "AURORA-4000"
        return
    assert headers["X-Request-ID"] != hostile
    assert told["headers"]["x-request-id"] == headers["X-Request-ID"]
    assert hostile not in str(running.log()[-20:])


async def test_no_path_leads_out_of_its_endpoint(running: Gateway) -> None:
    before = len(running.upstreams["siem"].seen)
    for path in ("%2e%2e", "..%2f..%2fhealth", "%2e", "a%00b", "a%0d%0aX-Evil:%201", "%2F%2Fevil.example.org"):
        async with running.http.get(f"{running.url}/api/v1/alerts/{path}", headers=running.bearer()) as response:
            body = await response.read()
        if response.status == 200:
            told = orjson.loads(body)
            assert told["endpoint"] == "GET /api/v1/alerts/{alert_id}"
            assert "x-evil" not in told["headers"]
        else:
            assert response.status in (400, 404, 422)
    assert len(running.upstreams["siem"].seen) - before <= 6


async def test_no_secret_is_ever_logged(running: Gateway) -> None:
    session = await running.sign_in()
    _, ticket, _ = await running.ask("POST", "/api/v1/ws/tickets")
    await _call(running, GUARDED[0], running.bearer(session["access_token"]))
    async with running.http.get(
        f"{running.url}/api/v1/ws/alerts?ticket={ticket['ticket']}", headers=UPGRADE
    ) as response:
        response.close()
    log = running.log_file.read_text()
    secrets = (session["access_token"], session["refresh_token"], ticket["ticket"], running.token, "correct horse")
    assert not [secret for secret in secrets if secret in log]


async def test_passwords_and_refresh_tokens_are_kept_as_hashes_only(running: Gateway, servers: Servers) -> None:
    import asyncpg

    session = await running.sign_in()
    connection = await asyncpg.connect(running.environment["AURORA_POSTGRES_DSN"])
    try:
        kept = [await connection.fetch(f"SELECT t::text FROM {name} t") for name in ("users", "sessions")]
        tokens = await connection.fetch("SELECT encode(hash, 'escape') AS hash FROM refresh_tokens")
        cost = await connection.fetchval("SELECT left(password_hash, 7) FROM users WHERE username_key = 'admin'")
    finally:
        await connection.close()
    assert cost == "$2b$12$"
    assert session["refresh_token"] not in str(kept) + str(tokens)
    assert "correct horse" not in str(kept)
